"""What is left of an overlap of neighbourhoods when the true attributes of the examples are given.

Two representations of the same scenes share neighbours already if both group scenes by what is in them, as counting
words would. So neighbours are compared within *shells*: all examples at one distance from a point by their true
attributes. If a point has a neighbours in a shell of s examples in one cloud and b in the other, and the two choices
know nothing of each other but the shell, they share a x b / s of them on average. The *excess* is what they share
beyond the sum of that over shells. It is exact for pairs that are permuted within shells, and with one shell it is the
overlap less chance.
"""

from collections.abc import Sequence

import numpy as np
import torch

from paperlib.geometry.distances import GeometryError
from paperlib.geometry.neighbors import Neighbors
from paperlib.geometry.subsampling import subsample_interval
from paperlib.stats.interval import Interval


def attribute_distances(attributes: np.ndarray) -> torch.Tensor:
    """[N, N] whole numbers: the sum of absolute differences of attribute counts [N, A]; the diagonal is -1."""
    counts = torch.as_tensor(np.asarray(attributes), dtype=torch.float32)
    if counts.ndim != 2 or (counts != counts.round()).any():
        raise GeometryError("Attributes must be whole numbers [N, A], a row for each example.")
    found = torch.cdist(counts, counts, p=1).round().long()
    return found.fill_diagonal_(-1)


def excess_overlap(x: Neighbors, y: Neighbors, distances: torch.Tensor, k: int = 16) -> float:
    """The share of k neighbours that x and y have in common beyond what the shells of `attribute_distances` explain.

    Raises GeometryError if x, y and distances differ in N, or for neighbours that were not searched as deep as k.
    """
    if not len(x) == len(y) == len(distances):
        raise GeometryError(f"Clouds and attributes must have the same rows, got {len(x)}, {len(y)}, {len(distances)}.")
    mine, theirs, shells = x.nearest(k), y.nearest(k), int(distances.max()) + 1
    shared = (mine[:, :, None] == theirs[:, None, :]).sum(dim=(1, 2))

    def by_shell(chosen: torch.Tensor) -> torch.Tensor:
        ones = torch.ones(chosen.shape, dtype=torch.float64)
        return torch.zeros(len(chosen), shells, dtype=torch.float64).scatter_add_(1, chosen, ones)

    others = distances[~torch.eye(len(distances), dtype=torch.bool)].view(len(distances), -1)
    size = by_shell(others).clamp(min=1)
    expected = (by_shell(distances.gather(1, mine)) * by_shell(distances.gather(1, theirs)) / size).sum(1)
    return float((shared - expected).mean() / k)


def excess_gain(
    after: Sequence[Neighbors],
    before: Sequence[Neighbors],
    text: Sequence[Neighbors],
    attributes: np.ndarray,
    at: Sequence[int],
    k: int = 16,
    n: int = 40,
    seed: int = 0,
) -> Interval:
    """How many points (of percent) more ``after`` shares with ``text`` than ``before`` beyond attributes [N, A]: the
    mean over the places ``at`` in the three lists, which are subsampled together. Raises ValueError for none.
    """
    if not len(at):
        raise ValueError("A gain is a mean over layers, and none was given: name a place at least.")

    def gain(rows: np.ndarray, *parts: Neighbors) -> float:
        a, b, t = (parts[i * len(at) : (i + 1) * len(at)] for i in range(3))
        apart = attribute_distances(rows)
        each = zip(a, b, t, strict=True)
        return 100 * float(
            np.mean([excess_overlap(p, r, apart, k) - excess_overlap(q, r, apart, k) for p, q, r in each])
        )

    parts = [part[i] for part in (after, before, text) for i in at]
    return subsample_interval(gain, np.asarray(attributes), *parts, n=n, seed=seed)
