"""Tests of paperlib.stats.phrases."""

import pytest

from paperlib.stats.bootstrap import Interval
from paperlib.stats.phrases import by_direction, scaled, values

UP, DOWN, OPEN = Interval(0.09, 0.02, 0.15, 8), Interval(-0.3, -0.4, -0.2, 8), Interval(0.01, -0.1, 0.1, 8)


def test_each_is_named_beside_its_word_and_its_numbers():
    said = by_direction({"a": UP, "b": OPEN, "c": UP, "d": DOWN})
    assert said == (
        "rises for a (+9 [+2, +15]) and c (+9 [+2, +15]); falls for d (-30 [-40, -20]); "
        "does not change clearly for b (+1 [-10, +10])"
    )


def test_words_without_a_name_are_left_out_and_may_be_ones_own():
    assert by_direction({"a": DOWN}, down="less for", spec="+.1f", scale=1) == "less for a (-0.3 [-0.4, -0.2])"
    with pytest.raises(ValueError, match="at least one"):
        by_direction({})


def test_values():
    assert values({"a": UP, "b": OPEN}) == "a (9 [2, 15]) and b (1 [-10, 10])"
    assert values({}) == "none"
    assert scaled(UP) == pytest.approx(Interval(9, 2, 15, 8)) and scaled(UP).n == 8
