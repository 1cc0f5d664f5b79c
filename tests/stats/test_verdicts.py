"""Verdicts follow their rules, at and around every border."""

import numpy as np
import pytest
from small_models import one_sentence

from paperlib.stats import verdicts
from paperlib.stats.accuracy import Interval
from paperlib.stats.verdicts import (
    NOT_SUPPORTED,
    NOT_TESTABLE,
    SUPPORTED,
    band_verdict,
    beats_every_rival,
    by_benchmarks,
    by_entry_depth,
    by_gain,
    by_growth,
    by_margin,
    by_place,
    by_threshold,
    by_votes,
    enough,
    thirds,
    vote,
    votes_together,
)

CENTRES = [0.1, 0.3, 0.5, 0.7, 0.9]
GROUPS = [str(i) for i in range(40)]


def effects(early, middle, late, noise=0.05):
    means = np.array([early, early, middle, late, late])
    return means[:, None] + noise * np.random.default_rng(0).normal(size=(5, 40))


def test_thirds():
    assert thirds([0, 0.33, 0.34, 0.66, 0.67, 1]).tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    "means, expected",
    [
        ((0, 1, 0), "for"),
        ((1, 0, 0), "against"),
        ((0, 0, 1), "against"),
        ((1, 0.5, 0), "against"),
        ((0, 0, 0), "open"),
        ((0, 1, 1), "open"),
    ],
)
def test_votes(means, expected):
    found = vote(effects(*means), CENTRES, GROUPS)
    assert found.vote == expected
    assert found.over_early.value == pytest.approx(means[1] - means[0], abs=0.05)
    assert found.over_late.value == pytest.approx(means[1] - means[2], abs=0.05)


def test_a_vote_is_paired_and_needs_every_third():
    shift = np.random.default_rng(1).normal(size=40)  # examples differ far more than windows do
    assert vote(effects(0, 0.1, 0, 0.01) + 5 * shift, CENTRES, GROUPS).vote == "for"
    with pytest.raises(ValueError) as error:
        vote(np.zeros((2, 40)), [0.1, 0.9], GROUPS)
    assert "third" in one_sentence(error.value)


@pytest.mark.parametrize(
    "votes, expected",
    [
        (["for", "for", "open"], SUPPORTED),
        (["for", "open"], NOT_TESTABLE),
        (["for", "for", "against"], NOT_TESTABLE),
        (["for", "against", "against"], NOT_SUPPORTED),
        (["open", "open"], NOT_TESTABLE),
        ([], NOT_TESTABLE),
    ],
)
def test_verdict_by_votes(votes, expected):
    assert by_votes(votes) == expected


@pytest.mark.parametrize(
    "low, high, control, expected",
    [
        (0.9, 1.1, None, SUPPORTED),
        (0.89, 1.1, None, NOT_TESTABLE),
        (0.5, 0.89, None, NOT_SUPPORTED),
        (0.95, 1.1, (0.2, 0.5), SUPPORTED),
        (0.95, 1.1, (0.2, 0.96), NOT_TESTABLE),
        (0.5, 0.8, (0.1, 0.2), NOT_SUPPORTED),
    ],
)
def test_verdict_by_threshold(low, high, control, expected):
    control = control and Interval(sum(control) / 2, *control, 9)
    assert by_threshold(Interval((low + high) / 2, low, high, 9), 0.9, control) == expected
    assert by_threshold(None, 0.9, control) == NOT_TESTABLE


def between(low, high):
    return Interval((low + high) / 2, low, high, 9)


@pytest.mark.parametrize(
    "kept, gained, step, expected",
    [
        ((0.95, 1.1), (0.8, 1.2), (0.5, 0.99), SUPPORTED),
        ((0.94, 1.1), (0.8, 1.2), (0.5, 0.6), NOT_TESTABLE),
        ((0.95, 1.1), (0.79, 1.2), (0.5, 0.6), NOT_TESTABLE),
        ((0.95, 1.1), (0.8, 1.2), (0.5, 1.0), NOT_TESTABLE),
        ((0.8, 0.94), (0.8, 1.2), (0.5, 0.6), NOT_SUPPORTED),
        ((0.95, 1.1), (0.2, 0.79), (0.5, 0.6), NOT_SUPPORTED),
        ((0.95, 1.1), (0.8, 1.2), (1.0, 1.1), NOT_SUPPORTED),
        ((0.8, 0.95), (0.8, 1.2), (0.5, 0.6), NOT_TESTABLE),
        ((0.95, 1.1), (0.2, 0.8), (0.5, 0.6), NOT_TESTABLE),
    ],
)
def test_the_verdict_on_a_band(kept, gained, step, expected):
    assert band_verdict(between(*kept), between(*gained), between(*step), 0.95, 0.8) == expected
    assert band_verdict(between(*kept), None, between(*step), 0.95, 0.8) == NOT_TESTABLE
    assert band_verdict(None, between(*gained), between(*step), 0.95, 0.8) == NOT_TESTABLE


@pytest.mark.parametrize(
    "sparse, late, seeds, expected",
    [
        ((0.01, 0.1), (0.01, 0.1), (3, 3), "yes"),
        ((0, 0.1), (0.01, 0.1), (3, 3), "open"),
        ((0.01, 0.1), (0.01, 0.1), (3, 2), "open"),
        ((0.01, 0.1), (-0.2, -0.1), (3, 3), "no"),
        ((0.01, 0.1), (-0.2, -0.1), (3, 2), "open"),
        ((0.01, 0.1), (-0.2, 0), (3, 3), "open"),
    ],
)
def test_whether_a_band_beats_every_rival(sparse, late, seeds, expected):
    over, counts = {"sparse": between(*sparse), "late": between(*late)}, dict(zip(("sparse", "late"), seeds))
    assert beats_every_rival(over, counts, ("sparse", "late")) == expected
    assert beats_every_rival(over, counts, ("sparse", "late", "early")) == ("no" if expected == "no" else "open")


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (0.34, 0.66, SUPPORTED),
        (0.5, 0.5, SUPPORTED),
        (0.67, 1, NOT_SUPPORTED),
        (0, 0.33, NOT_SUPPORTED),
        (0.3, 0.5, NOT_TESTABLE),
        (0.5, 0.7, NOT_TESTABLE),
        (0.1, 0.9, NOT_TESTABLE),
    ],
)
def test_verdict_by_place(low, high, expected):
    assert by_place(between(low, high)) == expected
    assert by_place(None) == NOT_TESTABLE


UP, DOWN, FLAT, EDGE = between(0.1, 0.3), between(-0.3, -0.1), between(-0.1, 0.1), between(0, 0.2)


@pytest.mark.parametrize(
    "captions, pictures, expected",
    [
        ((UP, FLAT), (FLAT, UP), SUPPORTED),
        ((UP, UP), (UP, EDGE), SUPPORTED),
        ((UP, FLAT), (FLAT, EDGE), NOT_TESTABLE),
        ((UP, DOWN), (UP, UP), NOT_TESTABLE),
        ((FLAT, FLAT), (FLAT, FLAT), NOT_TESTABLE),
        ((UP, FLAT), (DOWN, FLAT), NOT_TESTABLE),
        ((DOWN, FLAT), (EDGE, FLAT), NOT_SUPPORTED),
        ((DOWN, DOWN), (DOWN, DOWN), NOT_SUPPORTED),
    ],
)
def test_verdict_by_growth(captions, pictures, expected):
    assert by_growth([captions, pictures]) == by_growth([pictures, captions]) == expected


@pytest.mark.parametrize(
    "gained, reached, null, expected",
    [
        (UP, 0.3, 0.2, SUPPORTED),
        (UP, 0.2, 0.3, NOT_TESTABLE),
        (UP, 0.2, 0.2, NOT_TESTABLE),
        (EDGE, 0.3, 0.2, NOT_TESTABLE),
        (FLAT, 0.3, 0.2, NOT_TESTABLE),
        (DOWN, 0.3, 0.2, NOT_SUPPORTED),
        (DOWN, 0.2, 0.3, NOT_SUPPORTED),
        (between(-0.2, 0), 0.3, 0.2, NOT_TESTABLE),
    ],
)
def test_verdict_by_gain(gained, reached, null, expected):
    assert by_gain(gained, reached, null) == expected


def test_enough_is_by_the_lower_ends_of_both():
    assert enough(between(0.95, 1.1), between(0.80, 1.2))
    assert not enough(between(0.94, 1.1), between(0.80, 1.2)) and not enough(between(0.95, 1.1), between(0.79, 1.2))
    assert not enough(None, between(0.9, 1.2)) and not enough(between(0.97, 1.0), None)


@pytest.mark.parametrize(
    "depth, margins, expected",
    [
        ((0.25, 0.5), (UP, UP, UP), SUPPORTED),
        ((0.24, 0.5), (UP, UP, UP), NOT_TESTABLE),
        ((0.5, 0.6), (UP, EDGE, UP), NOT_TESTABLE),
        ((0.1, 0.24), (UP, UP, UP), NOT_SUPPORTED),
        ((0.5, 0.6), (UP, UP, DOWN), NOT_SUPPORTED),
        ((0.1, 0.25), (UP, FLAT, UP), NOT_TESTABLE),
    ],
)
def test_verdict_by_entry_depth(depth, margins, expected):
    assert by_entry_depth(between(*depth), margins, 0.25) == expected


def test_nothing_seen_supports_nothing():
    """`all` of nothing is true."""
    sure = Interval(0.9, 0.8, 1.0, 9)
    assert verdicts.by_growth([]) == verdicts.by_entry_depth(sure, [], 0.3) == verdicts.NOT_TESTABLE
    assert verdicts.beats_every_rival({}, {}, []) == "open"


@pytest.mark.parametrize(
    "centres", [[0.1, 0.5, 1.5], [-0.2, 0.5, 0.9], [0.1, float("nan"), 0.9], [0.1, 0.5], [1, 5, 9]]
)
def test_a_vote_needs_a_depth_for_each_window(centres):
    with pytest.raises(ValueError, match="a centre in relative depth, from 0 to 1"):
        verdicts.vote(np.eye(3, 8), centres, list("aabbccdd"))


def test_votes_together_are_harder_to_cast_than_each_alone():
    rng = np.random.default_rng(7)
    methods = {str(i): (rng.normal(size=(5, 40)), GROUPS) for i in range(40)}  # nothing to find
    alone = [vote(effects, CENTRES, GROUPS, seed=1).vote for effects, _ in methods.values()]
    assert alone.count("open") < 40
    assert {found.vote for found in votes_together(methods, CENTRES).values()} == {"open"}
    clear = methods | {"middle": (effects(0, 1, 0), GROUPS), "late": (effects(0, 0, 1), GROUPS)}
    found = votes_together(clear, CENTRES)
    assert (found["middle"].vote, found["late"].vote) == ("for", "against") and list(found) == list(clear)
    assert votes_together({}, CENTRES) == {}


@pytest.mark.parametrize(
    "votes, said, verdict",
    [
        ({"a": ["for", "open"], "b": ["for"], "c": ["open"]}, "for for open", SUPPORTED),
        ({"a": ["for", "against"], "b": ["open"]}, "open open", NOT_TESTABLE),
        ({"a": ["against", "open"], "b": ["for"], "c": ["against"]}, "against for against", NOT_SUPPORTED),
        ({"a": ["for"], "b": ["for"], "c": ["against"]}, "for for against", NOT_TESTABLE),
        ({}, "", NOT_TESTABLE),
    ],
)
def test_benchmarks_vote_by_their_methods(votes, said, verdict):
    found, rule = by_benchmarks(votes)
    assert " ".join(found.values()) == said and rule == verdict


@pytest.mark.parametrize(
    "ends, verdict",
    [
        ([(-4, 2), (-1, 1)], SUPPORTED),
        ([(-6, 2), (-1, 1)], NOT_TESTABLE),
        ([(-9, -5.1), (-1, 1)], NOT_SUPPORTED),
        ([(-5, 1)], NOT_TESTABLE),
        ([], NOT_TESTABLE),
    ],
)
def test_a_band_may_fall_short_by_a_margin(ends, verdict):
    assert by_margin([Interval((a + b) / 2, a, b, 9) for a, b in ends], 5.0) == verdict
