"""Measures, their nulls, and the count of layers whose intervals lie apart."""

import numpy as np
import pytest
import torch

from paperlib.geometry.alignment_measures import (
    CKA,
    KEPT,
    LARGER_IS_CLOSER,
    MEASURES,
    MUTUAL,
    OVERLAP,
    TO_CAPTIONS,
    TO_PICTURES,
    UNITS,
    layers_apart,
    measures,
    nulls,
)
from paperlib.geometry.similarity import cka, information_imbalance, mutual_knn, neighborhood_overlap
from paperlib.stats.bootstrap import Interval

N, K = 200, 8


def views(noise=0.3, massive=0.0):
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(N, 5))
    x, y = (hidden @ rng.normal(size=(5, 12)) + noise * rng.normal(size=(N, 12)) + 7 for _ in range(2))
    x[:, 0] += massive * rng.normal(size=N)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)


def test_without_massive_dimensions_every_measure_is_what_it_is_called():
    x, y = views()
    found, a, b = measures(x, y, K), x - x.mean(0), y - y.mean(0)
    assert found[OVERLAP].value == pytest.approx(100 * neighborhood_overlap(a, b, K))
    assert found[MUTUAL].value == pytest.approx(100 * mutual_knn(a, b, K))
    assert found[CKA].value == pytest.approx(cka(a, b), rel=1e-5)
    assert found[TO_CAPTIONS].value == information_imbalance(x, y)
    assert found[TO_PICTURES].value == information_imbalance(y, x) != found[TO_CAPTIONS].value
    assert all(found[name] == found[name + KEPT] for name in (OVERLAP, MUTUAL, CKA))
    assert all(i.low < i.value < i.high and i.n == N for i in found.values())
    assert set(MEASURES) < set(found) and set(UNITS) == set(LARGER_IS_CLOSER) == set(MEASURES)


def test_a_massive_dimension_counts_where_it_is_kept_alone():
    clean, spoilt = measures(*views(), K), measures(*views(massive=300.0), K)
    for name in (OVERLAP, MUTUAL, CKA):
        assert spoilt[name + KEPT].high < spoilt[name].low
        assert spoilt[name].value > 0.8 * clean[name].value


def test_nulls_are_what_unrelated_pairs_reach():
    x, y = views()
    found, real = nulls(x, y, K, n=20), measures(x, y, K)
    assert 100 * K / (N - 1) < found[OVERLAP] < real[OVERLAP].low / 3 and found[CKA] < 0.1 < real[CKA].low
    assert found[MUTUAL] < real[MUTUAL].low / 3 and found[TO_CAPTIONS] == found[TO_PICTURES] == 1
    shuffled = measures(x, y[torch.randperm(N, generator=torch.Generator().manual_seed(1))], K)
    assert shuffled[OVERLAP].value < 1.2 * found[OVERLAP] and shuffled[TO_PICTURES].value > 0.8


def test_layers_apart_knows_which_side_is_closer():
    spans = {
        ("a", 0.1): (5, 6),
        ("b", 0.1): (1, 2),
        ("a", 0.5): (3, 5),
        ("b", 0.5): (4, 6),
        ("a", 1): (1, 2),
        ("b", 1): (3, 4),
    }
    rows = [
        {"measure": measure, "stage": stage, "depth": depth, "value": Interval(low, low, high, 9)}
        for measure in (OVERLAP, TO_CAPTIONS)
        for (stage, depth), (low, high) in spans.items()
    ]
    rows = [row for row in rows if row["depth"] < 1] + [
        row for row in rows if row["depth"] == 1 and row["measure"] == OVERLAP
    ]
    assert layers_apart(rows, OVERLAP, "a", "b") == (1, 1, 3)
    assert layers_apart(rows, TO_CAPTIONS, "a", "b") == (0, 1, 2)
