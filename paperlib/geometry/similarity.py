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
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from paperlib.geometry.distances import GeometryError, as_points, paired, unit_of
from paperlib.geometry.kernels import cka, ckas
from paperlib.geometry.neighbors import Measured, Neighbors, points_of, searched
from paperlib.study.checks import seeded, shown, whole


def neighborhood_overlap(x: Measured, y: Measured, k: int = 16) -> float:
    """Mean over i of |N_k^x(i) ∩ N_k^y(i)| / k (Doimo et al. 2020, arXiv 2007.03506); chance is k / (N - 1).

    Raises GeometryError as `Neighbors.of`, if x and y differ in N or device, if k or more rows equal another one,
    within rounding (`Points.copies`), because its neighbours are then any of them, or if neighbours are tied (see
    above).

    >>> x, other = np.random.default_rng(0).normal(size=(2, 300, 5))
    >>> f"{neighborhood_overlap(x, 3 * x + 1):.2f}, unrelated {neighborhood_overlap(x, other):.2f}"
    '1.00, unrelated 0.05'
    """
    return _single(_overlaps, x, y, k)


def mutual_knn(x: Measured, y: Measured, k: int = 10) -> float:
    """The same share of common neighbours, for cosine neighbours (Huh et al. 2024, arXiv 2405.07987, appendix A).

    What differs from `neighborhood_overlap` is the search alone: rows are scaled to length 1 and compared by inner
    product, and they are **not** centred, so a large mean or one massive dimension counts. Huh et al. also clip values
    at the 95th percentile beforehand and report the best pair of layers; neither is done here. Pass centred arrays for
    centred cosines, and `Neighbors.of(x, k, metric="cosine")` to share a search.
    Raises GeometryError as `neighborhood_overlap`.

    >>> x, lengths = np.random.default_rng(0).normal(size=(300, 5)), np.random.default_rng(1).uniform(1, 9, (300, 1))
    >>> f"{mutual_knn(x, lengths * x):.2f}, by distance {neighborhood_overlap(x, lengths * x, k=10):.2f}"
    '1.00, by distance 0.52'
    """
    return _single(_mutual, x, y, k)


def label_overlap(x: Measured, labels: torch.Tensor | ArrayLike, k: int = 16) -> float:
    """Mean share of each point's k neighbours that carry its label (Doimo et al. 2020), every point weighing the same.

    labels: [N], numbers or strings. Chance is the mean over i of (n_label(i) - 1) / (N - 1).
    Raises GeometryError as `neighborhood_overlap`, or for labels that are None or NaN.
    """
    return _single(_label_overlaps, x, labels, k)


def information_imbalance(x: Measured, y: Measured) -> float:
    """Delta(x -> y) = 2/N x mean over i of the rank, in y, of i's nearest neighbour in x.

    Glielmo et al. 2022, PNAS Nexus 1, pgac039. 2/N: distances in x predict those in y fully; about 1: not at all. Not
    symmetric. Ranks are full, self excluded. Points of y at equal distance share the mean of their ranks.
    Raises GeometryError as `Neighbors.of`, if x and y differ in N or device, if rows of x repeat, within rounding:
    which of its copies is a point's nearest neighbour isn't defined; or if nearest neighbours in x are tied (see
    above).

    >>> x = np.random.default_rng(0).normal(size=(300, 4))
    >>> f"{information_imbalance(x, x[:, :1]):.1f} to its first column, {information_imbalance(x[:, :1], x):.1f} back"
    '0.3 to its first column, 0.7 back'
    """
    return _single(_imbalances, x, y)


def permutation_null(
    metric: Callable,
    x: Measured,
    y: Measured | torch.Tensor | ArrayLike,
    n: int = 200,
    seed: int = 0,
    groups: ArrayLike | None = None,
    **options: Any,
) -> np.ndarray:
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
    rng, orders = seeded(seed, GeometryError), np.empty((n, rows), dtype=np.int64)
    for order in orders:
        shuffled = rng.permutation(rows)
        order[np.argsort(groups, kind="stable")] = shuffled[np.argsort(groups[shuffled], kind="stable")]
    return version(x, y, torch.from_numpy(orders), **options).cpu().numpy()


def without_outliers(
    x: torch.Tensor | ArrayLike, factor: float = 6.0, how: str = "remove"
) -> tuple[torch.Tensor, list[int]]:
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


def _overlaps(
    x: Measured, y: Measured, orders: torch.Tensor | None, k: int = 16, metric: str = "euclidean"
) -> torch.Tensor:
    x, y = _searched(x, k, metric), _searched(y, k, metric)
    orders = paired(x.points.x, y.points.x, orders)
    a, b = _settled(x, k), _settled(y, k).sort(dim=1).values  # [N, k]
    k = a.shape[1]
    found = []
    for order in orders:
        renamed, own = order[a], b[order]  # [N, k] each
        place = torch.searchsorted(own, renamed).clamp_(max=k - 1)
        found.append((own.gather(1, place) == renamed).double().mean())
    return torch.stack(found)


def _mutual(x: Measured, y: Measured, orders: torch.Tensor | None, k: int = 10) -> torch.Tensor:
    return _overlaps(x, y, orders, k, "cosine")


def _label_overlaps(
    x: Measured, labels: torch.Tensor | ArrayLike, orders: torch.Tensor | None, k: int = 16
) -> torch.Tensor:
    x = _searched(x, k)
    labels = torch.from_numpy(np.unique(_labels(labels, "labels"), return_inverse=True)[1]).to(x.indices.device)
    orders = paired(x.points.x, labels, orders)
    near = _settled(x, k)
    return torch.stack([(own[near] == own[:, None]).double().mean() for own in labels[orders]])


def _imbalances(x: Measured, y: Measured, orders: torch.Tensor | None) -> torch.Tensor:
    x, y = _searched(x, 1), points_of(y)
    orders = paired(x.points.x, y.x, orders)
    repeats = int((x.distances[:, 0] <= x.points.copies).sum())
    if repeats:
        raise GeometryError(
            f"{repeats} of {len(x)} rows of x repeat another, so which row is nearest isn't defined: "
            f"drop repeats from x, and the same rows from y."
        )
    near = orders[:, _settled(x, 1)[:, 0]]  # [M, N], as rows of y
    targets = torch.empty_like(orders).scatter_(1, orders, near)  # row orders[m, i] of y looks at near[m, i]
    return 2 / len(x) * y.ranks(targets.T).mean(0)


TIED = 0.1  # share of rows with a tie at the k-th place that is let pass
_VERSIONS: dict[Callable, Callable] = {
    neighborhood_overlap: _overlaps,
    mutual_knn: _mutual,
    label_overlap: _label_overlaps,
    information_imbalance: _imbalances,
    cka: ckas,
}


def _single(version: Callable, x: Measured, y: Measured | torch.Tensor | ArrayLike, *options: Any) -> float:
    return float(version(x, y, None, *options)[0])


def _searched(x: Measured, k: int, metric: str = "euclidean") -> Neighbors:
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


def _labels(labels: torch.Tensor | ArrayLike, what: str) -> np.ndarray:
    """Labels [N] as an array that can be sorted."""
    labels = np.asarray(labels.cpu() if isinstance(labels, torch.Tensor) else labels)
    if labels.ndim != 1 or any(label is None or label != label for label in labels.tolist()):
        raise GeometryError(
            f"{what} must be one number or word for each row, and none None or NaN, got shape {list(labels.shape)}."
        )
    return labels.astype(str) if labels.dtype.kind == "O" else labels
