"""Tests of paperlib.stats.words."""

import pytest

from paperlib.stats.bootstrap import Interval
from paperlib.stats.words import (
    by_direction,
    by_word,
    count,
    direction,
    listed,
    names_above,
    sentence_case,
    values,
    written,
)

UP, DOWN, OPEN = Interval(0.09, 0.02, 0.15, 8), Interval(-0.3, -0.4, -0.2, 8), Interval(0.01, -0.1, 0.1, 8)


@pytest.mark.parametrize(
    ("low", "high", "by", "said"),
    [
        (0.1, 0.5, 0, "rises"),
        (-0.5, -0.1, 0, "falls"),
        (-0.1, 0.5, 0, "does not change clearly"),
        (0.0, 0.5, 0, "does not change clearly"),
        (0.1, 0.5, 0.2, "does not change clearly"),
        (-0.5, -0.3, 0.2, "falls"),
    ],
)
def test_a_direction_is_said_only_where_the_interval_lies_on_one_side(low, high, by, said):
    assert direction(Interval((low + high) / 2, low, high, 9), by=by) == said


def test_words_of_ones_own():
    assert direction(Interval(1, 0.5, 2, 9), up="widens") == "widens"


def test_lists_and_counts():
    assert [listed(list(names)) for names in ("", "a", "ab", "abc")] == ["none", "a", "a and b", "a, b and c"]
    assert [count(1, "task"), count(2000, "task"), count(2, "query", "queries")] == [
        "1 task",
        "2,000 tasks",
        "2 queries",
    ]


def test_a_value_that_is_missing_says_so():
    assert written(None) == "–" and written(None, none="no number of") == "no number of"
    assert [written(v, ".1f") for v in (2.0, 3000, True, "two")] == ["2.0", "3,000", "True", "two"]
    assert written(Interval(0.5, 0.25, 0.75, 4), ".0%") == "50 % [25, 75]"


def test_names_are_grouped_by_the_word_that_holds_of_them():
    assert by_word({"a": "ahead of", "b": "behind", "c": "ahead of"}) == "ahead of a and c; behind b"
    assert by_word({}) == ""


def test_each_is_named_beside_its_word_and_its_numbers():
    said = by_direction({"a": UP, "b": OPEN, "c": UP, "d": DOWN})
    assert said == (
        "rises for a (+9 [+2, +15]) and c (+9 [+2, +15]); falls for d (-30 [-40, -20]); "
        "does not change clearly for b (+1 [-10, +10])"
    )


def test_words_without_a_name_are_left_out_and_may_be_ones_own():
    assert by_direction({"a": DOWN}, down="less for", spec="+.1f") == "less for a (-0.3 [-0.4, -0.2])"
    with pytest.raises(ValueError, match="at least one"):
        by_direction({})


def test_values():
    assert values({"a": UP, "b": OPEN}) == "a (9 [2, 15]) and b (1 [-10, 10])"
    assert values({}) == "none"


def test_names_of_what_lies_clearly_above():
    rows = [{"kind": "a", "share": UP}, {"kind": "b", "share": OPEN}, {"kind": "c", "share": None}]
    assert names_above(rows, "kind", "share") == ["a"] and names_above(rows, "kind", "share", -2) == ["a", "b"]


def test_a_sentence_begins_with_a_great_letter_and_names_stay():
    assert sentence_case("LLM before tuning") == "LLM before tuning" and sentence_case("stage 1") == "Stage 1"
    assert sentence_case("") == ""
