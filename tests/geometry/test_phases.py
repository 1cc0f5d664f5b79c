"""Profiles are read by the stated rule, and subsampled draw by draw."""

import numpy as np
import pytest
import torch
from small_models import one_sentence

from paperlib.geometry.dimension import intrinsic_dimension
from paperlib.geometry.neighbors import GeometryError, Neighbors
from paperlib.geometry.phases import phase, profiles
from paperlib.geometry.subsampling import jackknife, subsample_interval

DEPTH = [0, 0.25, 0.5, 0.75, 1]


def test_a_tent_has_half_its_base_as_width():
    found = phase(DEPTH, [10, 15, 20, 15, 10])
    assert (found.depth, found.peak, found.rise, found.width) == (0.5, 20, 10, 0.5)


def test_half_height_counts_from_the_higher_end_and_is_interpolated():
    found = phase(DEPTH, [4, 20, 18, 12, 10])  # half height is 15: at 0.25 * 11 / 16, and between 0.5 and 0.75
    assert found.depth == 0.25 and found.peak == 20 and found.rise == 10
    assert found.width == pytest.approx(0.5 + 0.25 * 3 / 6 - 0.25 * 11 / 16)


@pytest.mark.parametrize("profile", [[20, 15, 10, 5, 1], [1, 2, 3, 4, 9], [5, 5, 5, 5, 5]])
def test_without_a_rise_above_both_ends_there_is_no_width(profile):
    assert phase(DEPTH, profile).width == 0 and phase(DEPTH, profile).rise <= 0


def test_profiles_share_their_draws():
    rng = np.random.default_rng(0)
    flat, full = rng.normal(size=(200, 2)) @ rng.normal(size=(2, 12)), rng.normal(size=(200, 12))
    layers = [Neighbors.of(torch.tensor(x, dtype=torch.float32), 80) for x in (flat, full)]
    found = profiles({"a": layers, "b": layers[::-1]}, k=8, n=4)
    assert found["a"].shape == (5, 2) and (found["a"] == found["b"][:, ::-1]).all()
    assert found["a"][0].tolist() == [intrinsic_dimension(layer, k=8).value for layer in layers]
    assert (found["a"][:, 0] < 3).all() and (found["a"][:, 1] > 5).all()
    assert len(set(found["a"][1:, 1])) == 4
    again = profiles({"a": layers}, k=8, n=4)
    assert (again["a"] == found["a"]).all()


def test_jackknife_is_that_of_subsampling():
    """The same estimate by the function that draws for itself: interval widths agree as far as 60 draws tell."""
    x = Neighbors.of(torch.randn(300, 6, generator=torch.Generator().manual_seed(0)), 120)
    together = jackknife(profiles({"x": [x]}, k=8, n=60)["x"][:, 0], 300, 0.8)
    alone = subsample_interval(lambda part: intrinsic_dimension(part, k=8).value, x, n=60, seed=9)
    assert together.value == alone.value and together.n == alone.n == 300
    assert (together.high - together.low) == pytest.approx(alone.high - alone.low, rel=0.4)


def test_bad_input():
    for call in (
        lambda: phase([0, 1], [1, 2]),
        lambda: phase(DEPTH, [1, 2, 3]),
        lambda: profiles({"a": [Neighbors.of(torch.randn(n, 3), 4) for n in (20, 21)]}),
    ):
        with pytest.raises(GeometryError) as error:
            call()
        one_sentence(error.value)
