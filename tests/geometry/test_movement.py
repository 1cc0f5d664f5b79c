"""Cosines and lengths against what was planted."""

import pytest
import torch

from paperlib.geometry.movement import cosine_to_input, growth


def test_cosines_are_those_of_a_planted_turn():
    first = torch.randn(400, 64, generator=torch.Generator().manual_seed(0))
    across = torch.randn(400, 64, generator=torch.Generator().manual_seed(1))
    across -= (across * first).sum(1, keepdim=True) / (first * first).sum(1, keepdim=True) * first
    across *= first.norm(dim=1, keepdim=True) / across.norm(dim=1, keepdim=True)
    states = torch.stack([first, 3 * first, first + across, -first], dim=1)
    found = cosine_to_input(states, [1, 2, 3])
    assert [i.value for i in found] == pytest.approx([1, 0.5**0.5, -1], abs=1e-5) and found[0].n == 400
    assert all(i.high - i.low < 1e-5 for i in found)
    mixed = cosine_to_input(torch.stack([first, first * torch.where(torch.arange(400) < 200, 1, -1)[:, None]], 1), [1])
    assert mixed[0].value == pytest.approx(0, abs=1e-5) and mixed[0].low < -0.05 < 0.05 < mixed[0].high


def test_growth_is_a_ratio_of_mean_lengths():
    first = torch.randn(200, 16, generator=torch.Generator().manual_seed(0))
    found = growth(torch.stack([first, 2 * first, 5 * first], dim=1), 2)
    assert found.value == pytest.approx(5, rel=1e-5) and found.low <= 5.001 and found.n == 200
