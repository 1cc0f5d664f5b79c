"""Comparisons over seeds: by hand, and against the intervals that they are made of."""

import numpy as np
import pytest
from small_models import one_sentence

from paperlib.stats.effects import gap_share, paired_difference
from paperlib.tuning.band_results import BandResults, everything, pictured
from paperlib.tuning.band_runs import Answer


def run(arm, seed, right, other="", loss=(), suite="pictures"):
    """A run whose answers are right where a digit of ``right`` is 1, and not asked for "-"; two share a picture."""

    def answers(digits):
        return [
            Answer(f"{seed} {suite} q{i}", "colour", suite, f"{seed} p{i // 2}", digit == "1")
            for i, digit in enumerate(digits)
            if digit != "-"
        ]

    return {
        "arm": arm,
        "seed": seed,
        "loss": list(loss),
        "seconds": 1.0,
        "answers": answers(right),
        "other": answers(other),
    }


RUNS = [
    run("stage 1", 0, "10000010"),
    run("stage 1", 1, "01000100"),
    run("full", 0, "11110111", "1000", [5, 4, 3, 2, 1, 1]),
    run("full", 1, "11101111", loss=[6, 4, 3, 2, 2, 1]),
    run("mid", 0, "11010111", "1010", [5, 5, 4, 3, 2, 2]),
    run("mid", 1, "11101110", loss=[6, 5, 4, 4, 3, 2]),
    run("late", 1, "1110----", loss=[6, 4, 3, 3, 2]),
    run("early", 0, "", loss=[9, 9, 9]),
]


@pytest.fixture
def results():
    return BandResults(RUNS)


def test_who_was_asked_on_which_seeds(results):
    assert results.seeds == [0, 1]
    assert [results.asked(arm) for arm in ("full", "late", "early")] == [[0, 1], [1], []]
    assert sorted(results.losses("early")) == [0] and results.losses("stage 1") == {}


def test_what_is_missing(results):
    assert results.missing(["full", "mid", "late", "early", "sparse"]) == {
        "late": [0],
        "early": [0, 1],
        "sparse": [0, 1],
    }


def test_accuracies(results):
    assert results.accuracy("stage 1") == 4 / 16 and results.accuracy("stage 1", 0) == 2 / 8
    assert results.accuracy("mid", 1) == 6 / 8 and results.accuracy("late") == 3 / 4
    with pytest.raises(ValueError) as error:
        results.accuracy("late", 0)
    assert "late" in one_sentence(error.value)


def test_arms_are_paired_by_question_where_both_were_asked(results):
    scores, groups, ids = results.paired("mid", "late")
    assert ids == [f"1 pictures q{i}" for i in range(4)] and groups == ["1 p0", "1 p0", "1 p1", "1 p1"]
    assert scores.tolist() == [[1, 1, 1, 0], [1, 1, 1, 0]]
    with pytest.raises(ValueError) as error:
        results.paired("mid", "early")
    assert "'mid', 'early'" in one_sentence(error.value)


def test_differences_and_shares_are_those_of_the_paired_scores(results):
    (none, full, mid), groups, _ = results.paired("stage 1", "full", "mid")
    runs = [g[0] for g in groups]
    assert len(set(runs)) == 2 and len(none) == 16
    assert results.minus("mid", "full") == paired_difference(mid, full, groups, runs=runs)
    assert results.minus("mid", "full").value == pytest.approx(-2 / 16)
    assert results.minus("mid", "full", runs=None) == paired_difference(mid, full, groups)
    assert results.keeps("mid") == gap_share(mid, 0 * mid, full, groups, runs=runs)
    assert results.keeps("mid").value == pytest.approx(12 / 14)
    assert results.gains("mid") == gap_share(mid, none, full, groups, runs=runs)
    assert results.gains("mid").value == pytest.approx((12 - 4) / (14 - 4))
    narrow = {"level": 0.5, "n_boot": 300}
    assert results.keeps("mid", **narrow) == gap_share(mid, 0 * mid, full, groups, runs=runs, **narrow)
    assert results.gains("mid", **narrow) == gap_share(mid, none, full, groups, runs=runs, **narrow)
    assert results.minus("mid", "full", **narrow) == paired_difference(mid, full, groups, runs=runs, **narrow)
    assert results.gains("stage 1").value == 0 and results.gains("full").value == 1
    assert BandResults(RUNS, seed=3).minus("mid", "full") == paired_difference(mid, full, groups, runs=runs, seed=3)


def test_a_choice_of_questions(results):
    more = BandResults(
        [*RUNS, *(run(arm, 2, right, suite="text") for arm, right in (("full", "0011"), ("mid", "1111")))]
    )
    assert more.minus("mid", "full") == results.minus("mid", "full"), "performance is about pictures"
    assert more.minus("mid", "full", of=lambda a: a.suite == "text").value == 0.5
    assert len(more.answers("mid", everything)) == 20 and len(more.answers("mid", pictured)) == 16
    assert results.keeps("mid", of=lambda a: a.id.startswith("0 ")).value == pytest.approx(6 / 7)
    assert results.gains("mid", of=lambda a: a.id.endswith(("q2", "q3"))).value == pytest.approx((2 - 0) / (3 - 0))
    assert [
        pictured(Answer("0 x", "k", suite, "g", True))
        for suite in ("pictures", "pope", "held-out concepts", "outside", "text")
    ] == [True] * 4 + [False]


def test_arms_swap_all_answers_about_a_picture_or_none(results):
    swaps = []
    for seed in range(40):
        other = results.swap_answers("mid", "full", seed)
        assert other.answers("late") == results.answers("late") and other.seed == results.seed
        (mine, full), groups, ids = other.paired("mid", "full")
        (mid, whole), _, same = results.paired("mid", "full")
        assert ids == same and ((mine + full) == (mid + whole)).all()
        apart = {g for g, a, b in zip(groups, mid, whole) if a != b}
        swapped = {g for g, a, b in zip(groups, mine, mid) if a != b}
        kept = {g for g, a, b, c in zip(groups, mine, mid, whole) if a == b != c}
        assert swapped | kept == apart and not swapped & kept, "two questions share a picture"
        swaps.append(len(swapped) / len(apart))
    assert 0.3 < np.mean(swaps) < 0.7 and len(set(swaps)) > 2
    assert results.swap_answers("mid", "full", 5).answers("mid") == results.swap_answers("mid", "full", 5).answers(
        "mid"
    )


def test_the_gain_from_the_own_picture(results):
    other, own, difference = results.gain_from_image("mid")
    assert (other, own, difference.value, difference.n) == (0.5, 0.75, 0.25, 4)
    own, other = ("110110111011", "111111111111"), ("101110110111", "000000010000")
    two = BandResults(
        [run("mid", 0, own[0], other[0]), run("mid", 1, own[1], other[1]), run("mid", 2, "1111", "0000", suite="text")]
    ).gain_from_image("mid")[2]
    runs, groups = list("0" * 12 + "1" * 12), [f"{s} p{i // 2}" for s in "01" for i in range(12)]
    mine, theirs = (np.array(list("".join(digits)), float) for digits in (own, other))
    assert two == paired_difference(mine, theirs, groups, runs=runs)
    assert two != paired_difference(mine, theirs, groups)
    with pytest.raises(ValueError) as error:
        results.gain_from_image("late")
    assert "other pictures" in one_sentence(error.value)


def test_losses_are_compared_update_by_update(results):
    gap, each = results.loss_gap("mid", slice(2, 5), block=1, other="full")
    assert each == [pytest.approx(1.0), pytest.approx(4 / 3)] and gap.value == pytest.approx(
        np.mean([1, 1, 1, 1, 2, 1])
    )
    blocks = [f"{s} {i}" for s in "01" for i in range(3)]
    assert gap == paired_difference([1, 1, 1, 1, 2, 1], [0] * 6, blocks, runs=list("000111"))
    gap, each = results.loss_gap("late", slice(0, 3), block=3)
    assert each == [pytest.approx(-2 / 3)] and gap[:3] == pytest.approx((-2 / 3, -1, 1)), (
        "one block says nothing of others"
    )
    with pytest.raises(ValueError) as error:
        results.loss_gap("late", slice(0, 3), 1, other="early")
    assert "no seed" in one_sentence(error.value)
    for updates in (slice(3, 6), slice(5, 6), slice(7, 9)):  # late made five
        with pytest.raises(ValueError) as error:
            results.loss_gap("late", updates, 1)
        assert "'late'" in one_sentence(error.value)


def test_time_to_equal_loss(results):
    # mid ends at 2 after 6 updates of half the time; full is there after 4.
    assert results.time_to_equal_loss("mid", 0, 0.5, width=1) == 0.5 * 6 / 4
    assert results.time_to_equal_loss("late", 1, 0.5, width=1) == 0.5 * 5 / 4
    assert (
        results.time_to_equal_loss("mid", 0, 1.0, width=4) == 6 / 5
    )  # 2.75 at the end; full has (4 + 3 + 2 + 1) / 4 at 5
    deep = BandResults([run("full", 0, "1", loss=[3, 2]), run("mid", 0, "1", loss=[2, 1])])
    assert deep.time_to_equal_loss("mid", 0, 0.5, width=1) is None
    with pytest.raises(ValueError) as error:
        results.time_to_equal_loss("late", 0, 0.5, width=1)
    assert "seed 0" in one_sentence(error.value)
