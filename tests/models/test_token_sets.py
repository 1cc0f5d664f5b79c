"""Token sets by name, against positions counted by hand."""

import pytest
import torch
from families import BEFORE, FAMILIES, IMAGE, family
from small_models import one_sentence, picture, tiny_vlm
from transformers import LlamaConfig, LlamaForCausalLM

from paperlib.models.capture import token_states
from paperlib.models.token_sets import EDGES, SETS, edge, flat, spelled, tokens
from paperlib.models.vlm import VLM


@pytest.fixture(scope="module")
def vlm():
    return tiny_vlm()


@pytest.fixture(scope="module")
def batch(vlm):
    return vlm.batch([vlm.prompt("Hm?"), vlm.prompt("What is it?")], [picture(0), picture(1)], ["a dog", "x"])


@pytest.mark.parametrize("name", FAMILIES)
def test_sets_are_the_tokens_they_say(name):
    """Each set of a family's batch, as the words that stand there: questions are 10 to 22, answers 30 to 33."""
    vlm, batch = family(name)
    said = {kind: [ids[p].tolist() for ids, p in zip(batch["input_ids"], tokens(vlm, batch, kind))] for kind in SETS}
    assert all(set(row) == {IMAGE} for row in said["image"])
    assert [len(row) for row in said["image"]] == (batch["input_ids"] == IMAGE).sum(1).tolist()
    assert said["answer position"] == [[13], [20], [22]] and said["text"] == [[30], [31, 32], [33]]
    assert said["answer"] == [[13, 30], [20, 31, 32], [22, 33]]
    front = [row[: row.index(first)] for row, first in zip(said["question"], (10, 14, 21))]
    assert [row[len(skip) :] for row, skip in zip(said["question"], front)] == [
        [10, 11, 12],
        [14, 15, 16, 17, 18, 19],
        [21],
    ]
    closing = {"paligemma": BEFORE, "llava-1.5": [[]] * 3, "llava-next": [[]] * 3, "llava-onevision": [[]] * 3}
    assert front == closing.get(name, [[61]] * 3)  # what stands between the picture's tokens and the question


def test_edges(vlm, batch):
    for name, (queries, keys) in {
        "image->question": ("question", "image"),
        "image->answer": ("answer", "image"),
        "question->answer": ("answer", "question"),
    }.items():
        for found, kind in zip(edge(vlm, batch, name), (queries, keys)):
            assert all(torch.equal(a, b) for a, b in zip(found, tokens(vlm, batch, kind), strict=True))
    assert len(EDGES) == 3
    text = vlm.batch([vlm.prompt("Hm?", False)], None)
    assert len(edge(vlm, text, "question->answer")[0][0]) == 1  # asked of text alone


def test_spelled_parts_of_prompts(vlm):
    prompts = [vlm.prompt(question, False) for question in ("Is the dog a dog?", "Red?")]
    batch = vlm.batch(prompts, None)
    found = spelled(vlm, prompts, ["dog", "Red?"])
    assert [vlm.tokenizer.decode(ids[p]) for ids, p in zip(batch["input_ids"], found)] == ["dog", "Red?"]
    assert found[0].max() < spelled(vlm, prompts, ["dog?", "Red?"])[0].min()  # where it first stands
    for part in ("cat", ""):
        with pytest.raises(ValueError, match="does not hold") as error:
            spelled(vlm, prompts, ["dog", part])
        one_sentence(error.value)


def test_flat_indices_pick_a_sets_states_row_by_row():
    state, positions = torch.arange(24).view(2, 4, 3), [torch.tensor([3]), torch.tensor([2, 0])]
    assert state[flat(positions, torch.device("cpu"))].tolist() == [[9, 10, 11], [18, 19, 20], [12, 13, 14]]


def test_batches_without_images_and_families_without_image_tokens(vlm):
    text = vlm.batch([vlm.prompt("Hm?", False)] * 2, None)
    for call in (
        lambda: tokens(vlm, text, "image"),
        lambda: edge(vlm, text, "image->answer"),
        lambda: token_states(vlm, text, [0]),
    ):
        with pytest.raises(ValueError, match="Row 0 of the batch has no image tokens: give") as error:
            call()
        one_sentence(error.value)
    config = LlamaConfig(
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        vocab_size=300,
    )
    llama = VLM("llama", LlamaForCausalLM(config).eval(), vlm.processor)
    for name in ("image", "answer"):
        with pytest.raises(ValueError, match="LlamaForCausalLM has no image tokens") as error:
            tokens(llama, text, name)
        one_sentence(error.value)


@pytest.mark.parametrize("call", [tokens, edge])
def test_unknown_names(vlm, batch, call):
    with pytest.raises(ValueError, match="Unknown .* 'answer->image': use one of") as error:
        call(vlm, batch, "answer->image")
    one_sentence(error.value)
