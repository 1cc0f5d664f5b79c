"""Intervals and reports against hand-computed cases, scipy and scikit-learn."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_bootstrap import expanded
from scipy import stats

from paperlib.scoring.records import Record
from paperlib.stats import accuracy as intervals
from paperlib.stats.accuracy import Interval


def record(i, correct, group=None, kind="colour", answer="yes", prediction=None, choices=4):
    return Record(
        id=str(i),
        kind=kind,
        benchmark="twin",
        group=str(i if group is None else group),
        answer=answer,
        prediction=prediction or ("yes" if correct else "no"),
        correct=bool(correct),
        logprobs=tuple(-float(c + 1) for c in range(choices)),
        tokens=(1,) * choices,
    )


def coin(n, p, seed, groups=None):
    rng = np.random.default_rng(seed)
    return [record(i, rng.random() < p, None if groups is None else i % groups) for i in range(n)]


def test_accuracy_by_hand_two_groups():
    """Groups of 3 right out of 3 and 0 of 1: two draws give 1, 3/4 or 0 with probabilities 1/4, 1/2, 1/4."""
    records = [record(i, True, "a") for i in range(3)] + [record(3, False, "b")]
    assert intervals.accuracy(records) == Interval(0.75, 0.0, 1.0, 4)
    assert intervals.accuracy(records, level=0.2, n_boot=4000) == Interval(0.75, 0.75, 0.75, 4)


def test_accuracy_against_scipy_when_groups_are_single():
    records = coin(150, 0.7, seed=3)
    ours = intervals.accuracy(records, n_boot=20000)
    correct = np.array([r.correct for r in records], float)
    level = expanded(0.95, 150)
    theirs = stats.bootstrap((correct,), np.mean, confidence_level=level, method="percentile", n_resamples=20000, rng=1)
    theirs = theirs.confidence_interval
    assert ours.value == correct.mean() and ours.n == 150
    assert ours.low == pytest.approx(theirs.low, abs=0.008)
    assert ours.high == pytest.approx(theirs.high, abs=0.008)


def test_accuracy_difference_against_scipy():
    a, b = coin(120, 0.8, seed=1), coin(120, 0.5, seed=2)
    ours = intervals.accuracy_difference(a, b[::-1], n_boot=20000)
    difference = np.array([x.correct - float(y.correct) for x, y in zip(a, b)])
    level = expanded(0.95, 120)
    theirs = stats.bootstrap(
        (difference,), np.mean, confidence_level=level, method="percentile", n_resamples=20000, rng=1
    )
    assert ours.value == pytest.approx(difference.mean())
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.012)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.012)


def test_clusters_widen_the_interval():
    """Ten copies of each answer in a group carry no more than one of them: width as for single answers."""
    single = coin(60, 0.6, seed=0)
    copies = [replace(r, id=f"{r.id}.{c}") for r in single for c in range(10)]
    alone, clustered = intervals.accuracy(single), intervals.accuracy(copies)
    naive = intervals.accuracy([replace(r, group=r.id) for r in copies])
    assert clustered[:3] == pytest.approx(alone[:3]) and clustered.n == 600
    assert (naive.high - naive.low) * 2.5 < clustered.high - clustered.low


def test_coverage_of_clustered_data():
    """Of 200 data sets whose questions share a scene's difficulty, about 95 % of intervals hold the truth."""
    rng, hits = np.random.default_rng(0), 0
    for _ in range(200):
        p = rng.beta(2, 2, size=60)
        records = [record(f"{g}.{q}", rng.random() < p[g], g) for g in range(60) for q in range(5)]
        interval = intervals.accuracy(records, n_boot=400)
        hits += interval.low <= 0.5 <= interval.high
    assert 0.90 <= hits / 200 <= 0.985


def test_all_right_and_all_wrong_have_exact_binomial_limits():
    right = intervals.accuracy([record(i, True) for i in range(50)])
    exact = stats.binomtest(50, 50).proportion_ci(0.95, method="exact")
    assert right == pytest.approx((1.0, exact.low, 1.0, 50))
    wrong = intervals.accuracy([record(i, False, group=i // 2) for i in range(50)], level=0.9)
    exact = stats.binomtest(0, 25).proportion_ci(0.9, method="exact")
    assert wrong == pytest.approx((0.0, 0.0, exact.high, 50))


def test_one_group_says_nothing_about_others():
    assert intervals.accuracy([record(0, True, "a"), record(1, False, "a")]) == (0.5, 0.0, 1.0, 2)


def test_no_difference_has_an_interval_around_zero():
    a = coin(40, 0.5, seed=0)
    d = intervals.accuracy_difference(a, a)
    assert d.value == 0 and d.low == pytest.approx(-d.high) and 0 < d.high < 0.1
    right, wrong = ([record(i, correct) for i in range(40)] for correct in (True, False))
    all_better = intervals.accuracy_difference(right, wrong)
    assert all_better.value == all_better.high == 1 and 0.8 < all_better.low < 1


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=40), st.integers(0, 99))
def test_interval_is_ordered_bounded_and_deterministic(data, seed):
    records = [record(i, correct, group) for i, (correct, group) in enumerate(data)]
    i = intervals.accuracy(records, n_boot=50, seed=seed)
    assert 0 <= i.low <= i.high <= 1 and i.value == pytest.approx(np.mean([c for c, _ in data]))
    assert i == intervals.accuracy(records, n_boot=50, seed=seed)
    assert i == intervals.accuracy(records[::-1], n_boot=50, seed=seed)


def test_intervals_apart():
    low, high = Interval(0.2, 0.1, 0.3, 9), Interval(0.5, 0.4, 0.6, 9)
    assert intervals.intervals_apart(low, high) and intervals.intervals_apart(high, low)
    assert not intervals.intervals_apart(low, Interval(0.4, 0.3, 0.5, 9))


def test_interval_is_a_list_of_four_numbers_in_json():
    i = intervals.accuracy(coin(20, 0.5, seed=0))
    assert Interval(*json.loads(json.dumps(i))) == i


def test_summarize_by_kind_and_benchmark():
    shape, count = record(0, True, kind="shape"), [record(i, i == 1, kind="count") for i in (1, 2)]
    records = [shape, *count]
    by_kind = intervals.summarize(records)
    assert list(by_kind) == ["shape", "count"] and by_kind["count"] == intervals.accuracy(records[1:])
    by_benchmark = intervals.summarize(records, by="benchmark", level=0.5)
    assert by_benchmark == {"twin": intervals.accuracy(records, level=0.5)}
    assert intervals.summarize(records, by=lambda record: record.kind) == intervals.summarize(records)
    assert intervals.summarize([]) == {}
    with pytest.raises(ValueError, match="by 'kind', 'benchmark' or a function"):
        intervals.summarize(records, by="colour")


def test_chance():
    assert intervals.chance([record(0, 1, choices=2), record(1, 1, choices=4)]) == pytest.approx(3 / 8)


def test_bad_input_is_refused_in_one_sentence():
    records = coin(4, 0.5, seed=0)
    cases = [
        (lambda: intervals.accuracy([]), "no records"),
        (lambda: intervals.chance([]), "no records"),
        (lambda: intervals.accuracy(records + records), "repeat an id"),
        (lambda: intervals.accuracy(records, level=95), "between 0 and 1"),
        (lambda: intervals.accuracy(records, n_boot=0), "from 1 to 1,000,000, got 0"),
        (lambda: intervals.accuracy_difference(records, records[1:]), "one side lacks '0'"),
    ]
    for call, words in cases:
        with pytest.raises(ValueError, match=words) as caught:
            call()
        assert str(caught.value).count(". ") == 0 and "\n" not in str(caught.value)


def test_interval_over_groups_is_the_enumerated_distribution():
    """Three groups have 27 equally likely resamples: the percentiles come from listing them all."""
    sums, counts = np.array([2, 0, 3]), np.array([4, 1, 3])
    records = [record(f"{g}{q}", q < sums[g], g) for g in range(3) for q in range(counts[g])]
    resamples = [list(map(list(draw).count, range(3))) for draw in np.ndindex(3, 3, 3)]
    values = sorted((np.array(c) @ sums) / (np.array(c) @ counts) for c in resamples)
    assert len(values) == 27 and math.isclose(np.mean([r.correct for r in records]), 5 / 8)
    ours = intervals.accuracy(records, level=0.6, n_boot=50_000)
    side = (1 - expanded(0.6, 3)) / 2
    expected = (5 / 8, *np.quantile(values, [side, 1 - side], method="inverted_cdf"))
    assert ours[:3] == pytest.approx(expected, abs=1e-9)
