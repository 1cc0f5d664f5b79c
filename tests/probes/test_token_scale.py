"""Tests of paperlib.probes.token_scale on states whose norms and directions are known."""

import pytest
import torch

from paperlib.probes.token_scale import norm_ratio, token_scale

GROUPS = [str(i) for i in range(12)]


def turning(size):
    """Two tokens of length ``size`` that turn from the x axis by 0, 90 and 180 degrees."""
    along = torch.tensor([[1.0, 0, 0], [0, 1, 0], [-1, 0, 0]])
    return size * along[:, None].expand(3, 2, 3)


def test_norms_and_cosines_by_layer():
    found = token_scale([turning(2.0 + i % 3) for i in range(12)], GROUPS)
    assert [layer.norm.value for layer in found] == pytest.approx([3, 3, 3])
    assert [layer.cosine.value for layer in found] == pytest.approx([1, 0, -1], abs=1e-12)
    assert found[0].norm.low < 3 < found[0].norm.high and found[0].norm.n == 12


def test_a_ratio_is_paired_by_example():
    sizes = [1.0 + i for i in range(12)]
    ratio = norm_ratio([turning(5 * size) for size in sizes], [turning(size) for size in sizes], GROUPS)
    assert [layer.value for layer in ratio] == pytest.approx([5, 5, 5])
    assert ratio[0].low == pytest.approx(5) and ratio[0].high == pytest.approx(5), "always five times as long"


def test_layers_must_agree():
    with pytest.raises(ValueError, match="same layers"):
        token_scale([turning(1.0), turning(1.0)[:2]], ["a", "b"])
