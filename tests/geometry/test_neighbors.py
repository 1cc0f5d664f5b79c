"""The shared neighbour search against brute force in float64, where float32 alone would fail too."""

import brute
import numpy as np
import pytest
import torch
from brute import KINDS, points
from small_models import one_sentence

from paperlib.geometry import distances, neighbors
from paperlib.geometry.distances import GeometryError
from paperlib.geometry.neighbors import Neighbors


@pytest.fixture(params=["kept", "blocks"])
def memory(request, monkeypatch):
    """Products kept, or computed 20 rows at a time."""
    if request.param == "blocks":
        monkeypatch.setattr(distances, "KEPT", 0)
        monkeypatch.setattr(distances, "BLOCK", 3000)
        monkeypatch.setattr(neighbors, "BLOCK", 3000)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 30, 149])
def test_search_equals_brute_force(kind, k, memory):
    x = points(kind)
    found, table = Neighbors.of(x, k), brute.squared_distances(x)
    truth = np.sort(table, axis=1)[:, :k]
    np.testing.assert_allclose(np.take_along_axis(table, found.indices.numpy(), 1), truth, rtol=1e-12)
    np.testing.assert_allclose(found.distances.numpy() ** 2, truth, rtol=5e-4)
    assert ((found.distances.numpy() == 0) == (truth == 0)).all()
    assert all(len(set(row)) == k and i not in row for i, row in enumerate(found.indices.tolist()))
    assert found.distances.dtype == torch.float64 and found.indices.dtype == torch.int64


def test_plain_float32_would_find_other_neighbours():
    """The care is needed: where two groups lie far apart, |a|^2 + |b|^2 - 2ab in float32 orders points wrongly."""
    x = points("gap")
    centred = torch.from_numpy(x - x.mean(0))
    length = centred.square().sum(1)
    naive = (length[:, None] + length - 2 * centred @ centred.T).fill_diagonal_(torch.inf)
    wrong = (naive.topk(10, largest=False).indices.numpy() != brute.nearest(x, 10)).mean()
    assert wrong > 0.02
    np.testing.assert_array_equal(Neighbors.of(x, 10).indices.numpy(), brute.nearest(x, 10))


def test_cosine_neighbours_follow_the_angle():
    x = points("offset", width=5) * np.random.default_rng(2).uniform(0.1, 10, size=(150, 1)).astype(np.float32)
    unit = x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    cosine = unit @ unit.T - 2 * np.eye(150)
    found = Neighbors.of(x, 10, metric="cosine")
    assert brute.overlap(found.indices.numpy(), np.argsort(-cosine, axis=1)[:, :10]) > 0.999
    assert brute.overlap(found.indices.numpy(), brute.nearest(x, 10)) < 0.9


# ---------------------------------------------------------------- subsets


@pytest.mark.parametrize("kind", ["plain", "massive", "repeats"])
@pytest.mark.parametrize("n, k", [(120, 60), (40, 100), (149, 149), (150, 20), (80, 149)])
def test_subset_equals_a_fresh_search(kind, n, k, memory):
    x = points(kind)
    rows = np.random.default_rng(3).permutation(150)[:n]
    part = Neighbors.of(x, k).subset(rows)
    depth = part.indices.shape[1]
    assert depth >= min(k, n) / 2 * n / 150 and (depth == n - 1 if k == 149 else depth <= k)
    table = brute.squared_distances(x[rows])
    truth = np.sort(table, axis=1)[:, :depth]
    np.testing.assert_allclose(np.take_along_axis(table, part.indices.numpy(), 1), truth, rtol=1e-12)
    np.testing.assert_allclose(part.distances.numpy() ** 2, truth, rtol=5e-4)


def test_rows_whose_lists_run_out_are_searched_again():
    """Neighbours of the first 20 points are all among the 60 that are left out."""
    rng = np.random.default_rng(4)
    x = np.concatenate([rng.normal(size=(80, 3)), 100 + rng.normal(size=(120, 3))])
    rows = np.r_[60:200]
    part = Neighbors.of(x, 40).subset(rows)
    np.testing.assert_array_equal(part.indices.numpy(), brute.nearest(x[rows], part.indices.shape[1]))
    assert part.indices.shape[1] > 19  # more than the 19 others of the first cluster


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("kind", KINDS)
def test_gpu_finds_the_same_neighbours(kind):
    x = torch.from_numpy(points(kind, n=600, width=300))
    here, there = Neighbors.of(x, 40), Neighbors.of(x.cuda(), 40)
    assert there.indices.is_cuda and there.distances.is_cuda
    torch.testing.assert_close(there.distances.cpu(), here.distances, rtol=1e-3, atol=0)
    part = there.subset(torch.arange(0, 600, 2).cuda())
    truth = Neighbors.of(x[::2], part.indices.shape[1])
    torch.testing.assert_close(part.distances.cpu(), truth.distances, rtol=1e-3, atol=0)


# ---------------------------------------------------------------- memory and errors


def test_products_can_be_dropped():
    full, bare = (Neighbors.of(points(), 10, keep=keep) for keep in (True, False))
    assert full.points.kept is not None and bare.points.kept is None and torch.equal(full.indices, bare.indices)


@pytest.mark.parametrize(
    "call, word",
    [
        (lambda: Neighbors.of(points() * np.nan, 5), "150 of 150 rows hold NaN"),
        (lambda: Neighbors.of(points(), 150), "1 to N - 1 = 149, got 150"),
        (lambda: Neighbors.of(points(), 0), "got 0"),
        (lambda: Neighbors.of(points(), 2.5), "got 2.5"),
        (lambda: Neighbors.of(points(), True), "got True"),
        (lambda: Neighbors.of(points(), 5).nearest(6), "Neighbors.of(x, k=6)"),
        (lambda: Neighbors.of(points(), 5).nearest(150), "got 150"),
        (lambda: Neighbors.of(points(), 5, metric="manhattan"), "'manhattan'"),
        (lambda: Neighbors.of(np.eye(5, 4), 2, metric="cosine"), "1 rows are all zeros"),
        (lambda: Neighbors.of(points(), 2).subset(np.arange(30)), "too few"),
        (lambda: Neighbors.of(points(), 2).subset(np.arange(1)), "too few"),
    ],
)
def test_errors_are_one_sentence(call, word):
    with pytest.raises(GeometryError) as error:
        call()
    assert word in one_sentence(error.value)
