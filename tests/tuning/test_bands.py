"""Bands by name and range, and the rule that chooses one."""

import numpy as np
import pytest
from small_models import one_sentence

from paperlib.tuning.bands import NAMES, BandError, band, band_scores, choose_band


def test_named_bands_of_thirty_blocks():
    assert band("full", 30) == tuple(range(30))
    assert band("none", 30) == ()
    assert band("early", 30) == tuple(range(10))
    assert band("mid", 30) == tuple(range(10, 20))
    assert band("late", 30) == tuple(range(20, 30))
    assert band("sparse", 30) == (1, 4, 7, 10, 13, 16, 19, 22, 25, 28)
    assert band("complement", 30) == tuple(range(10)) + tuple(range(20, 30))


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5, 16, 28, 31, 32, 40, 80])
def test_size_matched_bands_have_one_size_at_every_depth(depth):
    sizes = {len(band(name, depth)) for name in ("early", "mid", "late", "sparse")}
    assert sizes == {max(1, round(depth / 3))}
    assert sorted(band("mid", depth) + band("complement", depth)) == list(range(depth))
    for name in NAMES:
        blocks = band(name, depth)
        assert list(blocks) == sorted(set(blocks)) and set(blocks) <= set(range(depth))


def test_the_papers_range_and_lists():
    assert band("6:17", 32) == tuple(range(6, 17))
    assert band("0:1", 1) == (0,)
    assert band([5, 2, 9], 10) == (2, 5, 9)
    assert band(np.array([3, 1]), 4) == (1, 3)


@pytest.mark.parametrize(
    "which", ["6:33", "17:6", "6:6", "33:40", "middle", "6-17", "", ":5", [32], [-1], [], [1, 1], [True], [0.5]]
)
def test_bands_outside_the_model_empty_or_reversed_are_refused(which):
    with pytest.raises(BandError) as error:
        band(which, 32)
    assert one_sentence(error.value)


@pytest.mark.parametrize(
    "which",
    [
        None,
        5,
        0.5,
        True,
        object(),
        "mids",
        "٣:٥",
        "6:" + "9" * 5000,
        "x" * 5000,
        b"mid",
        ["mid"],
        [None],
        [[1]],
        [1, "2"],
        {"mid": 1},
        {1.0},
        np.array([[1, 2]]),
        np.array(3),
        np.array([1.0]),
        list(range(5000)),
    ],
    ids=lambda which: str(which)[:12],
)
def test_what_is_no_band_is_refused(which):
    with pytest.raises(BandError) as error:
        band(which, 32)
    assert one_sentence(error.value)


@pytest.mark.parametrize("depth", [0, -3, 2.5, None, True, "30"])
def test_what_is_no_depth_is_refused(depth):
    with pytest.raises(BandError) as error:
        band("mid", depth)
    assert one_sentence(error.value)


def test_the_rule_finds_the_window_of_the_largest_rescaled_mean():
    a = [0, 0, 3, 3, 0, 0]
    assert choose_band([a], 2) == (2, 3)
    # By hand: rescaled to [0, 1] the second counts as much as the first, whose values are a hundred times smaller.
    b = [0, 0, 0, 100, 100, 0]
    assert choose_band([a, b], 3) == (2, 3, 4)
    assert choose_band([a, b], 1) == (3,)  # for which both speak
    assert np.allclose(band_scores([a, b], 2), [0, 0.25, 0.75, 0.75, 0.25])
    assert choose_band([a], 6) == tuple(range(6))
    assert choose_band([[0, 1, 0, 1, 0]], 1) == (1,)  # the lowest of equals


@pytest.mark.parametrize(
    "profiles, size",
    [
        ([[1, 2, 3], [1, 2]], 1),
        ([[1, 2, 3]], 4),
        ([[1, 2, 3]], 0),
        ([[1, np.nan, 3]], 1),
        ([[2, 2, 2]], 1),
        ([], 1),
        (None, 1),
        ([5], 1),
        ([["a", "b"]], 1),
        ([[1, 2, 3]], None),
        ([[1, 2, 3]], 1.5),
        ([[1, 2, 3]], True),
        ([[[1, 2]]], 1),
        (5, 1),
        ([[]], 1),
    ],
)
def test_profiles_that_choose_nothing_are_refused(profiles, size):
    with pytest.raises(BandError) as error:
        choose_band(profiles, size)
    assert one_sentence(error.value)
