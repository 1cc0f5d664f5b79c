"""Intervals that hold together: wrong together no more often than they say, and as wide as theory asks."""

import numpy as np
import pytest
from scipy.stats import norm
from small_models import one_sentence

from paperlib.stats.bootstrap import effective_groups, group_intervals
from paperlib.stats.multiplicity import Family, simultaneous_intervals

GROUPS = [str(i) for i in range(20)]


def excludes_zero(interval):
    return interval.low > 0 or interval.high < 0


def half(interval):
    return (interval.high - interval.low) / 2


def test_all_hold_the_truth_as_often_as_promised_where_single_ones_do_not():
    rng, together, alone, times = np.random.default_rng(0), 0, 0, 150
    for _ in range(times):
        families = [Family(rng.normal(size=(6, 20)), GROUPS) for _ in range(4)]
        together += any(excludes_zero(i) for of in simultaneous_intervals(families, n_boot=500) for i in of)
        alone += any(excludes_zero(i) for f in families for i in group_intervals(f.values, GROUPS, n_boot=500))
    assert together / times < 0.12 and alone / times > 0.5


def test_as_wide_as_sidaks_where_rows_are_independent_and_groups_are_many():
    rng, rows, n = np.random.default_rng(1), 30, 2000
    values = rng.normal(size=(rows, n))
    found = simultaneous_intervals([Family(values, [str(i) for i in range(n)])], n_boot=4000)[0]
    sidak = norm.isf((1 - 0.95 ** (1 / rows)) / 2)
    widths = [half(i) / (v.std() / n**0.5) for i, v in zip(found, values)]
    assert np.mean(widths) == pytest.approx(sidak, rel=0.04)
    assert all(i.value == pytest.approx(v.mean()) for i, v in zip(found, values))


def test_copies_of_one_row_cost_nothing_and_other_examples_do():
    values = np.random.default_rng(2).normal(size=(1, 20))
    [[one]] = simultaneous_intervals([Family(values, GROUPS)])
    [copies] = simultaneous_intervals([Family(np.repeat(values, 9, axis=0), GROUPS)])
    apart = simultaneous_intervals([Family(values, GROUPS)] * 9)
    assert half(copies[0]) == pytest.approx(half(one), rel=1e-9)
    assert half(apart[0][0]) > 1.2 * half(one)


def test_few_groups_widen_as_a_t_distribution_does():
    """One row is an ordinary interval: normal widths, times what few groups ask, as in the bootstrap alone."""
    values = np.random.default_rng(3).normal(size=(1, 8))
    groups = GROUPS[:8]
    [[together]] = simultaneous_intervals([Family(values, groups)], n_boot=20000)
    [alone] = group_intervals(values, groups, n_boot=20000)
    assert half(together) == pytest.approx(half(alone), rel=0.08)


def test_where_nothing_moves_and_where_little_is_known():
    zeros, same, two = np.zeros((1, 20)), np.ones((1, 20)), np.array([[1.0, 3.0]])
    [[nothing], [agreed], [few]] = simultaneous_intervals(
        [Family(zeros, GROUPS), Family(same, GROUPS), Family(two, ["a", "b"])]
    )
    assert nothing[:3] == (0, 0, 0)
    assert 0 < agreed.low < agreed.value == agreed.high == 1  # twenty of twenty, at Bonferroni's level
    assert few[:3] == (2, -3, 3)


def test_training_runs_that_differ_widen_the_interval():
    rng = np.random.default_rng(4)
    runs = [r for r in "abc" for _ in range(20)]
    groups = [f"{r} {i}" for i, r in enumerate(runs)]
    values = (np.array([{"a": -1, "b": 0, "c": 1}[r] for r in runs]) + rng.normal(size=60))[None]
    [[ignored]], [[counted]] = (simultaneous_intervals([Family(values, groups, r)]) for r in (None, runs))
    assert half(counted) > 2 * half(ignored)
    [worth] = effective_groups(values, groups, runs)
    assert 3 <= worth < 10 and effective_groups(values, groups) == [60]


def test_no_interval_reaches_beyond_what_is_possible():
    values = np.array([[90.0, -80.0, 100.0, 60.0]])
    [[free], [bound]] = simultaneous_intervals(
        [Family(values, list("abcd")), Family(values, list("abcd"), limits=(-100, 100))]
    )
    assert free.high > 100 and bound.high == 100 and bound.low == max(free.low, -100)
    [[two]] = simultaneous_intervals([Family(values[:, :2], list("ab"), limits=(-100, 100))])
    assert two[:3] == (5, -100, 100)


@pytest.mark.parametrize("families", [[], [Family(np.zeros((0, 3)), list("abc"))], [Family(np.zeros((1, 3)), ["a"])]])
def test_bad_input(families):
    with pytest.raises(ValueError) as error:
        simultaneous_intervals(families)
    one_sentence(error.value)
