"""Alignment metrics: closed forms, invariances, brute force in float64, and DADApy's numbers."""

import json
import runpy
from pathlib import Path

import brute
import numpy as np
import pytest
import torch
from small_models import one_sentence
from torch.utils._python_dispatch import TorchDispatchMode

from paperlib.geometry import distances, kernels, neighbors
from paperlib.geometry import similarity as geometry
from paperlib.geometry.distances import GeometryError
from paperlib.geometry.neighbors import Neighbors
from paperlib.geometry.similarity import (
    cka,
    information_imbalance,
    label_overlap,
    mutual_knn,
    neighborhood_overlap,
    permutation_null,
    without_outliers,
)

FIXTURES = Path(__file__).parents[1] / "fixtures"
views = runpy.run_path(str(FIXTURES / "make_dadapy.py"))["views"]
PAIRED = {neighborhood_overlap: {"k": 12}, mutual_knn: {"k": 12}, information_imbalance: {}, cka: {}}


def gaussian(n=200, width=30, seed=0):
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def related(n=120, widths=(40, 25), seed=0):
    """Two float32 views of the same hidden variables, with a large common offset, and labels."""
    x, y, labels = views(n, widths)
    return (x + 3).astype(np.float32), (y - 5).astype(np.float32), labels


def rotated(x, seed=1):
    """x turned, shifted and scaled as a whole."""
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(x.shape[1], x.shape[1])))[0]
    return 7 * x.astype(np.float64) @ turn + 2


# ---------------------------------------------------------------- brute force and DADApy


@pytest.fixture(params=["kept", "blocks"])
def memory(request, monkeypatch):
    """Products kept, or computed a few rows at a time."""
    if request.param == "blocks":
        smaller(monkeypatch, 2000)


def smaller(monkeypatch, block):
    monkeypatch.setattr(distances, "KEPT", 0)
    for module in (distances, neighbors, kernels):
        monkeypatch.setattr(module, "BLOCK", block)


@pytest.mark.parametrize("searched", [False, True])
def test_metrics_equal_brute_force(memory, searched):
    x, y, labels = related()
    a, b = (Neighbors.of(x, 30, keep=True), Neighbors.of(y, 30)) if searched else (x, y)
    near = {k: (brute.nearest(x, k), brute.nearest(y, k)) for k in (1, 12, 30)}
    for k in (1, 12, 30):
        assert neighborhood_overlap(a, b, k) == pytest.approx(brute.overlap(*near[k]), abs=1e-9)
        truth = np.mean(labels[near[k][0]] == labels[:, None])
        assert label_overlap(a, labels, k) == pytest.approx(truth, abs=1e-9)
    assert information_imbalance(a, b) == pytest.approx(brute.imbalance(x, y), abs=1e-9)
    assert information_imbalance(b, a) == pytest.approx(brute.imbalance(y, x), abs=1e-9)
    for unbiased in (True, False):
        assert cka(a, b, unbiased) == pytest.approx(brute.cka(x, y, unbiased), abs=1e-5)


def test_mutual_knn_is_that_of_cosines():
    """Inner products of rows of length 1, not centred, largest first, as in Huh et al.'s code."""
    x, y, _ = related()
    tables = []
    for z in (x.astype(np.float64), y.astype(np.float64)):
        unit = z / np.linalg.norm(z, axis=1, keepdims=True)
        similar = unit @ unit.T
        np.fill_diagonal(similar, -1e8)
        tables.append(np.argsort(-similar, axis=1)[:, :12])
    expected = brute.overlap(*tables)
    assert mutual_knn(x, y, 12) == pytest.approx(expected, abs=1e-9)
    assert mutual_knn(Neighbors.of(x, 12, "cosine"), y, 12) == pytest.approx(expected, abs=1e-9)
    assert abs(mutual_knn(x - x.mean(0), y - y.mean(0), 12) - expected) > 0.005  # centring would be another metric
    assert abs(neighborhood_overlap(x, y, 12) - expected) > 0.005
    assert mutual_knn(x * np.arange(1, 121)[:, None], y, 12) == pytest.approx(expected, abs=1e-9)


def test_dadapy_agrees():
    recorded = json.loads((FIXTURES / "dadapy.json").read_text())
    x, y, labels = views(recorded["n"])
    for dtype in (np.float64, np.float32):
        a, b = (Neighbors.of(z.astype(dtype), 30) for z in (x, y))
        for k, value in recorded["overlap"].items():
            assert neighborhood_overlap(a, b, int(k)) == pytest.approx(value, abs=1e-9)
        for k, value in recorded["label_overlap"].items():
            assert label_overlap(a, labels, int(k)) == pytest.approx(value, abs=1e-9)
        both = [information_imbalance(a, b), information_imbalance(b, a)]
        assert both == pytest.approx(recorded["information_imbalance"], abs=1e-9)


# ---------------------------------------------------------------- closed forms


def test_identical_views():
    x = gaussian()
    for y in (x, rotated(x)):
        assert neighborhood_overlap(x, y, 10) == 1
        assert information_imbalance(x, y) == pytest.approx(2 / 200)
        assert cka(x, y) == pytest.approx(1, abs=1e-5) and cka(x, y, unbiased=False) == pytest.approx(1, abs=1e-5)
    assert mutual_knn(x, 3 * x, 10) == 1
    assert label_overlap(x, ["same"] * 200, 10) == 1 and label_overlap(x, range(200), 10) == 0


def test_independent_views():
    """Overlap k / (N - 1), Information Imbalance 1, unbiased CKA 0, biased D / (N + D), within 4 standard errors."""
    n, k, values = 200, 10, []
    for seed in range(20):
        x, y = gaussian(n, 328, seed), gaussian(n, 328, 1000 + seed)
        a, b, labels = Neighbors.of(x, k), Neighbors.of(y, k), np.random.default_rng(seed).integers(0, 4, n)
        same = np.mean([(labels == label).sum() - 1 for label in labels]) / (n - 1)
        values.append(
            [
                neighborhood_overlap(a, b, k) - k / (n - 1),
                mutual_knn(x, y, k) - k / (n - 1),
                label_overlap(a, labels, k) - same,
                information_imbalance(a, b) - 1,
                cka(x, y),
                cka(x, y, unbiased=False) - 328 / (n + 328),
            ]
        )
    values = np.array(values)
    assert (abs(values.mean(0)) < 4 * values.std(0) / 20**0.5 + [0, 0, 0, 0, 0, 0.005]).all(), values.mean(0)
    assert (values.std(0) < [0.01, 0.01, 0.02, 0.1, 0.02, 0.02]).all()


def test_information_imbalance_tells_which_predicts_which():
    """y is one of x's three dimensions: x is close to telling y, y far from telling x."""
    x = gaussian(500, 3)
    to, back = information_imbalance(x, x[:, :1]), information_imbalance(x[:, :1], x)
    assert to < 0.2 < 0.5 < back


def test_ties_in_the_target_share_ranks():
    """All of y's points lie on two spots: of 99 others, 49 tie at rank 25 and 50 at rank 74.5."""
    x = gaussian(100, 4)
    y = np.repeat([[0.0], [1.0]], 50, axis=0)
    near = brute.nearest(x, 1)[:, 0]
    expected = np.where(y[near, 0] == y[:, 0], 25, 74.5).mean() * 2 / 100
    assert information_imbalance(x, y) == pytest.approx(expected, abs=1e-12)


def test_nothing_changes_when_points_are_turned_shifted_or_scaled():
    x, y, labels = related()
    moved = rotated(x)
    for metric in (neighborhood_overlap, information_imbalance, cka):
        assert metric(moved, y) == pytest.approx(metric(x, y), abs=1e-5)
    assert label_overlap(moved, labels) == label_overlap(x, labels)
    assert neighborhood_overlap(x, y) == neighborhood_overlap(y, x) and cka(x, y) == pytest.approx(cka(y, x), abs=1e-6)


def test_labels_of_any_kind():
    x, _, labels = related()
    expected = label_overlap(x, labels)
    for given in (labels.tolist(), torch.from_numpy(labels), [f"label {i}" for i in labels], labels + 0.5):
        assert label_overlap(x, given) == expected


# ---------------------------------------------------------------- outliers


def test_one_massive_dimension_drives_cka_to_one():
    x, y = gaussian(200, 50), gaussian(200, 50, seed=1)
    x[:, 7] *= 100
    y[:, 3] = x[:, 7]
    assert abs(cka(gaussian(200, 50, seed=2), y)) < 0.1 and cka(x, y) > 0.99
    for how in ("remove", "standardize"):
        (a, massive), (b, others) = without_outliers(x, how=how), without_outliers(y, how=how)
        assert massive == [7] and others == [3] and abs(cka(a, b)) < 0.1
        np.testing.assert_array_equal(a[:, :7], x[:, :7])
        assert a.shape == (200, 49 if how == "remove" else 50)
    spread = b.std(0)
    assert float(spread[3]) == pytest.approx(float(spread.median()), rel=0.02)


def test_outliers_are_told_by_their_spread_alone():
    spread = np.array([1, 1, 1, 1, 1, 5.9, 6.1, 50, 0])
    x = np.tile([[1.0], [-1.0]], (10, 1)) * spread + np.array([1e6] + [0] * 8)
    kept, massive = without_outliers(x)
    assert massive == [6, 7] and kept.shape == (20, 7) and kept[0, 0] == 1e6 + 1
    assert without_outliers(x, factor=5)[1] == [5, 6, 7] and without_outliers(x, factor=100)[1] == []
    with pytest.raises(GeometryError, match="constant"):
        without_outliers(x * (spread > 3))
    with pytest.raises(GeometryError, match="'clip'"):
        without_outliers(x, how="clip")


# ---------------------------------------------------------------- permutation null


@pytest.mark.parametrize("metric", PAIRED)
@pytest.mark.parametrize("searched", [False, True])
def test_null_values_are_those_of_permuted_rows(metric, searched, memory):
    x, y, _ = related(80)
    orders = torch.stack([torch.randperm(80, generator=torch.Generator().manual_seed(s)) for s in range(4)])
    kind = "cosine" if metric is mutual_knn else "euclidean"
    a, b = (Neighbors.of(x, 20, kind), Neighbors.of(y, 20, kind)) if searched else (x, y)
    found = geometry._VERSIONS[metric](a, b, orders, **PAIRED[metric])
    expected = [metric(x, y[order], **PAIRED[metric]) for order in orders]
    assert found.tolist() == pytest.approx(expected, abs=1e-6) and len(set(expected)) > 1


def test_null_of_labels():
    x, _, labels = related(80)
    orders = torch.stack([torch.randperm(80, generator=torch.Generator().manual_seed(s)) for s in range(4)])
    expected = [label_overlap(x, labels[order]) for order in orders]
    assert geometry._label_overlaps(x, labels, orders).tolist() == pytest.approx(expected)


def test_null_lies_around_chance_and_the_metric_beyond_it():
    x, y, labels = related(200)
    a, b = Neighbors.of(x, 16), Neighbors.of(y, 16)
    null = permutation_null(neighborhood_overlap, a, b, n=100, k=12)
    assert null.shape == (100,) and null.mean() == pytest.approx(12 / 199, abs=0.003)
    assert neighborhood_overlap(a, b, 12) > null.max()
    assert permutation_null(information_imbalance, a, b, n=50).mean() == pytest.approx(1, abs=0.05)
    assert abs(permutation_null(cka, a, b, n=50).mean()) < 0.02 < 0.1 < cka(a, b)
    assert permutation_null(label_overlap, a, labels, n=50).max() < label_overlap(a, labels)
    again, other = (permutation_null(neighborhood_overlap, a, b, n=100, seed=s, k=12) for s in (0, 1))
    assert (again == null).all() and (other != null).any()


def test_null_within_groups():
    """Shuffled within pairs, half of the rows stay; one group a row leaves the metric as it is."""
    x, y, labels = related(80)
    own = permutation_null(neighborhood_overlap, x, y, n=3, groups=np.arange(80))
    assert own.tolist() == [neighborhood_overlap(x, y)] * 3
    free, tied = (permutation_null(information_imbalance, x, y, n=30, groups=g) for g in (None, labels))
    assert tied.mean() < free.mean() - 0.05
    kept = permutation_null(label_overlap, x, labels, n=3, groups=[str(label) for label in labels])
    assert kept.tolist() == [label_overlap(x, labels)] * 3


# ---------------------------------------------------------------- one search, bounded memory, devices


def test_metrics_of_a_layer_share_one_search(monkeypatch):
    x, y, labels = related()
    a, b = Neighbors.of(x, 20), Neighbors.of(y, 20)

    def refuse(*_):
        raise AssertionError("searched again")

    monkeypatch.setattr(neighbors, "_search", refuse)
    for metric in (neighborhood_overlap, information_imbalance, cka):
        metric(a, b)
        permutation_null(metric, a, b, n=2)
    label_overlap(a, labels)
    with pytest.raises(AssertionError, match="searched again"):
        neighborhood_overlap(x, b)


class Largest(TorchDispatchMode):
    """Remembers the largest number of entries of any tensor that an operation returns."""

    entries = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **kwargs or {})
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.entries = max(self.entries, tensor.numel())
        return result


def test_no_table_of_all_pairs(monkeypatch):
    """400 points: 160,000 pairs, yet no tensor beyond the block of 20,000 entries or the data themselves."""
    x, y = (torch.from_numpy(gaussian(400, 60, seed=seed)) for seed in (0, 1))

    def largest():
        with Largest() as seen:
            a, b = Neighbors.of(x, 16), Neighbors.of(y, 16)
            neighborhood_overlap(a, b)
            information_imbalance(a, b)
            cka(a, b)
            for metric in (information_imbalance, cka):
                permutation_null(metric, a, b, n=3)
        return seen.entries

    assert largest() >= 160_000  # small enough to be kept
    smaller(monkeypatch, 20_000)
    assert 10_000 < largest() <= 400 * 60


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("metric", PAIRED)
def test_gpu_agrees(metric):
    x, y, labels = related(600, (700, 300))
    a, b = torch.from_numpy(x), torch.from_numpy(y)
    assert metric(a.cuda(), b.cuda()) == pytest.approx(metric(a, b), abs=1e-3)
    here, there = (permutation_null(metric, *pair, n=3) for pair in ((a, b), (a.cuda(), b.cuda())))
    np.testing.assert_allclose(there, here, atol=1e-3)
    assert label_overlap(a.cuda(), labels) == pytest.approx(label_overlap(a, labels), abs=1e-3)
    assert without_outliers(a.cuda())[0].is_cuda
    with pytest.raises(GeometryError, match="same device"):
        metric(a.cuda(), b)


# ---------------------------------------------------------------- errors


def repeating(copies=1):
    x = gaussian(60)
    x[1 : 1 + copies] = x[0]
    return x


@pytest.mark.parametrize("metric", PAIRED)
def test_errors_of_every_metric(metric):
    nan = gaussian()
    nan[3, 4] = np.nan
    good = gaussian()
    cases = [
        (nan, good, "NaN"),
        (good, nan, "NaN"),
        (good, gaussian(199), "200 rows on cpu and 199"),
        (good, good[0], "shape [30]"),
        (np.ones((200, 3)), good, "All rows are equal"),
        (good, np.ones((200, 3)), "All rows are equal"),
    ]
    for x, y, word in cases:
        with pytest.raises(GeometryError) as error:
            metric(x, y)
        assert word in one_sentence(error.value)


@pytest.mark.parametrize(
    "call, word",
    [
        (lambda: neighborhood_overlap(gaussian(), gaussian(), k=200), "N - 1 = 199"),
        (lambda: label_overlap(gaussian(), range(200), k=0), "got 0"),
        (lambda: label_overlap(gaussian(), range(199)), "200 rows on cpu and 199"),
        (lambda: neighborhood_overlap(repeating(5), gaussian(60), k=5), "6 of 60 rows have 5 or more copies"),
        (lambda: neighborhood_overlap(gaussian(60), repeating(5), k=5), "6 of 60 rows have 5 or more copies"),
        (lambda: information_imbalance(repeating(), gaussian(60)), "2 of 60 rows of x repeat"),
        (lambda: cka(gaussian(3), gaussian(3)), "at least 4 rows, got 3"),
        (lambda: neighborhood_overlap(Neighbors.of(gaussian(), 5), gaussian(), k=6), "Neighbors.of(x, k=6)"),
        (lambda: mutual_knn(Neighbors.of(gaussian(), 10), gaussian()), "metric='cosine'"),
        (lambda: cka(Neighbors.of(gaussian(), 10, "cosine"), gaussian()), "metric='euclidean'"),
        (lambda: information_imbalance(gaussian(), Neighbors.of(gaussian(), 1, "cosine")), "metric='euclidean'"),
        (lambda: permutation_null(np.corrcoef, gaussian(), gaussian()), "needs one of neighborhood_overlap"),
        (lambda: permutation_null(cka, gaussian(), gaussian(), n=0), "got 0"),
        (lambda: permutation_null(cka, gaussian(), gaussian(), groups=[1, 2]), "200 points and 2 groups"),
    ],
)
def test_errors_are_one_sentence(call, word):
    with pytest.raises(GeometryError) as error:
        call()
    assert word in one_sentence(error.value)


def test_copies_that_do_no_harm_are_allowed():
    assert neighborhood_overlap(repeating(4), repeating(4), k=5) == 1
    assert 0 < information_imbalance(gaussian(60), repeating()) < 1.5
