"""Tests of paperlib.stats.words."""

import pytest

from paperlib.stats.bootstrap import Interval
from paperlib.stats.words import count, direction, listed


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
