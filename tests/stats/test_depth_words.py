"""Tests of paperlib.stats.depth_words."""

import pytest

from paperlib.stats.bootstrap import Interval
from paperlib.stats.depth_words import against_level, against_levels, amount, depths_where, described

DEPTHS = [0.1, 0.3, 0.5, 0.7]
ABOVE, ACROSS, BELOW = Interval(2, 1, 3, 9), Interval(0.5, -1, 2, 9), Interval(-2, -3, -1, 9)


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ([0, 0, 0, 0], ""),
        ([1, 0, 0, 0], "0.10"),
        ([1, 1, 0, 1], "0.10 to 0.30 and 0.70"),
        ([1, 1, 1, 1], "0.10 to 0.70"),
        ([1, 0, 1, 0], "0.10 and 0.50"),
    ],
)
def test_neighbouring_depths_are_joined(chosen, said):
    assert depths_where(DEPTHS, chosen) == said


def test_each_depth_is_on_one_side_of_the_level_or_on_none():
    said = against_level(DEPTHS, [ABOVE, ABOVE, ACROSS, BELOW])
    assert said == "is clearly above 0 at 0.10 to 0.30, clearly below it at 0.70, and not told from it at 0.50"
    assert against_level(DEPTHS, [ABOVE] * 4) == "is clearly above 0 at every depth tried"
    assert against_level(DEPTHS, [ABOVE] * 4, level=3.5, shown="3.5") == "is clearly below 3.5 at every depth tried"


def test_an_interval_that_ends_at_the_level_is_not_told_from_it():
    assert against_level([0.1], [Interval(1, 0, 2, 9)]) == "is not told from 0 at every depth tried"


def test_several_levels_in_one_sentence():
    said = against_levels(DEPTHS, [ABOVE] * 4, {0: "0", 9: "all"})
    assert said == "is clearly above 0 at every depth tried; it is clearly below all at every depth tried"
    assert against_levels(DEPTHS, [None] * 4, {0: "0", 9: "all"}) == against_level(DEPTHS, [None] * 4)


def test_depths_without_an_estimate_are_left_out():
    said = against_level(DEPTHS, [None, ABOVE, None, BELOW])
    assert said == "is clearly above 0 at 0.30, and clearly below it at 0.70"
    assert described("It", DEPTHS, [None] * 4) == "It is not reported, since there is no gap to share."


def test_what_is_known_exactly_is_said_so():
    assert against_level([0.1, 0.3], [Interval(1, 1, 1, 9), ABOVE], 1, "all") == (
        "is equal to all at 0.10, and not told from it at 0.30"
    )


def test_the_largest_estimate_comes_with_its_interval_and_place():
    said = described("Loss", DEPTHS, [ACROSS, None, ABOVE, BELOW], "+.1f", " points")
    assert said.startswith("Loss is clearly above 0 at 0.50, clearly below it at 0.70, and")
    assert said.endswith("; its largest estimate is +2.0 [+1.0, +3.0] points, at 0.50.")
    assert described("Share", [0.25], [Interval(0.5, 0.25, 1, 9)]).endswith("is 50 % [25, 100], at 0.25.")


def test_amounts():
    assert amount(Interval(0.18, -0.22, 0.4, 9)) == "18 % [-22, 40]" and "no gap" in amount(None)


def test_lengths_must_agree():
    for function in (against_level, lambda *curve: described("It", *curve)):
        with pytest.raises(ValueError):
            function(DEPTHS, [ABOVE])
    with pytest.raises(ValueError):
        depths_where(DEPTHS, [True])
