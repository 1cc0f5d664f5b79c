"""Exact comparisons of distances at float32's price: bounds, ranks, inputs, precision."""

import brute
import numpy as np
import pytest
import torch
from brute import KINDS, points
from small_models import one_sentence

from paperlib.geometry import distances
from paperlib.geometry.distances import GeometryError, Points, as_points, centred, full_precision

EVERYONE = torch.arange(150)


@pytest.fixture(params=["kept", "blocks"])
def memory(request, monkeypatch):
    """Products kept, or computed 20 rows at a time."""
    if request.param == "blocks":
        monkeypatch.setattr(distances, "KEPT", 0)
        monkeypatch.setattr(distances, "BLOCK", 3000)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [5, 40, 3000])
def test_bounds_hold_the_truth_and_are_tight(kind, width, memory):
    x = points(kind, width=width)
    truth, length = brute.squared_distances(x), np.sum((x - x.mean(0, dtype=np.float64)) ** 2, axis=1)
    rows, low, high = (torch.cat(parts) for parts in zip(*Points.of(x).bounds(EVERYONE)))
    low, high = low.double().numpy(), high.double().numpy()
    assert torch.equal(rows, EVERYONE) and (np.diag(low) == np.inf).all() and (np.diag(high) == np.inf).all()
    assert (low <= truth).all() and (truth <= high).all()
    np.fill_diagonal(low, 0), np.fill_diagonal(high, 0)
    assert (high - low <= 1e-5 * (length[:, None] + length) * (1 + np.sqrt(width) / 24)).all()


def test_bounds_allow_twice_the_error():
    """In trials with sums that float32 rounds most: where the largest products come first."""
    for seed in range(3):
        for width in (16, 256, 600, 4096):
            x = points("massive", width=width, seed=seed)
            x[:, 0] *= 3000
            truth = brute.squared_distances(x)
            _, low, high = next(Points.of(x).bounds(EVERYONE))
            low, high = low.double().numpy(), high.double().numpy()
            with np.errstate(invalid="ignore"):
                used = abs((low + high) / 2 - truth) / ((high - low) / 2)
            assert np.nanmax(used) < 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_ranks_equal_brute_force(kind, memory):
    x = points(kind)
    rng = np.random.default_rng(1)
    targets = (np.arange(150)[:, None] + rng.integers(1, 150, size=(150, 5))) % 150
    truth = np.take_along_axis(brute.ranks(x), targets, 1)
    np.testing.assert_array_equal(Points.of(x).ranks(torch.from_numpy(targets)).numpy(), truth)


def test_ties_share_the_mean_rank():
    """From 0 on a line, -1 and 1 are both nearest: 1.5 each; the three points at distance 3 share ranks 3 to 5."""
    x = torch.tensor([[0.0], [1], [-1], [3], [3], [-3]])
    targets = torch.tensor([[1, 2, 3, 4, 5]] + [[0] * 5] * 5)
    assert Points.of(x).ranks(targets)[0].tolist() == [1.5, 1.5, 4, 4, 4]


def test_subsets_rank_among_themselves(memory):
    x = points("gap")
    rows = np.random.default_rng(1).permutation(150)[:60]
    part = Points.of(x).subset(torch.from_numpy(rows))
    targets = np.roll(np.arange(60), 1)[:, None]
    truth = np.take_along_axis(brute.ranks(x[rows]), targets, 1)
    np.testing.assert_array_equal(part.ranks(torch.from_numpy(targets)).numpy(), truth)
    np.testing.assert_array_equal(part.x.numpy(), x[rows])


def test_products_are_kept_up_to_a_bound(monkeypatch):
    x = points()
    kept, length = Points.of(x).kept
    y = x.astype(np.float64) - x.mean(0, dtype=np.float64)
    np.testing.assert_allclose(kept.numpy(), y @ y.T, atol=1e-4)
    np.testing.assert_allclose(length.numpy(), (y**2).sum(1), rtol=1e-6)
    assert Points.of(x, keep=False).kept is None
    monkeypatch.setattr(distances, "KEPT", 150**2 - 1)
    assert Points.of(x).kept is None


# ---------------------------------------------------------------- inputs


def test_arrays_and_tensors_of_any_kind_give_the_same():
    x = points()
    frozen = x.copy()
    frozen.setflags(write=False)
    same = [
        x,
        x.tolist(),
        frozen,
        np.repeat(x, 2, axis=1)[:, ::2],
        x[::-1][::-1],
        np.asfortranarray(x),
        x.astype(np.float64),
        torch.from_numpy(x),
        torch.from_numpy(x).requires_grad_(),
        torch.from_numpy(x.T.copy()).T,
    ]
    for given in same:
        found = as_points(given)
        assert not found.requires_grad and found.dtype in (torch.float32, torch.float64)
        np.testing.assert_array_equal(found.numpy(), x)
    for kind in (np.int64, np.uint8, np.float16, bool):
        given = points("lattice").astype(kind)
        np.testing.assert_array_equal(as_points(given).numpy(), given.astype(float))
    assert as_points(x).dtype == torch.float32 and as_points(x.astype(np.float64)).dtype == torch.float64
    large = np.array([[2**40], [2**40 + 1]])
    np.testing.assert_array_equal(as_points(large).numpy(), large)


def test_points_are_not_changed():
    x = torch.from_numpy(points())
    before = x.clone()
    Points.of(x).ranks((EVERYONE[:, None] + 1) % 150)
    assert torch.equal(x, before)


def test_centring_leaves_no_mean():
    y = centred(as_points(points("offset")))
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_upcast_and_must_be(dtype):
    """States with a mean, as those of models are: squared lengths overflow float16 (65,504), and bfloat16 has 8 bits.

    Upcast, ranks are exactly those of the rounded values; computed in half precision, most neighbours are wrong.
    """
    x = (4 * torch.from_numpy(points()) + 40).to(dtype)
    exact = x.double().numpy()
    assert as_points(x).dtype == torch.float32
    targets = (np.arange(150)[:, None] + [1, 2, 50]) % 150
    truth = np.take_along_axis(brute.ranks(exact), targets, 1)
    np.testing.assert_array_equal(Points.of(x).ranks(torch.from_numpy(targets)).numpy(), truth)
    length = x.square().sum(1)
    halved = (length[:, None] + length - 2 * x @ x.T).fill_diagonal_(torch.inf).nan_to_num(torch.inf)
    assert brute.overlap(halved.topk(10, largest=False).indices.numpy(), brute.nearest(exact, 10)) < 0.5


@pytest.mark.parametrize("outside", ["medium", "autocast"])
def test_faster_products_set_outside_change_nothing(outside, memory):
    x = torch.from_numpy(points("massive", width=300))
    targets = (EVERYONE[:, None] + torch.tensor([1, 7])) % 150
    expected, expected_bounds = Points.of(x).ranks(targets), list(Points.of(x).bounds(EVERYONE))
    before = torch.get_float32_matmul_precision()
    try:
        if outside == "medium":
            torch.set_float32_matmul_precision("medium")
        with torch.autocast("cpu", torch.bfloat16, enabled=outside == "autocast"):
            assert torch.equal(Points.of(x).ranks(targets), expected)
            for found, truth in zip(Points.of(x).bounds(EVERYONE), expected_bounds):
                assert all(torch.equal(a, b) for a, b in zip(found, truth))
            with pytest.raises(KeyError), full_precision(x):
                assert (x @ x.T).dtype == torch.float32 and torch.get_float32_matmul_precision() == "highest"
                raise KeyError
        assert torch.get_float32_matmul_precision() == ("medium" if outside == "medium" else before)
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("kind", KINDS)
def test_gpu_gives_the_same_ranks(kind, memory):
    x = torch.from_numpy(points(kind, n=600, width=300))
    targets = (torch.arange(600)[:, None] + torch.tensor([1, 7])) % 600
    found = Points.of(x.cuda()).ranks(targets.cuda())
    assert found.is_cuda and torch.equal(found.cpu(), Points.of(x).ranks(targets))


# ---------------------------------------------------------------- errors


def bad_value(value):
    x = points()
    x[5, 2] = x[9, 0] = value
    return x


@pytest.mark.parametrize(
    "x, word",
    [
        (bad_value(np.nan), "2 of 150 rows hold NaN"),
        (bad_value(-np.inf), "2 of 150 rows hold NaN"),
        (np.full((9, 4), 0.1, dtype=np.float32), "All rows are equal"),
        (points()[0], "[40]"),
        (points()[None], "[1, 150, 40]"),
        (torch.tensor(3.0), "shape []"),
        (points()[:1], "at least two rows"),
        (points()[:, :0], "[150, 0]"),
        (points().astype(complex), "complex128"),
        (torch.ones(3, 2, dtype=torch.complex64), "complex64"),
        ([["a", "b"], ["c", "d"]], "must be numbers"),
    ],
)
def test_errors_are_one_sentence(x, word):
    with pytest.raises(GeometryError) as error:
        Points.of(x)
    assert word in one_sentence(error.value) and isinstance(error.value, ValueError)


def test_values_whose_sum_overflows_are_finite_all_the_same():
    x = np.full((4, 3), 3e38, dtype=np.float32)
    x[0] = 0
    assert as_points(x).shape == (4, 3)


@pytest.mark.parametrize("dtype", [np.longdouble, ">f8", ">f4", ">i4"])
def test_numbers_that_torch_does_not_have_are_taken(dtype):
    x = np.arange(12.0).reshape(4, 3) ** 2
    assert torch.equal(as_points(x.astype(dtype)), torch.from_numpy(x))
