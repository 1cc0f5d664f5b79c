"""What is left of an overlap of neighbourhoods when the true attributes of the examples are given.

Two representations of the same scenes share neighbours already if both group scenes by what is in them, as counting
words would. So neighbours are compared within *shells*. A shell of a point holds all examples that differ from it by
the same number of attributes of every kind: as many concepts, as many colours, as many places, and so on. So it does
not matter how much either representation makes of a kind. If a point has a neighbours in a shell of s examples in one
cloud and b in the other, and the two choices know nothing of each other but the shell, they share a x b / s of them on
average. The *excess* is what they share beyond the sum of that over shells. It is exact for pairs that are permuted
within shells, and with one shell it is the overlap less chance. Small shells make it err to the low side.

What it does not take out: if both representations weigh the attributes of one kind unequally in the same way (two
concepts are alike, or two colours), that is counted as excess.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from paperlib.geometry.distances import GeometryError
from paperlib.geometry.neighbors import Neighbors
from paperlib.geometry.subsampling import subsample_interval
from paperlib.stats.interval import Interval


def attribute_shells(attributes: Mapping[Any, np.ndarray]) -> torch.Tensor:
    """[N, N] the number of the shell in which each example lies for each other; the diagonal is -1.

    attributes: {kind: counts [N, A]}. Raises GeometryError for counts that are no whole numbers, or no kinds.
    """
    shells: torch.Tensor | None = None
    for counts in attributes.values():
        of = torch.as_tensor(np.asarray(counts), dtype=torch.float32)
        if of.ndim != 2 or (of != of.round()).any():
            raise GeometryError("Attributes must be whole numbers [N, A] for each kind, a row for each example.")
        apart = torch.cdist(of, of, p=1).round().long()
        # Two numbers become one: all pairs of them stay apart.
        joined = apart if shells is None else shells * (int(apart.max()) + 1) + apart
        shells = torch.unique(joined, return_inverse=True)[1]
    if shells is None:
        raise GeometryError("Attributes must hold one kind at least.")
    return shells.fill_diagonal_(-1)


def excess_overlap(x: Neighbors, y: Neighbors, shells: torch.Tensor, k: int = 16) -> float:
    """The share of k neighbours that x and y have in common beyond what `attribute_shells` explain.

    Raises GeometryError if x, y and shells differ in N, or for neighbours that were not searched as deep as k.
    """
    if not len(x) == len(y) == len(shells):
        raise GeometryError(f"Clouds and attributes must have the same rows, got {len(x)}, {len(y)}, {len(shells)}.")
    mine, theirs, most = x.nearest(k), y.nearest(k), int(shells.max()) + 1
    shared = (mine[:, :, None] == theirs[:, None, :]).sum(dim=(1, 2))

    def by_shell(chosen: torch.Tensor) -> torch.Tensor:
        ones = torch.ones(chosen.shape, dtype=torch.float64)
        return torch.zeros(len(chosen), most, dtype=torch.float64).scatter_add_(1, chosen, ones)

    others = shells[~torch.eye(len(shells), dtype=torch.bool)].view(len(shells), -1)
    size = by_shell(others).clamp(min=1)
    expected = (by_shell(shells.gather(1, mine)) * by_shell(shells.gather(1, theirs)) / size).sum(1)
    return float((shared - expected).mean() / k)


def excess_gain(
    after: Sequence[Neighbors],
    before: Sequence[Neighbors],
    text: Sequence[Neighbors],
    attributes: Mapping[str, np.ndarray],
    at: Sequence[int],
    k: int = 16,
    n: int = 40,
    seed: int = 0,
) -> Interval:
    """How many points (of percent) more ``after`` shares with ``text`` than ``before`` beyond attributes: the mean over
    the places ``at`` in the three lists, which are subsampled together.

    attributes: {kind: counts [N, A]}. Raises ValueError for no places.
    """
    if not len(at):
        raise ValueError("A gain is a mean over layers, and none was given: name a place at least.")

    def gain(*parts: Any) -> float:
        a, b, t = (parts[i * len(at) : (i + 1) * len(at)] for i in range(3))
        apart = attribute_shells(dict(enumerate(parts[3 * len(at) :])))
        each = zip(a, b, t, strict=True)
        return 100 * float(
            np.mean([excess_overlap(p, r, apart, k) - excess_overlap(q, r, apart, k) for p, q, r in each])
        )

    parts = [part[i] for part in (after, before, text) for i in at]
    return subsample_interval(gain, *parts, *attributes.values(), n=n, seed=seed)
