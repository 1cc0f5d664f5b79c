"""What true attributes explain of an overlap, against permutations and clouds made of attributes."""

import numpy as np
import pytest
import torch
from small_models import one_sentence

from paperlib.geometry.attribute_control import attribute_distances, excess_gain, excess_overlap
from paperlib.geometry.neighbors import GeometryError, Neighbors
from paperlib.geometry.similarity import neighborhood_overlap

N, K = 240, 12
RNG = np.random.default_rng(0)
KINDS = RNG.integers(0, 3, size=(N, 4))  # four attributes of three values
ONE_HOT = np.concatenate([value == KINDS for value in range(3)], axis=1).astype(int)
SHELLS = attribute_distances(ONE_HOT)


def cloud(signal, seed, weight=1.0):
    noise = np.random.default_rng(seed).normal(size=(N, 6))
    return Neighbors.of(torch.tensor(np.concatenate([weight * signal, 0.3 * noise], axis=1), dtype=torch.float32), 60)


def test_distances_are_those_of_scipy():
    from scipy.spatial.distance import cdist

    expected = cdist(ONE_HOT, ONE_HOT, "cityblock")
    np.fill_diagonal(expected, -1)
    assert (SHELLS.numpy() == expected).all()


def test_with_one_shell_it_is_the_overlap_less_chance():
    x, y = cloud(ONE_HOT, 1), cloud(ONE_HOT, 2)
    alike = torch.zeros(N, N, dtype=torch.long).fill_diagonal_(-1)
    assert excess_overlap(x, y, alike, K) == pytest.approx(neighborhood_overlap(x, y, K) - K / (N - 1))


def test_two_clouds_that_share_attributes_alone_have_no_excess():
    x, y = cloud(ONE_HOT, 1), cloud(ONE_HOT, 2)
    assert neighborhood_overlap(x, y, K) > 4 * K / (N - 1)
    assert abs(excess_overlap(x, y, SHELLS, K)) < 0.02


def test_two_clouds_that_share_more_have_an_excess():
    hidden = np.random.default_rng(5).normal(size=(N, 3))
    x, y = (cloud(np.concatenate([ONE_HOT, 2 * hidden], axis=1), seed) for seed in (1, 2))
    assert excess_overlap(x, y, SHELLS, K) > 0.2


def test_what_is_expected_is_the_mean_of_permutations_within_shells():
    """For one point: its neighbours in the other cloud are replaced by random ones of the same shells."""
    x, y = cloud(ONE_HOT, 1), cloud(ONE_HOT, 2)
    rng, row = np.random.default_rng(3), 7
    shell, mine = SHELLS[row].numpy(), set(x.nearest(K)[row].tolist())
    drawn = [
        len(
            mine
            & {
                j
                for s, size in zip(*np.unique(shell[y.nearest(K)[row]], return_counts=True), strict=True)
                for j in rng.choice(np.flatnonzero(shell == s), size, replace=False)
            }
        )
        for _ in range(4000)
    ]
    shared = len(mine & set(y.nearest(K)[row].tolist()))
    alone = [n.nearest(K)[row : row + 1] for n in (x, y)]
    size = np.bincount(shell[shell >= 0])
    expected = sum(
        np.bincount(shell[a[0]], minlength=len(size))
        * np.bincount(shell[b[0]], minlength=len(size))
        / np.maximum(size, 1)
        for a, b in [alone]
    ).sum()
    assert np.mean(drawn) == pytest.approx(expected, abs=0.1) and shared >= 0


def test_a_gain_beyond_attributes_is_told_from_one_of_attributes_alone():
    hidden = np.random.default_rng(5).normal(size=(N, 3))
    text = cloud(np.concatenate([ONE_HOT, 2 * hidden], axis=1), 2)
    blind, attributes, both = (
        cloud(signal, 1) for signal in (0 * ONE_HOT, ONE_HOT, np.concatenate([ONE_HOT, 2 * hidden], axis=1))
    )
    by_attributes, by_more = (excess_gain([a], [blind], [text], ONE_HOT, [0], K) for a in (attributes, both))
    assert by_attributes.low < 0.5 * by_more.low and by_more.low > 0


def test_bad_input():
    x, y = cloud(ONE_HOT, 1), cloud(ONE_HOT, 2)
    for call in (
        lambda: attribute_distances(ONE_HOT + 0.5),
        lambda: excess_overlap(x, y, SHELLS[:5, :5], K),
        lambda: excess_overlap(x, y, SHELLS, 100),
    ):
        with pytest.raises(GeometryError) as error:
            call()
        one_sentence(error.value)
    with pytest.raises(ValueError, match="name a place"):
        excess_gain([x], [x], [y], ONE_HOT, [], K)
