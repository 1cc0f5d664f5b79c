"""Metrics in any unit of the points, what rounding alone decides, and numbers that are no counts."""

import brute
import numpy as np
import pytest
from small_models import one_sentence

from paperlib.geometry import distances
from paperlib.geometry.dimension import dimension_by_scale, intrinsic_dimension, plateau
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
from paperlib.geometry.subsampling import subsampled

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 12)).astype(np.float32)
Y = (X + RNG.normal(size=X.shape)).astype(np.float32)
LABELS = np.arange(90) % 3
METRICS = {
    "cka": lambda x: cka(x, Y),
    "cka of both": lambda x: cka(x, x),
    "biased cka": lambda x: cka(x, Y, False),
    "cosine": lambda x: mutual_knn(x, Y),
    "overlap": lambda x: neighborhood_overlap(x, Y, 8),
    "labels": lambda x: label_overlap(x, LABELS, 8),
    "imbalance": lambda x: information_imbalance(x, Y),
    "imbalance to": lambda x: information_imbalance(Y, x),
    "gride": lambda x: intrinsic_dimension(x, k=4).value,
    "twonn": lambda x: intrinsic_dimension(x, "twonn").value,
    "null": lambda x: permutation_null(cka, x, Y, 2)[1],
    "subsample": lambda x: neighborhood_overlap(Neighbors.of(x, 40).subset(np.arange(60)), Y[:60], 8),
    "outliers": lambda x: float(len(without_outliers(x, 1.1)[1])),
}


def one_direction(n=100, same=40, dtype=np.float32):
    """Points of which `same` point in one direction."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, 8)).astype(np.float32)
    x[:same] = np.outer(rng.uniform(0.1, 5, same).astype(np.float32), x[0])
    return x.astype(dtype)


@pytest.fixture(params=["kept", "blocks"])
def memory(request, monkeypatch):
    if request.param == "blocks":
        monkeypatch.setattr(distances, "KEPT", 0)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("scale", [1e-37, 1e-25, 1e-9, 1e9, 1e25, 1e37])
def test_no_metric_depends_on_the_unit_of_float32(name, scale, memory):
    assert METRICS[name](X * np.float32(scale)) == pytest.approx(METRICS[name](X), rel=1e-4)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("scale", [1e-250, 1e-100, 1e100, 1e250])
def test_no_metric_depends_on_the_unit_of_float64(name, scale):
    assert METRICS[name](X.astype(float) * scale) == pytest.approx(METRICS[name](X), rel=1e-4)


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_distances_keep_the_unit_of_the_points(scale):
    found = Neighbors.of(X * np.float32(scale), 5)
    np.testing.assert_allclose(found.distances.numpy(), Neighbors.of(X, 5).distances.numpy() * scale, rtol=1e-3)
    assert intrinsic_dimension(X * np.float32(scale), k=4).scale == pytest.approx(
        intrinsic_dimension(X, k=4).scale * scale, rel=1e-3
    )


def test_small_points_beside_huge_ones_are_told_apart(memory):
    """Two rows of 1e30 leave the squares of all others below what float32 holds."""
    x = X.copy()
    x[0], x[1] = 1e30, -1e30
    np.testing.assert_array_equal(Neighbors.of(x, 5).indices.numpy()[2:], brute.nearest(x, 5)[2:])


# ---------------------------------------------------------------- what rounding alone decides


@pytest.mark.parametrize(
    "x, y, name",
    [
        (np.eye(5), np.eye(5), "x"),
        (np.eye(5), RNG.normal(size=(5, 3)), "x"),
        (RNG.normal(size=(30, 3)), np.eye(30), "y"),
        (np.eye(40, dtype=np.float32) + 3, np.eye(40), "x"),
        (np.eye(6) * 1e-30, np.eye(6), "x"),
        (np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]), RNG.normal(size=(4, 3)), "x"),
    ],
)
def test_cka_of_points_equally_far_apart_is_refused(x, y, name, memory):
    with pytest.raises(GeometryError) as error:
        cka(x, y)
    assert f"HSIC({name}, {name}) is no more than rounding" in one_sentence(error.value)
    assert 0 < cka(x, y, unbiased=False) <= 1 + 1e-6  # the biased one is defined


def test_cka_of_few_wide_rows_stays_defined():
    x = RNG.normal(size=(40, 3000)).astype(np.float32)
    assert cka(x, x) == pytest.approx(1) and abs(cka(x, RNG.normal(size=(40, 3000)))) < 0.3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("factor", [1, 3.7, 0.1])
def test_rows_in_one_direction_are_copies_for_cosines(dtype, factor):
    x = one_direction(dtype=dtype)
    for call in (lambda: mutual_knn(x, factor * x), lambda: mutual_knn(factor * x, x)):
        with pytest.raises(GeometryError, match="40 of 100 rows have 10 or more copies") as error:
            call()
        one_sentence(error.value)
    with pytest.raises(GeometryError, match="All rows .* equal|one direction"):
        mutual_knn(one_direction(60, 60)[:, :1].clip(min=0.1), X[:60])


def test_fewer_copies_than_neighbours_change_little():
    x = one_direction(same=8)
    assert mutual_knn(x, np.float32(3.7) * x) > 0.98


def grid(side=10, step=1.0, dtype=np.float32):
    return (np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2) * step).astype(dtype)


@pytest.mark.parametrize("x", [np.eye(100), grid(), grid(step=0.1), grid(step=0.1) + np.float32(3), grid(step=1e-25)])
@pytest.mark.parametrize(
    "name, call",
    [
        ("overlap", lambda x: neighborhood_overlap(x, x * np.float32(3.7), 6)),
        ("labels", lambda x: label_overlap(x, range(100), 6)),
        ("imbalance", lambda x: information_imbalance(x, RNG.normal(size=(100, 3)))),
        ("gride", lambda x: intrinsic_dimension(x, k=1)),
        ("twonn", lambda x: intrinsic_dimension(x, "twonn")),
        ("null", lambda x: permutation_null(neighborhood_overlap, x, x, 3, k=6)),
        ("searched", lambda x: neighborhood_overlap(Neighbors.of(x, 6), Neighbors.of(x, 20), 6)),
    ],
)
def test_ties_are_refused_by_every_metric_of_neighbours(x, name, call):
    with pytest.raises(GeometryError) as error:
        call(x)
    assert "equally far" in one_sentence(error.value) or "different distances for" in str(error.value)


def test_a_search_exactly_as_deep_as_k_sees_its_ties():
    x = grid()
    table = np.sort(brute.squared_distances(x), axis=1)
    for k in (1, 4, 6, 12, 50):
        truth = table[:, k - 1] == table[:, k]
        for depth in (k, k + 5):
            np.testing.assert_array_equal(Neighbors.of(x, depth).tied(k).numpy(), truth)
    assert not Neighbors.of(x, 99).tied(99).any()


@pytest.mark.parametrize("kind", ["plain", "massive", "offset", "gap"])
def test_points_drawn_at_random_have_no_ties(kind):
    x = brute.points(kind)
    assert neighborhood_overlap(x, x, 10) == 1 and int(Neighbors.of(x, 11).tied(10).sum()) <= 10


@pytest.mark.parametrize(
    "x, k",
    [
        (np.arange(200.0)[:, None], 1),
        (np.arange(200.0)[:, None], 2),
        (np.arange(200.0)[:, None], 3),
        (np.arange(200, dtype=np.float32)[:, None] / 10, 2),
        (np.eye(60), 4),
        (grid(20), 2),
    ],
)
def test_dimension_on_a_grid_is_refused(x, k):
    with pytest.raises(GeometryError) as error:
        intrinsic_dimension(x, "gride", k)
    assert "grid" in one_sentence(error.value)


def test_rows_that_differ_by_rounding_repeat():
    x = X.copy()
    x[1] = x[0] * np.float32(3.7) / np.float32(3.7) + np.float32(1e-7) * x[0]
    for call in (lambda: intrinsic_dimension(x), lambda: information_imbalance(x, Y)):
        with pytest.raises(GeometryError, match="2 of 90 rows (of x )?repeat"):
            call()


# ---------------------------------------------------------------- numbers that are no counts, points that are no points


@pytest.mark.parametrize(
    "k", [1.5, 16.0, None, "3", True, 0, -1, 10**9, float("nan"), [3], np.float64(2), np.bool_(True)]
)
@pytest.mark.parametrize(
    "call",
    [
        lambda k: mutual_knn(X, Y, k),
        lambda k: neighborhood_overlap(X, Y, k),
        lambda k: label_overlap(X, LABELS, k),
        lambda k: Neighbors.of(X, k),
        lambda k: Neighbors.of(X, 9).nearest(k),
        lambda k: intrinsic_dimension(X, k=k),
        lambda k: dimension_by_scale(X, None if k == 10**9 else k),
        lambda k: permutation_null(cka, X, Y, -1 if k == 10**9 else k),
        lambda k: subsampled(np.mean, X, n=k),
    ],
)
def test_counts_are_whole_numbers(k, call):
    with pytest.raises(GeometryError, match="whole number") as error:
        call(k)
    one_sentence(error.value)


def test_whole_numbers_of_numpy_are_counts():
    assert neighborhood_overlap(X, Y, np.int64(8)) == neighborhood_overlap(X, Y, 8)
    assert intrinsic_dimension(X, k=np.uint8(4)) == intrinsic_dimension(X, k=4)


@pytest.mark.parametrize(
    "bad",
    [
        None,
        "x",
        [],
        3.0,
        [[1.0, 2.0], [3.0]],
        np.full((90, 2), np.inf),
        X + 1j,
        X.astype(object),
        X[:, :, None],
        np.empty((90, 0)),
        np.empty((0, 4)),
        {"a": 1},
    ],
)
@pytest.mark.parametrize("call", [*METRICS.values(), lambda x: Neighbors.of(x, 3)])
def test_what_is_no_table_of_numbers_is_refused(bad, call):
    with pytest.raises(GeometryError) as error:
        call(bad)
    one_sentence(error.value)


@pytest.mark.parametrize("labels", [None, [None] * 90, [float("nan")] * 90, np.zeros((90, 2)), "abc"])
def test_labels_that_name_nothing_are_refused(labels):
    with pytest.raises(GeometryError) as error:
        label_overlap(X, labels, 5)
    one_sentence(error.value)


@pytest.mark.parametrize(
    "call",
    [
        lambda: without_outliers(X, 0),
        lambda: without_outliers(X, np.nan),
        lambda: without_outliers(X, "6"),
        lambda: plateau(dimension_by_scale(X, 8), np.nan),
        lambda: plateau(dimension_by_scale(X, 8), -1),
        lambda: intrinsic_dimension(X, np.eye(2)),
        lambda: permutation_null(None, X, Y),
    ],
)
def test_other_bad_arguments_get_one_sentence(call):
    with pytest.raises(GeometryError) as error:
        call()
    one_sentence(error.value)
