"""Intrinsic dimension by neighbour distances: at one scale, over scales, and where it stays the same.

The likelihoods are those of scikit-dimension; they are given the distances of `paperlib.geometry.neighbors`, so that
one search serves every estimator and metric of a layer. Estimates are biased low at finite N, the more the higher the
dimension: read them beside `paperlib.geometry.calibration`, and compare at equal N and k alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
from skdim.id import TwoNN
from skdim.id._GRIDE import _gride  # GRIDE().fit does nothing else but search neighbours again

from paperlib.geometry.distances import GeometryError, as_points
from paperlib.geometry.neighbors import Measured, Neighbors, searched
from paperlib.study.checks import shown, whole

METHODS = ("gride", "twonn")
TIED = 0.1  # share of points whose two neighbours may be equally far
CENSORED = 0.1  # share of the largest ratios that TwoNN takes as "at least this large"


@dataclass(frozen=True)
class Dimension:
    """An estimate: value and standard error in dimensions; scale, the mean distance to the 2k-th neighbour, in the
    unit of the points; k, the order of the nearer neighbour.
    """

    value: float
    error: float
    scale: float
    k: int


@dataclass(frozen=True)
class Plateau:
    """Consecutive scales, from k `first` to k `last`, at which the dimension stays at about `value`."""

    value: float
    first: int
    last: int


def intrinsic_dimension(x: Measured, method: str = "gride", k: int = 16) -> Dimension:
    """Intrinsic dimension of points x [N, D], an array, a tensor or `Neighbors`.

    method "gride" (Denti et al. 2022, Scientific Reports 12, 20005): the likelihood of the ratios of each point's
    distances to its 2k-th and k-th neighbours, so that k = 16 compares the 32nd with the 16th. Larger k sees larger
    scales and less of the noise. "twonn" (Facco et al. 2017): second and first neighbour whatever k, the largest tenth
    of the ratios censored, as scikit-dimension's `TwoNN(method="mle")`.

    The error is that of independent ratios, but neighbourhoods overlap: over fresh samples estimates spread about 1.1
    times as far at k = 1, 1.3 times at k = 16 and 1.5 times at k = 64, at worst 2.5 times (sd against error in the
    calibration table). Take intervals from `paperlib.geometry.subsampling`. No error covers the bias.
    Raises GeometryError as `Neighbors.of`, for another method, for 2k >= N, if rows repeat, or if ratios are 1 for more
    than a tenth of the points or nearly all the same, both within rounding, as on a grid.

    >>> plane = np.random.default_rng(0).normal(size=(1000, 2)) @ np.random.default_rng(1).normal(size=(2, 50))
    >>> f"{intrinsic_dimension(plane).value:.1f} of {plane.shape[1]} dimensions"
    '2.1 of 50 dimensions'
    """
    if not isinstance(method, str) or method not in METHODS:
        raise GeometryError(f"method must be one of {', '.join(METHODS)}, got {shown(method)}.")
    k = 1 if method == "twonn" else whole(k, "k", error=GeometryError)
    distances, ties = _distances(x, 2 * k)
    near, far = distances[:, k - 1], distances[:, 2 * k - 1]
    ratios = int((far - near > ties).sum())
    if ratios < max(10, (1 - TIED) * len(far)):
        raise GeometryError(
            f"Neighbours {k} and {2 * k} are at different distances for {ratios} points only, of "
            f"{len(far)}, and a dimension needs 10 and nine in ten: measure more points, and none on a "
            f"grid."
        )
    middle, high = np.quantile(far / near, [0.5, 0.95])
    if high - middle <= (1e-6 + 2 * np.median(ties / near)) * middle:
        raise GeometryError(
            f"Neighbours {2 * k} are {middle:.4g} times as far as neighbours {k} for nearly all points, as "
            f"on a grid, where a dimension has no estimate: measure points that are drawn at random."
        )
    if method == "gride":
        value, error = _gride(distances, k, 2 * k)
    else:
        fit = TwoNN(discard_fraction=CENSORED, dist=True, method="mle").fit(distances[:, :2])
        value, error = fit.dimension_, fit.dimension_ / (len(fit.x_) - 2) ** 0.5  # sd of an inverse gamma variable
    return Dimension(float(value), float(error), float(far.mean()), k)


def dimension_by_scale(x: Measured, k_max: int = 64) -> list[Dimension]:
    """GRIDE at k = 1, 2, 4, ... up to k_max, as far as 2k < N: the scale plot. `Neighbors` must be 2 k_max deep.

    Raises GeometryError as `intrinsic_dimension`, for k_max below 1.
    """
    k_max = whole(k_max, "k_max", error=GeometryError)
    x = x if isinstance(x, Neighbors) else as_points(x)
    orders = [k for k in (2**i for i in range(k_max.bit_length())) if 2 * k < len(x)]
    near = searched(x, 2 * max(orders, default=1))
    return [intrinsic_dimension(near, "gride", k) for k in orders]


def plateau(curve: Sequence[Dimension], tolerance: float = 0.1) -> Plateau | None:
    """Where to read a scale plot: the longest run of consecutive scales, two at least, whose values all lie within
    `tolerance` of their median (as a share of it); of two as long, the one at larger scales, where noise weighs less.

    The value is the median. None if no two neighbouring scales agree: there is no dimension to speak of.
    """
    if isinstance(tolerance, bool) or not isinstance(tolerance, Real) or not 0 <= tolerance < np.inf:
        raise GeometryError(f"tolerance must be a share of at least 0, got {shown(tolerance)}.")
    for length in range(len(curve), 1, -1):
        for start in range(len(curve) - length, -1, -1):
            run = curve[start : start + length]
            values = np.array([d.value for d in run])
            if (abs(values - np.median(values)) <= tolerance * np.median(values)).all():
                return Plateau(float(np.median(values)), run[0].k, run[-1].k)
    return None


def _distances(x: Measured, k: int) -> tuple[np.ndarray, np.ndarray]:
    """[N, K] distances to at least k neighbours of points that all differ, and what rounding makes of them [N]."""
    x = searched(x, k)
    x.nearest(k)  # refused if it is not that deep
    distances = x.distances.cpu().numpy()
    repeats = int((distances[:, 0] <= x.points.copies.cpu().numpy()).sum())
    if repeats:
        raise GeometryError(
            f"{repeats} of {len(x)} rows repeat another, and a distance of 0 has no ratio: measure "
            f"different rows only, for instance those of np.unique(x, axis=0)."
        )
    return distances, x.points.ties.cpu().numpy()
