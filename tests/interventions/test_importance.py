"""Tests of paperlib.interventions.importance."""

import numpy as np
import pytest

from paperlib.interventions.importance import (
    Method,
    agreement_rows,
    agreement_sentences,
    by_third,
    count_votes,
    peak_sentence,
    relative,
    vote_rows,
)
from paperlib.stats.bootstrap import Interval

CENTRES = [0.1, 0.3, 0.5, 0.7, 0.9]
GROUPS = [str(i) for i in range(12)]


def method(name, profile, unit="points", event="one"):
    noise = np.random.default_rng(len(name)).normal(0, 0.05, (len(profile), len(GROUPS)))
    return Method(name, np.array(profile)[:, None] + noise, GROUPS, unit, event)


def test_votes_are_those_of_the_rule_and_keep_their_unit():
    rows = vote_rows([method("middle", [0, 0, 3, 0, 0]), method("late", [0, 0, 0, -6, 9], "nats")], CENTRES)
    assert [row["vote"] for row in rows] == ["for", "against"]
    assert [row["unit"] for row in rows] == ["points", "nats"]
    assert rows[0]["middle minus early"].value == pytest.approx(3, abs=0.1)
    assert rows[1]["middle minus late"].value == pytest.approx(-1.5, abs=0.1)
    assert rows[1]["largest"] == pytest.approx(9, abs=0.1)
    assert [row["peak"] for row in rows] == [0.5, 0.9]
    assert rows[0]["n"] == rows[0]["pictures"] == 12


def test_pictures_are_counted_once():
    two = Method("a", np.ones((5, 4)), ["x", "x", "y", "y"], "points", "one")
    assert vote_rows([two], CENTRES)[0]["pictures"] == 2


def test_differences_compare_as_shares_of_the_largest_importance():
    assert relative(Interval(-4, -6, 2, 7), 4) == Interval(-1, -1.5, 0.5, 7)
    assert relative(Interval(0, 0, 0, 7), 0) == Interval(0, 0, 0, 7)


def test_every_pair_of_methods_is_compared_once_the_most_alike_first():
    up, down = method("up", [0, 1, 2, 3, 4]), method("down", [4, 3, 2, 1, 0])
    like, flat = method("like up", [0, 1, 2, 4, 3]), Method("flat", np.zeros((5, 12)), GROUPS, "nats", "one")
    rows = agreement_rows([down, flat, up, like])
    found = [(row["method"], row["other method"], row["rank correlation"]) for row in rows]
    assert found[:3] == [
        ("up", "like up", pytest.approx(0.9)),
        ("down", "like up", pytest.approx(-0.9)),
        ("down", "up", pytest.approx(-1)),
    ]
    assert {rho for _, _, rho in found[3:]} == {None} and len(found) == 6
    most, least = agreement_sentences(rows)
    assert (
        most == "No two profiles are more alike than those of up and like up: their rank correlation is +0.90."
        and "less alike than those of down and up: their rank correlation is -1.00" in least
    )
    assert "flat" in agreement_sentences(rows[3:])[0]


def test_votes_and_peaks_in_words():
    rows = [
        {"method": name, "peak": peak, "vote": said}
        for name, peak, said in (("a", 0.5, "for"), ("b", 0.9, "open"), ("c", 0.5, "for"), ("d", 0.1, "against"))
    ]
    assert peak_sentence(rows) == "The most important window is centred at 0.10 by d; at 0.50 by a and c; at 0.90 by b."


def test_methods_that_look_at_one_event_are_counted_once():
    methods = [
        method("middle", [0, 0, 3, 0, 0], event="a"),
        method("middle too", [0, 0, 2, 0, 0], event="a"),
        method("late", [0, 0, 0, 6, 9], event="b"),
        method("flat", [1, 1, 1, 1, 1], event="c"),
    ]
    said = "for the middle third: 1 of 3 events that the methods look at; against: 1; open: 1"
    assert count_votes(methods, CENTRES) == said
    both = [method("middle", [0, 0, 3, 0, 0]), method("late", [0, 0, 0, 6, 9])]
    assert count_votes(both, CENTRES).endswith("against: 0; open: 1"), "they disagree"


def test_effects_are_averaged_within_thirds():
    found = by_third(np.array([[1.0], [3.0], [5.0], [7.0], [9.0]]), CENTRES)
    assert {name: values.tolist() for name, values in found.items()} == {
        "early third": [2.0],
        "middle third": [5.0],
        "late third": [8.0],
    }
    assert set(by_third(np.ones((1, 2)), [0.5])) == {"middle third"}
