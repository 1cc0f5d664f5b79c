"""Tests of paperlib.probes.image_token_lens against the model's own next token."""

import pytest
import torch
from small_models import tiny_vlm

from paperlib.probes.image_token_lens import clearest, grid, listener, read_whole, words_at
from paperlib.tasks.probe_tasks import probe_tasks


@pytest.fixture(scope="module")
def vlm():
    return tiny_vlm()


@pytest.fixture(scope="module")
def task():
    return probe_tasks(32)["concept"]


def test_at_the_last_layer_a_token_says_what_the_model_predicts_there(vlm, task):
    batch = vlm.batch([vlm.prompt(task.questions[1])], [task.scenes[1].render()])
    with torch.no_grad():
        logits = vlm.model(**batch).logits[0]
    image = vlm.spans(batch)[0].image
    said = [word for row in words_at(vlm, task, 1, len(vlm.layers)) for word in row]
    expected = [vlm.tokenizer.decode([token]).strip() for token in logits[image].argmax(-1)]
    printable = [(a, b) for a, b in zip(said, expected, strict=True) if b.isalnum() and b.isascii()]
    assert printable and all(a == b for a, b in printable)


def test_the_grid_is_square_and_credits_the_pictures(vlm, task):
    drawn = grid(vlm, task, 0, [0, 1])
    assert [panel["title"] for panel in drawn["panels"]] == ["layer 0", "layer 1"]
    rows = drawn["panels"][0]["words"]
    assert len(rows) == len(rows[0]) and "Twemoji" in drawn["credit"]


def test_a_listener_draws_one_layer(vlm, task):
    listen_at = listener(vlm, task)
    assert listen_at.__name__ == "listen_at" and len(listen_at(0, 1).axes) == 1


def test_the_clearest_token_is_the_one_that_was_planted(vlm):
    states = torch.randn(3, 2, 4, 32, generator=torch.Generator().manual_seed(0))
    head = vlm.model.get_output_embeddings().weight.detach()
    words = ["dog", "pear", "cat"]  # none is one token here, so each is read at its first letter
    states[1, 1, 2] = 50 * head[vlm.tokenizer.convert_tokens_to_ids("p")]
    number, layer, token, rank = clearest(vlm, states, words)
    assert rank == 1 and (number, layer, token) == (1, 1, 2)


def test_words_that_are_read_whole_come_first(vlm):
    """Of "s" and "soccer ball" both begin with the token that is planted, and only the first is all of a word."""
    states = torch.randn(2, 1, 2, 32, generator=torch.Generator().manual_seed(0))
    head, letter = vlm.model.get_output_embeddings().weight.detach(), vlm.tokenizer.convert_tokens_to_ids("s")
    states[0, 0, 0] = 50 * head[letter]
    states[1, 0, 1] = 50 * head[letter]
    assert read_whole(vlm, "s") and not read_whole(vlm, "soccer ball")
    assert clearest(vlm, states, ["soccer ball", "s"]) == (1, 0, 1, 1)
