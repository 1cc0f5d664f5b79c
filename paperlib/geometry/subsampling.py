"""Intervals for estimates from neighbours, where a bootstrap would repeat points and break them."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from paperlib.geometry.distances import GeometryError
from paperlib.geometry.neighbors import Neighbors
from paperlib.stats.interval import Interval
from paperlib.study.checks import finite, seeded, whole
from paperlib.study.checks import share as between


def subsampled(estimate: Callable, *parts: Any, n: int = 50, share: float = 0.5, seed: int = 0) -> np.ndarray:
    """[1 + n, ...]: an estimate, a number or an array of them, from all N points and from n subsamples of them.

    parts: what `estimate` takes, N rows each: tensors, arrays, labels, or `Neighbors`, searched once and about
    2 / share times as deep as the estimate asks for (`Neighbors.subset`). A subsample has m = share x N rows drawn
    without replacement, the same for every part, and for every call with the same N, share and seed, so that estimates
    can be compared draw by draw.
    Raises GeometryError for parts that differ in N, n below 2, a share outside (0, 1), or estimates that are NaN or
    infinite.
    """
    counts = {len(part) for part in parts}
    if len(counts) != 1:
        raise GeometryError(f"Parts must have the same number of rows, got {sorted(counts)}.")
    total = counts.pop()
    n, taken = whole(n, "n", 2, 10**5, error=GeometryError), round(between(share, "share", GeometryError) * total)
    if not 0 < taken < total:
        raise GeometryError(
            f"Subsampling needs a share between 0 and 1 that leaves some of the {total} rows out and takes "
            f"some, got {share}."
        )
    rng, values = seeded(seed, GeometryError), [estimate(*parts)]
    for _ in range(n):
        rows = np.sort(rng.choice(total, taken, replace=False))
        values.append(estimate(*(_take(part, rows) for part in parts)))
    return finite(values, "Estimates from subsamples", error=GeometryError)


def jackknife(values: ArrayLike, total: int, share: float = 0.5, level: float = 0.95) -> Interval:
    """The first value, from all N = `total` points, with the interval of the delete-d jackknife (Shao & Wu 1989, Annals
    of Statistics 17) from the others, each from m = share x N points.

    Their standard deviation s gives the standard error at N, s sqrt(m / (N - m)). The interval is normal and centred on
    the estimate from all points, because one from fewer points is biased in another way.
    Raises GeometryError for fewer than three values, values that are not finite, or a share or level outside (0, 1).
    """
    values = finite(values, "Values of a jackknife", 1, GeometryError)
    total = whole(total, "total", 2, error=GeometryError)
    level, taken = between(level, "level", GeometryError), round(between(share, "share", GeometryError) * total)
    if len(values) < 3 or not 0 < taken < total:
        raise GeometryError(
            f"A jackknife needs three values, and a share between 0 and 1 that leaves some rows out, got "
            f"{len(values)} and {share}."
        )
    value, error = float(values[0]), float(np.std(values[1:], ddof=1)) * (taken / (total - taken)) ** 0.5
    reach = NormalDist().inv_cdf((1 + level) / 2) * error
    return Interval(value, value - reach, value + reach, total)


def subsample_interval(
    estimate: Callable[..., float], *parts: Any, n: int = 50, share: float = 0.5, level: float = 0.95, seed: int = 0
) -> Interval:
    """An estimate from N points with its interval: `subsampled`, then `jackknife`.

    In trials (N = 300) with share 0.5 the error was 1.0 to 1.15 times the spread over fresh samples for dimension,
    overlaps and CKA, and 1.6 times for Information Imbalance; with 0.8, 1.2 to 1.5 times for all but CKA.
    Rows must be independent: where several come from one scene, the interval is too narrow.
    Raises GeometryError as both do.
    """
    return jackknife(subsampled(estimate, *parts, n=n, share=share, seed=seed), len(parts[0]), share, level)


def _take(part: Any, rows: np.ndarray) -> Any:
    if isinstance(part, Neighbors):
        return part.subset(torch.from_numpy(rows))
    if isinstance(part, torch.Tensor):
        return part[torch.from_numpy(rows).to(part.device)]
    return np.asarray(part)[rows]
