"""Intervals for estimates from neighbours, where a bootstrap would repeat points and break them."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import torch

from paperlib.distances import GeometryError
from paperlib.intervals import Interval
from paperlib.neighbors import Neighbors


def subsample_interval(
    estimate: Callable[..., float], *parts, n: int = 50, share: float = 0.5, level: float = 0.95, seed: int = 0
) -> Interval:
    """An estimate from N points with the interval of the delete-d jackknife (Shao & Wu 1989, Annals of Statistics 17).

    parts: what `estimate` takes, N rows each: tensors, arrays, labels, or `Neighbors`, searched once and about four
    times as deep as the estimate asks for (`Neighbors.subset`). The estimate is repeated n times on m = share x N rows
    drawn without replacement, the same for every part. Its standard deviation s over them gives the standard error at
    N, s sqrt(m / (N - m)); the interval is normal and centred on the estimate from all points, because one from fewer
    points is biased in another way.

    In trials (N = 300) with share 0.5 the error was 1.0 to 1.15 times the spread over fresh samples for dimension,
    overlaps and CKA, and 1.6 times for Information Imbalance; with 0.8, 1.2 to 1.5 times for all but CKA.
    Rows must be independent: where several come from one scene, the interval is too narrow.
    Raises GeometryError for parts that differ in N, n below 2, or a share or level outside (0, 1).
    """
    counts = {len(part) for part in parts}
    if len(counts) != 1:
        raise GeometryError(f"Parts must have the same number of rows, got {sorted(counts)}.")
    total = counts.pop()
    taken = round(share * total)
    if n < 2 or not 0 < taken < total or not 0 < level < 1:
        raise GeometryError(f"Subsampling needs n of at least 2 and a share and a level between 0 and 1, got {n}, "
                            f"{share} and {level}.")
    rng, values = np.random.default_rng(seed), []
    for _ in range(n):
        rows = np.sort(rng.choice(total, taken, replace=False))
        values.append(estimate(*(_take(part, rows) for part in parts)))
    error = float(np.std(values, ddof=1)) * (taken / (total - taken)) ** 0.5
    value, reach = float(estimate(*parts)), NormalDist().inv_cdf((1 + level) / 2)
    return Interval(value, value - reach * error, value + reach * error, total)


def _take(part, rows: np.ndarray):
    if isinstance(part, Neighbors):
        return part.subset(torch.from_numpy(rows))
    if isinstance(part, torch.Tensor):
        return part[torch.from_numpy(rows).to(part.device)]
    return np.asarray(part)[rows]
