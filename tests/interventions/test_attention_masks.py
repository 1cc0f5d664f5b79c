"""Closing edges in attention masks of every form."""

import pytest
import torch
from small_models import logits, one_sentence, picture, tiny_vlm

from paperlib.interventions.attention_masks import close
from paperlib.interventions.edits import bypass, knockout, patch, transplant
from paperlib.models.left_padding import left_padded
from paperlib.models.residual import past
from paperlib.models.token_sets import edge, tokens

CLOSED = torch.zeros(2, 1, 3, 3, dtype=torch.bool)
CLOSED[0, 0, 2, 0] = CLOSED[1, 0, 1, 2] = True


def test_closing_edges_in_each_form_of_mask():
    """Against attention weights by hand: 0 at closed edges, the others as in a softmax over what is open."""
    scores = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    full, causal = torch.ones(3, 3, dtype=torch.bool), torch.ones(3, 3, dtype=torch.bool).tril()
    padded = causal.expand(2, 1, 3, 3).clone()
    padded[1, :, :, 0] = False
    padded[1, :, 0, 0] = True
    additive = torch.zeros(2, 1, 3, 3).masked_fill(~padded, torch.finfo(torch.float32).min)
    for mask, is_causal, opened in (
        (None, True, causal),
        (None, False, full),
        (padded, True, padded),
        (additive, True, padded),
        (causal[None, None], True, causal),
    ):
        found = close(mask, CLOSED, is_causal)
        shown = scores + found if found.is_floating_point() else scores.masked_fill(~found, -torch.inf)
        weight = scores.exp() * (opened & ~CLOSED)
        torch.testing.assert_close(shown.softmax(-1), weight / weight.sum(-1, keepdim=True))
    assert additive.unique().tolist() == [torch.finfo(torch.float32).min, 0]  # the model's own mask is as it was
    half = close(additive.half(), CLOSED)
    assert half.dtype == torch.float16 and half[0, 0, 2, 0] == torch.finfo(torch.float16).min


def test_masks_that_do_not_tell_edges():
    for mask in (torch.ones(2, 3, dtype=torch.bool), torch.zeros(2, 1, 3, 7), {"full_attention": None}):
        with pytest.raises(ValueError, match="eager") as error:
            close(mask, CLOSED)
        one_sentence(error.value)


def test_closing_edges_of_the_last_queries():
    """A new token with its keys, all of them or those in a sliding window, as the last of a whole grid."""
    closed = torch.zeros(2, 1, 1, 5, dtype=torch.bool)
    closed[0, 0, 0, 1] = closed[1, 0, 0, 3] = True
    found = close(None, closed)
    assert torch.equal(found, ~closed)
    assert torch.equal(close(None, closed, causal=False), ~closed)
    seen = torch.ones(2, 1, 1, 3, dtype=torch.bool)
    assert close(seen, closed).tolist() == [[[[True, True, True]]], [[[True, False, True]]]]
    additive = close(torch.zeros(2, 1, 1, 3), closed)
    assert (additive == 0).tolist() == [[[[True, True, True]]], [[[True, False, True]]]]


@pytest.fixture(scope="module")
def vlm():
    return tiny_vlm()


@pytest.fixture(scope="module")
def batch(vlm):
    return left_padded(vlm.batch([vlm.prompt("Hm?"), vlm.prompt("What is it?")], [picture(0), picture(1)]))


@torch.no_grad()
def steps(vlm, batch, n, **first):
    """A cache filled by a prompt, and the masks that block 1 gets for n new tokens, one by one."""
    cache, masks = vlm.model(**batch | first, use_cache=True).past_key_values, []
    handle = vlm.layers[1].self_attn.register_forward_pre_hook(
        lambda module, args, call: masks.append(call["attention_mask"]), with_kwargs=True
    )
    mask = batch["attention_mask"]
    try:
        for _ in range(n):
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
            new = torch.full((len(mask), 1), 40)
            cache = vlm.model(input_ids=new, attention_mask=mask, past_key_values=cache).past_key_values
    finally:
        handle.remove()
    return masks


def test_new_tokens_have_the_closed_edges_of_the_prompts_last(vlm, batch):
    image, answer = tokens(vlm, batch, "image"), tokens(vlm, batch, "answer position")
    length = batch["input_ids"].shape[1]
    for queries in (answer, tokens(vlm, batch, "question")):
        with knockout(vlm, [1], queries, image):
            masks = steps(vlm, batch, 3)
        for step, mask in enumerate(masks, 1):
            expected = torch.cat([batch["attention_mask"].bool(), torch.ones(2, step, dtype=torch.bool)], 1)
            for row, positions in enumerate(image):
                expected[row, positions] = queries is not answer
            assert mask.shape == (2, 1, 1, length + step) and torch.equal(mask[:, 0, 0], expected)


def test_what_cannot_be_right_in_a_growing_sequence_is_refused(vlm, batch):
    """An intervention that begins after the prompt, tokens in pairs, other rows; then all is as it was."""
    image = tokens(vlm, batch, "image")
    states = [torch.zeros(len(p), 32) for p in image]
    sets = edge(vlm, batch, "image->answer")
    clean = logits(vlm.model, batch)
    cache = lambda: vlm.model(**batch, use_cache=True).past_key_values  # noqa: E731
    one, two = torch.full((2, 1), 40), torch.full((2, 2), 40)
    with torch.no_grad():
        for intervention in (
            lambda: knockout(vlm, [1], *sets),
            lambda: bypass(vlm, image, 1, visible=False),
            lambda: bypass(vlm, image, 2),
            lambda: bypass(vlm, image, leave=2),
            lambda: patch(vlm, 2, image, states),
        ):
            filled = cache()
            with intervention(), pytest.raises(ValueError, match="before the prompt's pass") as error:
                vlm.model(input_ids=one, past_key_values=filled)
            one_sentence(error.value)
        with knockout(vlm, [1], *sets):
            filled = cache()
            with pytest.raises(ValueError, match="one by one") as error:
                vlm.model(input_ids=two, past_key_values=filled)
            one_sentence(error.value)
            filled = cache()
            filled.batch_select_indices(torch.tensor([0]))
            with pytest.raises(ValueError, match="one by one"):
                vlm.model(input_ids=one[:1], past_key_values=filled)
        with transplant(vlm, vlm, [1]):  # weights know no positions
            vlm.model(input_ids=two, past_key_values=cache())
    assert torch.equal(logits(vlm.model, batch), clean) and past(vlm) == 0
