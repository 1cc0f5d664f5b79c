"""Intrinsic dimension against scikit-dimension's own classes, DADApy's numbers, and manifolds of known dimension."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from skdim.id import GRIDE, TwoNN
from small_models import one_sentence

from paperlib.geometry import neighbors
from paperlib.geometry.dimension import Dimension, Plateau, dimension_by_scale, intrinsic_dimension, plateau
from paperlib.geometry.distances import GeometryError, Points
from paperlib.geometry.neighbors import Neighbors

FIXTURES = Path(__file__).parents[1] / "fixtures"
views = runpy.run_path(str(FIXTURES / "make_dadapy.py"))["views"]


def gaussian(n=300, dimension=5, width=None, seed=0):
    """float64 Gaussian points of a known dimension, turned into `width` coordinates far from the origin."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, dimension))
    return x if width is None else x @ np.linalg.qr(rng.normal(size=(width, dimension)))[0].T + 10


@pytest.mark.parametrize("k", [1, 2, 3, 16, 64])
def test_gride_is_that_of_scikit_dimension(k):
    x = gaussian(width=60)
    theirs = GRIDE(n1=k).fit(x)
    for given, rel in ((x, 1e-6), (x.astype(np.float32), 1e-4), (Neighbors.of(x, 128), 1e-6), (torch.tensor(x), 1e-6)):
        ours = intrinsic_dimension(given, k=k)
        assert ours.value == pytest.approx(theirs.dimension_, rel=rel)
        assert ours.error == pytest.approx(theirs.error_, rel=10 * rel) and ours.k == k
    whole = GRIDE(multiscale=True, range_max=128).fit(x)
    if k in whole.scales_:
        assert ours.scale == pytest.approx(whole.radius_scales_[whole.scales_ == k][0], rel=1e-6)


def test_twonn_is_that_of_scikit_dimension():
    x = gaussian(width=60)
    theirs = TwoNN(method="mle").fit(x)
    for given, rel in ((x, 1e-6), (x.astype(np.float32), 1e-4), (Neighbors.of(x, 9), 1e-6)):
        ours = intrinsic_dimension(given, "twonn", k=50)
        assert ours.value == pytest.approx(theirs.dimension_, rel=rel) and ours.k == 1
    assert ours.error == pytest.approx(ours.value / 268**0.5)  # 270 of 300 ratios are not censored


def test_dadapy_agrees():
    recorded = json.loads((FIXTURES / "dadapy.json").read_text())
    x = views(recorded["n"])[0]
    for dtype, rel in ((np.float64, 1e-5), (np.float32, 1e-4)):
        curve = dimension_by_scale(x.astype(dtype), k_max=64)
        values, errors, radii = recorded["gride"]
        assert [d.k for d in curve] == [1, 2, 4, 8, 16, 32, 64]
        assert [d.value for d in curve] == pytest.approx(values, rel=rel)
        assert [d.error for d in curve] == pytest.approx(errors, rel=0.005)  # theirs has N - 1 where ours has N
        near = [Neighbors.of(x, 128).distances[:, d.k - 1].mean() for d in curve]
        assert [(d.scale + float(r)) / 2 for d, r in zip(curve, near)] == pytest.approx(radii, rel=rel)
    assert curve[0].value == pytest.approx(recorded["twonn_ml"], rel=1e-4)


@pytest.mark.parametrize("method", ["gride", "twonn"])
@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_known_dimension_whatever_the_coordinates(method, dimension):
    """Uniform points in a cube of few dimensions, turned into 80: neither width nor unit nor place counts."""
    rng = np.random.default_rng(dimension)
    cube = rng.uniform(size=(1000, dimension))
    wide = 300 * cube @ np.linalg.qr(rng.normal(size=(80, dimension)))[0].T + 5
    estimate = intrinsic_dimension(cube, method, k=4)
    assert estimate.value == pytest.approx(dimension, rel=0.16)  # low by the edges of the cube
    turned = intrinsic_dimension(wide.astype(np.float32), method, k=4)
    assert turned.value == pytest.approx(estimate.value, rel=1e-3)
    assert turned.scale == pytest.approx(300 * estimate.scale, rel=1e-4)


def independent(n, dimension, k, seed):
    """`Neighbors` whose ratios are independent and exactly as the likelihoods assume: (r_k / r_2k)^d ~ Beta(k, k)."""
    share = np.random.default_rng(seed).beta(k, k, size=(n, 1)) ** (1 / dimension)
    distances = torch.from_numpy(np.concatenate([share] * k + [np.ones((n, 1))] * k, axis=1))
    return Neighbors(Points(torch.zeros(n, 2)), torch.zeros(n, 2 * k, dtype=torch.int64), distances)


@pytest.mark.parametrize("method, k", [("twonn", 1), ("gride", 1), ("gride", 16)])
def test_values_and_errors_where_ratios_are_independent(method, k):
    """Over 200 draws of 300 ratios the mean is the true dimension and the spread the stated error."""
    found = [intrinsic_dimension(independent(300, 12, k, seed), method, k) for seed in range(200)]
    values, errors = np.array([d.value for d in found]), np.array([d.error for d in found])
    assert abs(values.mean() - 12) < 4 * values.std() / 200**0.5
    assert 0.85 < values.std(ddof=1) / errors.mean() < 1.15


def test_stated_errors_are_too_small_where_neighbourhoods_overlap():
    found = [intrinsic_dimension(gaussian(250, 2, seed=s), k=32) for s in range(40)]
    assert 1.4 < np.std([d.value for d in found], ddof=1) / np.mean([d.error for d in found]) < 2.6


# ---------------------------------------------------------------- scales


def test_noise_is_left_behind_at_larger_scales():
    """A plane with noise of 1/20 of its size in 20 dimensions: high at k = 1, two at the plateau."""
    rng = np.random.default_rng(0)
    x = 0.005 * rng.normal(size=(1500, 20))
    x[:, :2] += rng.uniform(size=(1500, 2))
    curve = dimension_by_scale(x, k_max=128)
    values, scales = [d.value for d in curve], [d.scale for d in curve]
    assert [d.k for d in curve] == [2**i for i in range(8)] and scales == sorted(scales)
    assert values[0] > 3.5 and values == sorted(values, reverse=True)
    found = plateau(curve)
    assert found.value == pytest.approx(2, rel=0.1) and found.first >= 16 and found.last == 128


def test_scales_stop_where_neighbours_end():
    x = gaussian(60)
    assert [d.k for d in dimension_by_scale(x)] == [1, 2, 4, 8, 16]
    assert [d.k for d in dimension_by_scale(x, k_max=7)] == [1, 2, 4]
    assert dimension_by_scale(x, k_max=4)[2] == intrinsic_dimension(x, k=4)


def curve(*values):
    return [Dimension(value, 0.1, 1.0, 2**i) for i, value in enumerate(values)]


@pytest.mark.parametrize(
    "values, expected",
    [
        ((9, 5, 3, 2.9, 3.1), Plateau(3, 4, 16)),
        ((10, 10.5, 5, 5.2), Plateau(5.1, 4, 8)),  # of two as long, the larger scales
        ((10, 10.5, 9.9, 5, 5.2), Plateau(10, 1, 4)),  # the longer one
        ((20, 10, 5, 2), None),
        ((10, 9.4, 8.8, 8.2, 7.6), Plateau(9.1, 1, 8)),  # a slope ends within 10 %
        ((5,), None),
        ((), None),
    ],
)
def test_plateau_by_hand(values, expected):
    found = plateau(curve(*values))
    assert (found is None) == (expected is None)
    if expected:
        assert (found.first, found.last) == (expected.first, expected.last)
        assert found.value == pytest.approx(expected.value)


def test_plateau_tolerance():
    assert plateau(curve(10, 7), tolerance=0.2) == Plateau(8.5, 1, 2) and plateau(curve(10, 7), tolerance=0.1) is None


# ---------------------------------------------------------------- shared search, devices, errors


def test_one_search_serves_all_scales(monkeypatch):
    calls, search = [], neighbors._search
    monkeypatch.setattr(neighbors, "_search", lambda *args: calls.append(args) or search(*args))
    near = Neighbors.of(gaussian(), 128)
    dimension_by_scale(near)
    intrinsic_dimension(near, "twonn")
    intrinsic_dimension(near, k=16)
    assert len(calls) == 1
    dimension_by_scale(gaussian())
    assert len(calls) == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("method", ["gride", "twonn"])
def test_gpu_agrees(method):
    x = torch.tensor(gaussian(1000, 10, 300), dtype=torch.float32)
    assert intrinsic_dimension(x.cuda(), method).value == pytest.approx(intrinsic_dimension(x, method).value, rel=1e-3)


def repeating():
    x = gaussian()
    x[7] = x[3]
    return x


@pytest.mark.parametrize(
    "call, word",
    [
        (lambda: intrinsic_dimension(gaussian(), "mle"), "gride, twonn"),
        (lambda: intrinsic_dimension(repeating()), "2 of 300 rows repeat"),
        (lambda: intrinsic_dimension(repeating(), "twonn"), "2 of 300 rows repeat"),
        (lambda: dimension_by_scale(repeating()), "2 of 300 rows repeat"),
        (lambda: intrinsic_dimension(np.ones((50, 3))), "All rows are equal"),
        (lambda: intrinsic_dimension(gaussian() * np.nan), "NaN"),
        (lambda: intrinsic_dimension(gaussian(), k=150), "N - 1 = 299, got 300"),
        (lambda: intrinsic_dimension(gaussian(), k=0), "got 0"),
        (lambda: intrinsic_dimension(Neighbors.of(gaussian(), 31), k=16), "Neighbors.of(x, k=32)"),
        (lambda: intrinsic_dimension(Neighbors.of(gaussian(), 40, "cosine")), "metric='euclidean'"),
        (lambda: intrinsic_dimension(np.eye(50)), "for 0 points"),
        (lambda: dimension_by_scale(gaussian(), k_max=0), "got 0"),
    ],
)
def test_errors_are_one_sentence(call, word):
    with pytest.raises(GeometryError) as error:
        call()
    assert word in one_sentence(error.value)
