"""Votes on the middle: paired, together, between several borders."""

import numpy as np
import pytest
from small_models import one_sentence

from paperlib.stats.conditions import SUPPORTED, UNMET, Verdict
from paperlib.stats.votes import PAPER, regions, vote_of, votes_together

CENTRES = [0.1, 0.3, 0.5, 0.7, 0.9]
GROUPS = [str(i) for i in range(40)]


def effects(early, middle, late, noise=0.05):
    means = np.array([early, early, middle, late, late])
    return means[:, None] + noise * np.random.default_rng(0).normal(size=(5, 40))


def alone(effects, centres=CENTRES, **how):
    return votes_together({"it": (effects, GROUPS)}, centres, **how)["it"]


def test_regions():
    assert regions([0, 0.33, 1 / 3, 0.66, 2 / 3, 1]).tolist() == [0, 0, 1, 1, 2, 2]
    assert regions([i / 30 for i in (9, 10, 19, 20)]).tolist() == [0, 1, 1, 2]
    assert regions([5 / 32, 6 / 32, 16 / 32, 17 / 32], PAPER).tolist() == [0, 1, 1, 2]


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
    found = alone(effects(*means))
    assert found.vote == expected
    assert found.over_early.value == pytest.approx(means[1] - means[0], abs=0.05)
    assert found.over_late.value == pytest.approx(means[1] - means[2], abs=0.05)


def test_other_borders_make_another_middle():
    early = np.array([0, 1, 0.5, 0, 0.0])[:, None] + 0.01 * np.random.default_rng(0).normal(size=(5, 40))
    assert alone(early, borders=(0.2, 0.6)).vote == "for" and alone(early).vote == "open"


def test_a_vote_is_paired_and_needs_every_region():
    shift = np.random.default_rng(1).normal(size=40)  # examples differ far more than windows do
    assert alone(effects(0, 0.1, 0, 0.01) + 5 * shift).vote == "for"
    with pytest.raises(ValueError) as error:
        alone(np.zeros((2, 40)), [0.1, 0.9])
    assert "A vote needs windows" in one_sentence(error.value)


@pytest.mark.parametrize(
    "centres", [[0.1, 0.5, 1.5], [-0.2, 0.5, 0.9], [0.1, float("nan"), 0.9], [0.1, 0.5], [1, 5, 9]]
)
def test_a_vote_needs_a_depth_for_each_window(centres):
    with pytest.raises(ValueError, match="a centre in relative depth, from 0 to 1"):
        alone(np.eye(3, 40), centres)


def test_votes_together_are_harder_to_cast_than_each_alone():
    rng = np.random.default_rng(7)
    methods = {str(i): (rng.normal(size=(5, 40)), GROUPS) for i in range(40)}  # nothing to find
    single = [alone(effects, seed=1).vote for effects, _ in methods.values()]
    assert single.count("open") < 40
    assert {found.vote for found in votes_together(methods, CENTRES).values()} == {"open"}
    clear = methods | {"middle": (effects(0, 1, 0), GROUPS), "late": (effects(0, 0, 1), GROUPS)}
    found = votes_together(clear, CENTRES)
    assert (found["middle"].vote, found["late"].vote) == ("for", "against") and list(found) == list(clear)
    assert votes_together({}, CENTRES) == {}


def test_what_is_no_clear_word_is_an_open_vote():
    assert vote_of(Verdict(SUPPORTED)) == "for" and vote_of(Verdict(UNMET)) == "open"
