"""Tests of paperlib.interventions.importance."""

import numpy as np
import pytest

from paperlib.interventions.importance import Method, agreement_rows, by_third, relative, vote_rows
from paperlib.stats.bootstrap import Interval

CENTRES = [0.1, 0.3, 0.5, 0.7, 0.9]
GROUPS = [str(i) for i in range(12)]


def method(name, profile, unit="points"):
    noise = np.random.default_rng(len(name)).normal(0, 0.05, (len(profile), len(GROUPS)))
    return Method(name, np.array(profile)[:, None] + noise, GROUPS, unit)


def test_votes_are_those_of_the_rule_and_keep_their_unit():
    rows = vote_rows([method("middle", [0, 0, 3, 0, 0]), method("late", [0, 0, 0, -6, 9], "nats")], CENTRES)
    assert [row["vote"] for row in rows] == ["for", "against"]
    assert [row["unit"] for row in rows] == ["points", "nats"]
    assert rows[0]["middle minus early"].value == pytest.approx(3, abs=0.1)
    assert rows[1]["middle minus late"].value == pytest.approx(-1.5, abs=0.1)
    assert rows[1]["largest"] == pytest.approx(9, abs=0.1)
    assert rows[0]["n"] == rows[0]["pictures"] == 12


def test_pictures_are_counted_once():
    two = Method("a", np.ones((5, 4)), ["x", "x", "y", "y"], "points")
    assert vote_rows([two], CENTRES)[0]["pictures"] == 2


def test_differences_compare_as_shares_of_the_largest_importance():
    assert relative(Interval(-4, -6, 2, 7), 4) == Interval(-1, -1.5, 0.5, 7)
    assert relative(Interval(0, 0, 0, 7), 0) == Interval(0, 0, 0, 7)


def test_every_pair_of_methods_is_compared_once():
    up, down, flat = (
        method("up", [0, 1, 2, 3, 4]),
        method("down", [4, 3, 2, 1, 0]),
        Method("flat", np.zeros((5, 12)), GROUPS, ""),
    )
    rows = agreement_rows([up, down, flat])
    assert [(row["method"], row["other method"]) for row in rows] == [("up", "down"), ("up", "flat"), ("down", "flat")]
    assert [row["rank correlation"] for row in rows] == [pytest.approx(-1), None, None]


def test_effects_are_averaged_within_thirds():
    found = by_third(np.array([[1.0], [3.0], [5.0], [7.0], [9.0]]), CENTRES)
    assert {name: values.tolist() for name, values in found.items()} == {
        "early third": [2.0],
        "middle third": [5.0],
        "late third": [8.0],
    }
    assert set(by_third(np.ones((1, 2)), [0.5])) == {"middle third"}
