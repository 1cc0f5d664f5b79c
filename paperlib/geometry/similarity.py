"""How alike two representations of the same N examples are: neighbours, ranks, kernels.

Every metric takes arrays or tensors [N, D], row i of both for example i, or `Neighbors` searched once and given to
all metrics of a layer; each returns a float. All but `mutual_knn` are Euclidean and don't change when points are
shifted, rotated or scaled as a whole. Values depend on N and on k: state them, and compare at equal N and k alone.

Which rows are the k nearest isn't defined where neighbours k and k + 1 are equally far, within rounding. Where that
holds for more than a tenth of the rows (`TIED`), as on a grid, every metric of neighbours raises GeometryError;
elsewhere either may be taken, which changes a value by at most that share.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real

import numpy as np
import torch

from paperlib.geometry.distances import (
    BLOCK,
    GeometryError,
    Points,
    as_points,
    centred,
    full_precision,
    squared_lengths,
    unit_of,
)
from paperlib.geometry.neighbors import Neighbors, searched
from paperlib.study.checks import shown, whole


def neighborhood_overlap(x, y, k: int = 16) -> float:
    """Mean over i of |N_k^x(i) ∩ N_k^y(i)| / k (Doimo et al. 2020, arXiv 2007.03506); chance is k / (N - 1).

    Raises GeometryError as `Neighbors.of`, if x and y differ in N or device, if k or more rows equal another one,
    within rounding (`Points.copies`), because its neighbours are then any of them, or if neighbours are tied (see
    above).
    """
    return _single(_overlaps, x, y, k)


def mutual_knn(x, y, k: int = 10) -> float:
    """The same share of common neighbours, for cosine neighbours (Huh et al. 2024, arXiv 2405.07987, appendix A).

    What differs from `neighborhood_overlap` is the search alone: rows are scaled to length 1 and compared by inner
    product, and they are **not** centred, so a large mean or one massive dimension counts. Huh et al. also clip values
    at the 95th percentile beforehand and report the best pair of layers; neither is done here. Pass centred arrays for
    centred cosines, and `Neighbors.of(x, k, metric="cosine")` to share a search.
    Raises GeometryError as `neighborhood_overlap`.
    """
    return _single(_mutual, x, y, k)


def label_overlap(x, labels, k: int = 16) -> float:
    """Mean share of each point's k neighbours that carry its label (Doimo et al. 2020), every point weighing the same.

    labels: [N], numbers or strings. Chance is the mean over i of (n_label(i) - 1) / (N - 1).
    Raises GeometryError as `neighborhood_overlap`, or for labels that are None or NaN.
    """
    return _single(_label_overlaps, x, labels, k)


def information_imbalance(x, y) -> float:
    """Delta(x -> y) = 2/N x mean over i of the rank, in y, of i's nearest neighbour in x.

    Glielmo et al. 2022, PNAS Nexus 1, pgac039. 2/N: distances in x predict those in y fully; about 1: not at all. Not
    symmetric. Ranks are full, self excluded. Points of y at equal distance share the mean of their ranks.
    Raises GeometryError as `Neighbors.of`, if x and y differ in N or device, if rows of x repeat, within rounding:
    which of its copies is a point's nearest neighbour isn't defined; or if nearest neighbours in x are tied (see
    above).
    """
    return _single(_imbalances, x, y)


def cka(x, y, unbiased: bool = True) -> float:
    """Linear centred kernel alignment, HSIC(x, y) / sqrt(HSIC(x, x) HSIC(y, y)) (Kornblith et al. 2019).

    unbiased: Song et al.'s (2012) estimator of HSIC, as in Nguyen et al. (2021): about 0 for independent x and y, and
    sometimes below. The biased one grows with D / N (0.62 for independent Gaussians at N = 2,500, D = 4,096). One
    massive dimension that x and y share drives either to 1: report it with `without_outliers` as well.
    Takes N x N products where `Points` has them in a table, and elsewhere D_x x D_y ones in blocks.
    Raises GeometryError as `as_points`, if x and y differ in N or device, or, if unbiased, for fewer than 4 rows or
    where HSIC(x, x) or HSIC(y, y) is no more than rounding, as for points that are all equally far apart.
    """
    return _single(_ckas, x, y, unbiased)


def permutation_null(metric: Callable, x, y, n: int = 200, seed: int = 0, groups=None, **options) -> np.ndarray:
    """[n] values of a metric of this module after rows of y (or labels) are shuffled: what unrelated pairs score.

    Neighbours are searched and distances computed once; a shuffle renames them. groups [N]: shuffle within equal groups
    alone. options: the metric's.
    A one-sided p-value is (1 + number of null values at least as extreme) / (1 + n).
    """
    version = _VERSIONS.get(metric)
    if version is None:
        names = ", ".join(m.__name__ for m in _VERSIONS)
        raise GeometryError(f"A permutation null needs one of {names}, got {shown(metric)}.")
    n = whole(n, "n of a permutation null", error=GeometryError)
    x = x if isinstance(x, Neighbors) else as_points(x)
    rows = len(x)
    groups = np.zeros(rows) if groups is None else _labels(groups, "groups")
    if len(groups) != rows:
        raise GeometryError(f"There are {rows} points and {len(groups)} groups: give each point its group.")
    rng, orders = np.random.default_rng(seed), np.empty((n, rows), dtype=np.int64)
    for order in orders:
        shuffled = rng.permutation(rows)
        order[np.argsort(groups, kind="stable")] = shuffled[np.argsort(groups[shuffled], kind="stable")]
    return version(x, y, torch.from_numpy(orders), **options).cpu().numpy()


def without_outliers(x, factor: float = 6.0, how: str = "remove") -> tuple[torch.Tensor, list[int]]:
    """X [N, D] without its massive dimensions, and which they were.

    The rule: a dimension is massive if its standard deviation exceeds `factor` times the median one, so that it weighs
    more than factor^2 usual dimensions in a squared distance. A large mean alone is none: centring removes it.
    how: "remove" drops them, "standardize" divides each so that its standard deviation is the median one.
    Such rogue dimensions dominate similarity in language models (Timkey & van Schijndel 2021, arXiv 2109.04404).
    Raises GeometryError as `as_points`, for another `how`, or if most dimensions are constant: the median is then 0.
    """
    if how not in ("remove", "standardize"):
        raise GeometryError(f"how must be 'remove' or 'standardize', got {how!r}.")
    if isinstance(factor, bool) or not isinstance(factor, Real) or not 0 < factor < np.inf:
        raise GeometryError(f"factor must be a number above 0, got {shown(factor)}.")
    x = as_points(x)
    spread = (x * unit_of(x)).std(0)
    typical = spread.median()
    if typical == 0:
        raise GeometryError("More than half of the dimensions are constant, so there is no typical one: drop those.")
    massive = spread > factor * typical
    kept = x[:, ~massive] if how == "remove" else x / torch.where(massive, spread / typical, 1.0)
    return kept, massive.nonzero().flatten().tolist()


# Each metric for many pairings at once: row i of x stands beside row orders[m, i] of y. Returns [M] values.


def _overlaps(x, y, orders, k=16, metric="euclidean"):
    x, y = _searched(x, k, metric), _searched(y, k, metric)
    orders = _paired(x.points.x, y.points.x, orders)
    a, b = _settled(x, k), _settled(y, k).sort(dim=1).values  # [N, k]
    k = a.shape[1]
    found = []
    for order in orders:
        renamed, own = order[a], b[order]  # [N, k] each
        place = torch.searchsorted(own, renamed).clamp_(max=k - 1)
        found.append((own.gather(1, place) == renamed).double().mean())
    return torch.stack(found)


def _mutual(x, y, orders, k=10):
    return _overlaps(x, y, orders, k, "cosine")


def _label_overlaps(x, labels, orders, k=16):
    x = _searched(x, k)
    labels = torch.from_numpy(np.unique(_labels(labels, "labels"), return_inverse=True)[1]).to(x.indices.device)
    orders = _paired(x.points.x, labels, orders)
    near = _settled(x, k)
    return torch.stack([(own[near] == own[:, None]).double().mean() for own in labels[orders]])


def _imbalances(x, y, orders):
    x, y = _searched(x, 1), _points(y)
    orders = _paired(x.points.x, y.x, orders)
    repeats = int((x.distances[:, 0] <= x.points.copies).sum())
    if repeats:
        raise GeometryError(
            f"{repeats} of {len(x)} rows of x repeat another, so which row is nearest isn't defined: "
            f"drop repeats from x, and the same rows from y."
        )
    near = orders[:, _settled(x, 1)[:, 0]]  # [M, N], as rows of y
    targets = torch.empty_like(orders).scatter_(1, orders, near)  # row orders[m, i] of y looks at near[m, i]
    return 2 / len(x) * y.ranks(targets.T).mean(0)


def _ckas(x, y, orders, unbiased=True):
    x, y = _points(x), _points(y)
    paired = _paired(x.x, y.x, orders)
    if unbiased and len(x) < 4:
        raise GeometryError(f"Unbiased CKA needs at least 4 rows, got {len(x)}.")
    others = [y] if orders is None else map(y.subset, paired)
    own = [_hsic(z, z, unbiased) for z in (x, y)]
    for name, z, (value, terms) in zip("xy", (x, y), own):
        if not value > terms * (24 + z.x.shape[1] ** 0.5) * torch.finfo(z.x.dtype).eps:  # as in `Points.bounds`
            raise GeometryError(
                f"HSIC({name}, {name}) is no more than rounding, so CKA isn't defined: the rows of {name} "
                f"are about equally far apart, or too few for their width, so measure more rows."
            )
    scale = own[0][0].sqrt() * own[1][0].sqrt()
    return torch.stack([_hsic(x, other, unbiased)[0] for other in others]) / scale


def _hsic(x: Points, y: Points, unbiased: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """HSIC of the linear kernels K and L of points in their `unit`, up to a factor that N alone decides, and the size
    of the terms that cancel in it.

    Diagonals p and q, row sums r and s, [N] each, and the sum over K_ij L_ij are all it takes. Where no kernels are
    kept that is |x^T y|^2 of the centred points, and rows sum to 0.
    """
    n = len(x)
    if x.kept and y.kept:
        (k, p), (l, q) = x.kept, y.kept
        step = max(1, BLOCK // n)
        total = sum((a * b).sum(dtype=torch.float64) for a, b in zip(k.split(step), l.split(step)))
        r, s = k.sum(1, dtype=torch.float64), l.sum(1, dtype=torch.float64)
    else:
        a, b = centred(x.x * x.unit), centred(y.x * y.unit)
        a, b = (z.to(torch.promote_types(a.dtype, b.dtype)) for z in (a, b))
        p, q = squared_lengths(a), squared_lengths(b)
        with full_precision(a):
            parts = a.split(max(1, BLOCK // b.shape[1]), dim=1)
            total = sum((part.T @ b).double().square().sum() for part in parts)
        r, s = torch.zeros_like(p), torch.zeros_like(q)
    if not unbiased:  # both kernels centred
        return total - 2 / n * (r @ s) + r.sum() * s.sum() / n**2, total
    r, s = r - p, s - q  # both diagonals removed
    return total - p @ q + r.sum() * s.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (r @ s), total + p @ q


TIED = 0.1  # share of rows with a tie at the k-th place that is let pass
_VERSIONS = {
    neighborhood_overlap: _overlaps,
    mutual_knn: _mutual,
    label_overlap: _label_overlaps,
    information_imbalance: _imbalances,
    cka: _ckas,
}


def _single(version, x, y, *options) -> float:
    return float(version(x, y, None, *options)[0])


def _points(x) -> Points:
    """The points of an array, or of neighbours, with a table of products if it is small."""
    if not isinstance(x, Neighbors):
        return Points.of(x)
    points = searched(x, 1).points
    return points if points.kept else Points.of(points.x)


def _searched(x, k: int, metric: str = "euclidean") -> Neighbors:
    """`searched`, one deeper than k where there is a search to do, so that ties at k show."""
    if not isinstance(x, Neighbors):
        x = as_points(x)
        k = k + 1 if type(k) is int and 1 <= k < len(x) - 1 else k
    return searched(x, k, metric)


def _settled(x: Neighbors, k: int) -> torch.Tensor:
    near = x.nearest(k)
    crowded = int((x.distances[:, k - 1] <= x.points.copies).sum())
    if crowded:
        raise GeometryError(
            f"{crowded} of {len(x)} rows have {k} or more copies, so which are nearest isn't defined: "
            f"drop repeated rows, and the same rows of what they are compared with."
        )
    tied = int(x.tied(k).sum())
    if tied > TIED * len(x):
        raise GeometryError(
            f"Neighbours {k} and {k + 1} are equally far for {tied} of {len(x)} rows, so which are nearest "
            f"isn't defined: choose another k, or measure points that are on no grid."
        )
    return near


def _labels(labels, what: str) -> np.ndarray:
    """Labels [N] as an array that can be sorted."""
    labels = np.asarray(labels.cpu() if isinstance(labels, torch.Tensor) else labels)
    if labels.ndim != 1 or any(label is None or label != label for label in labels.tolist()):
        raise GeometryError(
            f"{what} must be one number or word for each row, and none None or NaN, got shape {list(labels.shape)}."
        )
    return labels.astype(str) if labels.dtype.kind == "O" else labels


def _paired(x: torch.Tensor, y: torch.Tensor, orders: torch.Tensor | None) -> torch.Tensor:
    """The orders [M, N], or the one that leaves rows as they are, on the device of the points.

    Raises GeometryError if x and y can't be paired.
    """
    if len(x) != len(y) or x.device != y.device:
        raise GeometryError(
            f"Row i of both must be example i on the same device, got {len(x)} rows on {x.device} and "
            f"{len(y)} on {y.device}."
        )
    return torch.arange(len(x), device=x.device)[None] if orders is None else orders.to(x.device)
