"""Closing edges in attention masks of every form."""

import pytest
import torch
from small_models import one_sentence

from paperlib.interventions.attention_masks import close

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
