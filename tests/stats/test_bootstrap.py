"""The bootstrap against loops, enumeration and scipy."""

from types import SimpleNamespace

import numpy as np
import pytest
from plain_bootstrap import expanded, limits, looped
from scipy import stats
from small_models import one_sentence

from paperlib.stats import accuracy as intervals
from paperlib.stats.bootstrap import (
    group_intervals,
    group_weights,
    median_intervals,
    ratio_intervals,
    statistic_interval,
)
from paperlib.stats.effects import gap_share, paired_difference


def test_every_row_has_the_interval_of_intervals_accuracy():
    """Also rows that are all right or all wrong, where resampling cannot vary."""
    rng = np.random.default_rng(0)
    groups = [f"scene {i}" for i in rng.integers(0, 12, size=40)]
    values = np.stack([rng.random(40) < 0.7, rng.random(40) < 0.2, np.ones(40), np.zeros(40)])
    for row, ours in zip(values, group_intervals(values, groups, (0, 1), level=0.9, n_boot=300, seed=4)):
        records = [SimpleNamespace(id=i, correct=bool(c), group=g) for i, (c, g) in enumerate(zip(row, groups))]
        assert ours == pytest.approx(intervals.accuracy(records, level=0.9, n_boot=300, seed=4))


def test_one_group_leaves_the_limits():
    assert group_intervals([[0.5, 1.0]], ["a", "a"], (-1, 1)) == [(0.75, -1.0, 1.0, 2)]


def test_weights_draw_whole_groups():
    weights = group_weights(["b", "a", "b"], n_boot=4000)
    assert (weights[:, 0] == weights[:, 2]).all() and (weights[:, 0] + weights[:, 1] == 2).all()
    assert [np.mean(weights[:, 0] == k) for k in (0, 1, 2)] == pytest.approx([0.25, 0.5, 0.25], abs=0.03)


def eight(value):
    """What each function says of eight pictures that all say the same."""
    groups, ones, zeros = [f"p{i}" for i in range(8)], [value] * 8, [0.0] * 8
    right, wrong = ([SimpleNamespace(id=g, correct=c, group=g) for g in groups] for c in (value > 0, value < 0))
    back = paired_difference(zeros, ones, groups, (-1, 1))
    return [
        group_intervals([ones], groups)[0],
        group_intervals([ones], groups, (-1, 1))[0],
        ratio_intervals([ones], [[1.0] * 8], groups, (-1, 1))[0],
        paired_difference(ones, zeros, groups),
        paired_difference(ones, zeros, groups, runs=list("00001111")),
        (-back.value, -back.high, -back.low),
        statistic_interval(lambda means: float(means[0]), [ones], groups, (-1, 1)),
        intervals.accuracy_difference(right, wrong),
        group_intervals(np.repeat([ones], 3, 1), np.repeat(groups, 3))[0],
    ]


@pytest.mark.parametrize("value", [1, -1])
def test_eight_pictures_that_all_say_the_same_have_one_interval(value):
    q = 1 - 0.025 ** (1 / 8)
    expected = (1, 1 - 2 * q, 1) if value > 0 else (-1, -1, -1 + 2 * q)  # 0.26 to 1
    for interval in eight(value):
        assert interval[:3] == pytest.approx(expected)


def test_groups_that_say_the_same_though_their_examples_differ_have_no_zero_width():
    """Each picture one right and one wrong; one up and one down; a third of each gap: draws can't vary."""
    twice, q = [g for g in range(8) for _ in "ab"], 1 - 0.025 ** (1 / 8)
    assert group_intervals([[1, 0] * 8], twice, (0, 1))[0][:3] == pytest.approx((0.5, 0.5 - q / 2, 0.5 + q / 2))
    assert paired_difference([1, -1] * 8, [0] * 16, twice)[:3] == pytest.approx((0, -q, q))
    high = np.linspace(0.3, 0.9, 8)
    assert gap_share(high / 3, 0 * high, high, range(8))[:3] == pytest.approx((1 / 3, (1 - q) / 3, 1 / 3 + q * 2 / 3))
    same = statistic_interval(
        lambda m: np.average([0, 0.5, 1], weights=m), [[0] * 8, range(1, 9), [0] * 8], range(8), (0, 1)
    )
    assert same[:3] == pytest.approx((0.5, 0.5 - q / 2, 0.5 + q / 2))
    assert median_intervals([[7.0] * 5, [7, 7, 9, 7, 7]], range(5), (1, 50))[0][:3] == (7, 1, 50), (
        "five could be a minority"
    )
    assert median_intervals([[7.0] * 6], range(6), (1, 50))[0][:3] == (7, 7, 7)


def test_means_of_several_examples_a_group_against_scipy():
    """scipy resamples clusters as single values: a group's mean, where all groups are of one size."""
    means = np.random.default_rng(3).gamma(2.0, size=12)
    values = np.repeat(means, 5) + np.tile([-2, -1, 0, 1, 2], 12)
    ours = group_intervals([values], np.repeat(np.arange(12), 5), n_boot=20000)[0]
    theirs = stats.bootstrap(
        (means,), np.mean, confidence_level=expanded(0.95, 12), method="percentile", n_resamples=20000, rng=1
    ).confidence_interval
    assert ours[:3] == pytest.approx((means.mean(), theirs.low, theirs.high), abs=0.05)


def test_every_statistic_against_a_loop():
    rng = np.random.default_rng(1)
    groups, x, w = rng.integers(0, 9, 40), rng.normal(size=40), rng.random(40) + 0.5
    how = {"level": 0.9, "n_boot": 8000}
    rows = np.stack([w, w * (x > 0), w**2])
    for ours, statistic in (
        (group_intervals([x], groups, **how)[0], lambda i: x[i].mean()),
        (ratio_intervals([x], [w], groups, (-9, 9), **how)[0], lambda i: x[i].sum() / w[i].sum()),
        (median_intervals([x], groups, (-9, 9), **how)[0], lambda i: np.median(x[i])),
        (
            statistic_interval(lambda m: np.average([0, 0.5, 1], weights=m), rows, groups, (0, 1), **how),
            lambda i: np.average([0, 0.5, 1], weights=rows[:, i].mean(1)),
        ),
    ):
        assert ours.value == pytest.approx(statistic(np.arange(40))) and ours.n == 40
        assert ours[1:3] == pytest.approx(looped(statistic, groups, 0.9, n=8000), rel=0.1, abs=0.03)


def test_median_intervals_by_enumeration():
    """Three groups have 27 equally likely draws: medians of them all, an even number of values included."""
    values, groups = np.array([[5, 1, 9, 2, 2, 7], [1, 1, 1, 1, 1, 1]]), np.array([0, 0, 0, 1, 1, 2])
    ours = median_intervals(values, groups, (0, 10), level=0.6, n_boot=50_000)
    medians = [np.median(np.concatenate([values[0][groups == g] for g in draw])) for draw in np.ndindex(3, 3, 3)]
    side = (1 - expanded(0.6, 3)) / 2
    expected = np.quantile(medians, [side, 1 - side], method="inverted_cdf")
    assert ours == [(3.5, *expected, 6), (1, 1, 1, 6)]
    assert median_intervals([[1, 4]], ["a", "b"], (0, 9), level=0.2) == [
        (2.5, 2.5, 2.5, 2)
    ]  # half of the draws hold both
    assert median_intervals([[1, 4]], ["a", "a"], (0, 9)) == [(2.5, 0, 9, 2)]


def test_the_effective_number_of_groups_runs_from_runs_to_groups():
    """The limits are plain percentiles at that number: of the groups without runs, of the runs where they decide."""
    rng = np.random.default_rng(4)
    runs, groups, values = np.repeat(np.arange(6), 10), np.arange(60), rng.normal(size=60)
    for spread, clusters in ((0, 60), (1000, 6)):
        shifted = values + spread * np.array([0, 3, 1, 8, 4, 6])[runs]
        given = {"runs": runs} if spread else {}
        ours = group_intervals([shifted], groups, n_boot=3000, **given)[0]
        weights = group_weights(groups, 3000, **given)
        assert ours[1:3] == pytest.approx(limits(weights @ shifted / weights.sum(1), 0.95, clusters), rel=0.02)


def test_a_statistic_that_is_seldom_or_often_missing():
    ones = [[1.0] * 20 + [0.0] * 4]
    assert statistic_interval(lambda m: m[0] if m[0] > 0.3 else None, ones, range(24), (0, 1)).high > 0.9
    assert statistic_interval(lambda m: m[0] if m[0] < 0.85 else None, ones, range(24), (0, 1)) is None
    assert statistic_interval(lambda m: None, ones, range(24), (0, 1)) is None
    assert statistic_interval(lambda m: m[0], [[1.0, 0.0]], ["a", "a"], (0, 1))[:3] == (0.5, 0, 1), "one group"


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: group_intervals([[1, np.nan]], list("ab")), "NaN or infinite"),
        (lambda: paired_difference([np.inf, 1], [0, 0], list("ab")), "NaN or infinite"),
        (lambda: median_intervals([[1, np.nan]], list("ab"), (0, 1)), "NaN or infinite"),
        (lambda: statistic_interval(len, [[1, np.nan]], list("ab"), (0, 1)), "NaN or infinite"),
        (lambda: group_intervals([1, 2], list("ab")), "in a table"),
        (lambda: group_intervals([[1, 2]], list("abc")), "each of 3"),
        (lambda: group_intervals(np.zeros((1, 0)), []), "at least one"),
        (lambda: group_intervals([[1, 0]], list("ab"), level=95), "between 0 and 1"),
        (lambda: median_intervals([[1, 0]], list("ab"), (0, 1), level=1), "between 0 and 1"),
        (lambda: statistic_interval(len, [[1, 0]], list("ab"), (0, 1), level=0), "between 0 and 1"),
        (lambda: group_intervals([[1, 0]], list("ab"), n_boot=0), "from 1 to 1,000,000"),
        (lambda: median_intervals([[1, 0]], list("ab"), (0, 1), n_boot=0), "from 1 to 1,000,000"),
        (lambda: ratio_intervals([[1, 0]], [[1, -1]], list("ab"), (0, 1)), "more than 0"),
        (lambda: group_intervals([[1, 0]], list("aa"), runs=["0", "1"]), "belong to one run"),
        (lambda: group_intervals([[1, 0]], list("ab"), runs=["0"]), "needs a run"),
        (lambda: group_weights(list("aa"), runs=["0", "1"]), "belong to one run"),
    ],
)
def test_intervals_refuse_bad_input(call, words):
    with pytest.raises(ValueError) as error:
        call()
    assert words in one_sentence(error.value)
