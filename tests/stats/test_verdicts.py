"""Every rule comes out in all the words that it can, at and around every border."""

import numpy as np
import pytest

from paperlib.stats.conditions import (
    CONTRADICTORY,
    INCONCLUSIVE,
    NOT_SUPPORTED,
    SUPPORTED,
    UNMET,
    Verdict,
    above,
    decide,
    stricter,
)
from paperlib.stats.interval import Interval
from paperlib.stats.onset import onset
from paperlib.stats.verdicts import (
    band_verdict,
    beats_every_rival,
    by_bypass,
    by_entry_depth,
    by_gain,
    by_groups,
    by_growth,
    by_margin,
    by_onsets,
    by_place,
    by_votes,
    enough,
)
from paperlib.stats.votes import PAPER, votes_together

FOR, AGAINST, OPEN, NONE = Verdict(SUPPORTED), Verdict(NOT_SUPPORTED), Verdict(INCONCLUSIVE, 3.0, 1), Verdict(UNMET)


def between(low, high):
    return Interval((low + high) / 2, low, high, 9)


UP, DOWN, FLAT, EDGE = between(0.1, 0.3), between(-0.3, -0.1), between(-0.1, 0.12), between(0, 0.2)


@pytest.mark.parametrize(
    "keeps, over, word",
    [
        ((0.9, 1.1), UP, SUPPORTED),
        ((0.89, 1.1), UP, INCONCLUSIVE),
        ((0.9, 1.1), EDGE, INCONCLUSIVE),
        ((0.5, 0.89), UP, NOT_SUPPORTED),
        ((0.9, 1.1), DOWN, NOT_SUPPORTED),
        (None, UP, UNMET),
        ((0.9, 1.1), None, UNMET),
    ],
)
def test_c1_by_bypass(keeps, over, word):
    assert by_bypass(keeps and between(*keeps), over, 0.9).word == word


@pytest.mark.parametrize(
    "depth, margins, word",
    [
        ((0.25, 0.5), (UP, UP, UP), SUPPORTED),
        ((0.24, 0.5), (UP, UP, UP), INCONCLUSIVE),
        ((0.5, 0.6), (UP, EDGE, UP), INCONCLUSIVE),
        ((0.1, 0.24), (UP, UP, UP), NOT_SUPPORTED),
        ((0.5, 0.6), (UP, UP, DOWN), NOT_SUPPORTED),
        ((0.5, 0.6), (), UNMET),
    ],
)
def test_c1_by_geometry(depth, margins, word):
    assert by_entry_depth(between(*depth), margins, 0.25).word == word


MIDDLE, LATE, ASTRIDE = between(0.4, 0.5), between(0.7, 0.8), between(0.3, 0.5)


@pytest.mark.parametrize(
    "onsets, word",
    [
        ((MIDDLE, MIDDLE, ASTRIDE), SUPPORTED),
        ((MIDDLE, None, None), SUPPORTED),
        ((LATE, LATE, ASTRIDE), NOT_SUPPORTED),
        ((between(0.1, 0.2), LATE, None), NOT_SUPPORTED),
        ((MIDDLE, LATE, MIDDLE), CONTRADICTORY),
        ((MIDDLE, ASTRIDE, ASTRIDE), INCONCLUSIVE),
        ((None, None), UNMET),
    ],
)
def test_c2_by_onsets(onsets, word):
    votes, verdict = by_onsets({str(i): at for i, at in enumerate(onsets)})
    assert verdict.word == word and len(votes) == len(onsets)
    assert [vote.word == UNMET for vote in votes.values()] == [at is None for at in onsets]


def test_c2_by_a_place_and_by_other_borders():
    assert [by_place(at).word for at in (MIDDLE, LATE, ASTRIDE, None)] == [
        SUPPORTED,
        NOT_SUPPORTED,
        INCONCLUSIVE,
        UNMET,
    ]
    assert (
        by_place(between(0.2, 0.3), PAPER).word == SUPPORTED
        and by_place(between(0.55, 0.6), PAPER).word == NOT_SUPPORTED
    )
    assert by_onsets({"a": between(0.2, 0.3)}, PAPER)[1].word == SUPPORTED


@pytest.mark.parametrize(
    "votes, word",
    [
        ([FOR, FOR, OPEN], SUPPORTED),
        ([FOR, OPEN], INCONCLUSIVE),
        ([FOR, FOR, AGAINST], CONTRADICTORY),
        ([AGAINST, AGAINST, OPEN], NOT_SUPPORTED),
        ([AGAINST, OPEN, OPEN], INCONCLUSIVE),
        ([FOR, NONE, NONE], SUPPORTED),
        ([Verdict(CONTRADICTORY), OPEN], CONTRADICTORY),
        ([Verdict(CONTRADICTORY), FOR, FOR], SUPPORTED),
        ([NONE, NONE], UNMET),
        ([], UNMET),
    ],
)
def test_votes_are_counted(votes, word):
    assert by_votes(votes).word == by_votes(votes[::-1]).word == word


def test_how_many_would_decide_a_vote_is_what_a_majority_needs():
    opens = [Verdict(INCONCLUSIVE, times, 1) for times in (9.0, 2.0, 5.0)]
    found = by_votes([FOR, *opens])
    assert found.times == stricter(5.0, 2) > 5.0, "three of four are more than half, and one is there"
    assert by_votes([FOR, FOR, *opens[:2]]).times == stricter(2.0, 1) == 2.0
    assert (
        by_votes([AGAINST, *opens]).times is None and by_votes([opens[0], Verdict(INCONCLUSIVE, 2.0, -1)]).times is None
    )
    assert by_votes([opens[0], Verdict(INCONCLUSIVE)]).times is None


def test_two_open_votes_are_cast_together_four_times_in_five():
    """At the n that is named for two votes of equal doubt, each a mean of its own examples."""
    rng, half = np.random.default_rng(0), 1.96 / 50**0.5
    one = decide([above(Interval(0.2, 0.2 - half, 0.2 + half, 50))])
    n = round(50 * by_votes([one, one]).times)
    seen = rng.normal(0.2, 1, size=(1500, 2, n))
    clear = seen.mean(2) - 1.96 * seen.std(2, ddof=1) / n**0.5 > 0
    assert clear.all(1).mean() == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize(
    "groups, said, word",
    [
        ({"a": [FOR, OPEN], "b": [FOR], "c": [OPEN]}, [SUPPORTED, SUPPORTED, INCONCLUSIVE], SUPPORTED),
        ({"a": [FOR, AGAINST], "b": [OPEN]}, [CONTRADICTORY, INCONCLUSIVE], CONTRADICTORY),
        ({"a": [FOR, AGAINST], "b": [FOR], "c": [FOR]}, [CONTRADICTORY, SUPPORTED, SUPPORTED], SUPPORTED),
        ({"a": [AGAINST, OPEN], "b": [NONE]}, [NOT_SUPPORTED, UNMET], NOT_SUPPORTED),
        ({"a": [FOR], "b": [AGAINST]}, [SUPPORTED, NOT_SUPPORTED], CONTRADICTORY),
        ({}, [], UNMET),
    ],
)
def test_a_group_is_counted_once(groups, said, word):
    found, verdict = by_groups(groups)
    assert [v.word for v in found.values()] == said and verdict.word == word


def test_one_event_seen_by_many_methods_is_one_vote():
    many = {"hand-over": [FOR] * 5, "entry": [OPEN], "other": [OPEN]}
    assert by_groups(many)[1].word == INCONCLUSIVE and by_votes([FOR] * 5 + [OPEN] * 2).word == SUPPORTED


@pytest.mark.parametrize(
    "captions, pictures, word",
    [
        ((UP, FLAT), (FLAT, UP), SUPPORTED),
        ((UP, UP), (UP, EDGE), SUPPORTED),
        ((UP, FLAT), (FLAT, EDGE), INCONCLUSIVE),
        ((FLAT, FLAT), (FLAT, FLAT), INCONCLUSIVE),
        ((UP, DOWN), (UP, UP), CONTRADICTORY),
        ((UP, FLAT), (DOWN, FLAT), CONTRADICTORY),
        ((DOWN, FLAT), (EDGE, FLAT), NOT_SUPPORTED),
        ((DOWN, DOWN), (DOWN, DOWN), NOT_SUPPORTED),
    ],
)
def test_c4(captions, pictures, word):
    for changes in ({"captions": captions, "pictures": pictures}, {"pictures": pictures, "captions": captions}):
        assert by_growth(changes, [UP, UP]).word == word
        assert by_growth(changes, [UP, FLAT]).word == by_growth(changes, [DOWN, UP]).word == UNMET
    assert by_growth({}, [UP]).word == UNMET
    assert by_growth({"captions": (UP, FLAT)}, [FLAT]).times and not by_growth({"a": (UP,)}, [DOWN]).times


def test_how_many_would_decide_c4_is_what_the_nearest_word_needs():
    near, far, sinking = between(-0.01, 0.11), between(-0.5, 0.52), between(-0.2, 0.02)
    assert by_growth({"a": [near], "b": [sinking]}, [UP]) == Verdict(INCONCLUSIVE, above(sinking).times(), -1)
    both = by_growth({"a": [near], "b": [far]}, [UP])
    assert both.leans == 1 and both.times > above(far).times(), "both must rise, so each needs more"
    assert by_growth({"a": [UP], "b": [sinking]}, [UP]).times is None, "it would contradict"


@pytest.mark.parametrize(
    "middle, others, beyond, word",
    [
        (UP, (UP, UP), UP, SUPPORTED),
        (UP, (UP, EDGE), UP, INCONCLUSIVE),
        (UP, (UP, UP), FLAT, INCONCLUSIVE),
        (UP, (UP, DOWN), UP, NOT_SUPPORTED),
        (DOWN, (UP, UP), UP, NOT_SUPPORTED),
        (UP, (UP, UP), DOWN, NOT_SUPPORTED),
        (UP, (), UP, UNMET),
    ],
)
def test_c5(middle, others, beyond, word):
    assert by_gain(middle, others, beyond).word == word


@pytest.mark.parametrize(
    "kept, gained, step, word",
    [
        ((0.95, 1.1), (0.8, 1.2), (0.5, 0.99), SUPPORTED),
        ((0.94, 1.1), (0.8, 1.2), (0.5, 0.6), INCONCLUSIVE),
        ((0.95, 1.1), (0.79, 1.2), (0.5, 0.6), INCONCLUSIVE),
        ((0.95, 1.1), (0.8, 1.2), (0.5, 1.0), INCONCLUSIVE),
        ((0.8, 0.94), (0.8, 1.2), (0.5, 0.6), NOT_SUPPORTED),
        ((0.95, 1.1), (0.2, 0.79), (0.5, 0.6), NOT_SUPPORTED),
        ((0.95, 1.1), (0.8, 1.2), (1.01, 1.1), NOT_SUPPORTED),
        (None, (0.8, 1.2), (1.01, 1.1), UNMET),
    ],
)
def test_c6_for_a_band(kept, gained, step, word):
    kept, gained, step = (ends and between(*ends) for ends in (kept, gained, step))
    assert band_verdict(kept, gained, step, 0.95, 0.8).word == word
    assert band_verdict(kept, None, step, 0.95, 0.8).word == UNMET


def test_timed_rounds_are_no_questions():
    open_time = band_verdict(between(0.96, 1.1), between(0.9, 1.2), between(0.9, 1.1))
    assert open_time == Verdict(INCONCLUSIVE) and band_verdict(between(0.9, 1.1), UP, between(0.5, 0.6), 0.95, 0).times
    both_open = band_verdict(between(0.9, 1.1), between(0.9, 1.2), between(0.9, 1.1))
    assert both_open == Verdict(INCONCLUSIVE), "no number of questions closes the time"
    assert band_verdict(between(0.8, 0.97), between(0.9, 1.2), between(0.9, 1.1)).times, (
        "it would fail whatever the time"
    )


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
    assert beats_every_rival({}, {}, []) == "open"


def test_enough_is_by_the_lower_ends_of_both():
    assert enough(between(0.95, 1.1), between(0.80, 1.2))
    assert not enough(between(0.94, 1.1), between(0.80, 1.2)) and not enough(between(0.95, 1.1), between(0.79, 1.2))
    assert not enough(None, between(0.9, 1.2)) and not enough(between(0.97, 1.0), None)


@pytest.mark.parametrize(
    "ends, word",
    [
        ([(-4, 2), (-1, 1)], SUPPORTED),
        ([(-6, 2), (-1, 1)], INCONCLUSIVE),
        ([(-9, -5.1), (-1, 1)], NOT_SUPPORTED),
        ([], UNMET),
    ],
)
def test_c6_by_a_margin(ends, word):
    assert by_margin([between(*pair) for pair in ends], 5.0).word == word


CENTRES, DEPTH = [0.1, 0.267, 0.433, 0.6, 0.767, 0.933], np.linspace(0, 1, 11)


def planted(profile, n, rng):
    """Importance of six windows for n examples with as much noise as there is effect."""
    return np.array(profile)[:, None] + rng.normal(size=(6, n))


def test_a_true_claim_passes_and_a_false_one_does_not():
    """Six methods over 100 pictures: the middle matters, the late third does, nothing does."""
    rng, groups = np.random.default_rng(0), [str(i) for i in range(100)]
    middle, late, flat = [0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1], [0.5] * 6
    for profile, word in ((middle, SUPPORTED), (late, NOT_SUPPORTED), (flat, INCONCLUSIVE)):
        methods = {str(i): (planted(profile, 100, rng), groups) for i in range(6)}
        found = [vote.verdict for vote in votes_together(methods, CENTRES).values()]
        assert by_votes(found).word == word, (profile, found)


@pytest.mark.parametrize("at, word", [(0.5, SUPPORTED), (0.85, NOT_SUPPORTED), (0.15, NOT_SUPPORTED)])
def test_a_transfer_that_sets_in_there_and_stays_is_judged_by_where(at, word):
    """What the former rule could not: an accuracy that rises in the middle and never falls again."""
    rng, groups = np.random.default_rng(3), [str(i) for i in range(120)]
    share = 0.25 + 0.6 / (1 + np.exp(-(DEPTH - at) / 0.03))
    found = {}
    for task in "abc":
        right = (rng.random((len(DEPTH), 120)) < share[:, None]).astype(float)
        found[task] = onset(right, DEPTH, groups, level=1 - 0.05 / 3)
    assert by_onsets(found)[1].word == word
