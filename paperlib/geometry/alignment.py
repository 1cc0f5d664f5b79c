"""How alike pictures and captions are, layer by layer: overlaps in percent, their nulls, and what tuning adds to them.

Everything takes `Neighbors` by layer, searched once (`search_layers`). Intervals are those of `subsampling`.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from paperlib.geometry.neighbors import Neighbors
from paperlib.geometry.similarity import neighborhood_overlap, permutation_null
from paperlib.geometry.subsampling import jackknife, subsample_interval, subsampled
from paperlib.stats.bootstrap import Interval

Layers = Sequence[Neighbors]


def search_layers(states: torch.Tensor, layers: Sequence[int], k: int = 64) -> list[Neighbors]:
    """The k nearest neighbours at some layers of states [N, L + 1, D]; for subsamples, four times a metric's k."""
    return [Neighbors.of(states[:, layer], k) for layer in layers]


def overlap_percent(x: Neighbors, y: Neighbors, k: int = 16) -> float:
    """`similarity.neighborhood_overlap` in percent."""
    return 100 * neighborhood_overlap(x, y, k)


def by_layer(
    measure: Callable[..., float], x: Layers, y: Layers, n: int = 20, seed: int = 0, **options: int
) -> list[Interval]:
    """A measure of two point clouds at each layer, with its interval from n subsamples of half of the points."""
    return [
        subsample_interval(lambda a, b: measure(a, b, **options), *both, n=n, seed=seed)
        for both in zip(x, y, strict=True)
    ]


def overlap_map(x: Layers, y: Layers, k: int = 16) -> np.ndarray:
    """[layers of x, layers of y] overlap (%) of each layer of one with each layer of the other."""
    return np.array([[overlap_percent(a, b, k) for b in y] for a in x])


def overlap_gain(
    after: Layers, before: Layers, text: Layers, at: Sequence[int], k: int = 16, n: int = 40, seed: int = 0
) -> Interval:
    """How many points (of percent) more ``after`` overlaps with ``text`` than ``before``: the mean over the places
    ``at`` in the three lists. They are subsampled together, so the difference is paired. Raises ValueError for none.
    """
    if not len(at):
        raise ValueError("A gain is a mean over layers, and none was given: name a place at least.")

    def gain(*parts: Neighbors) -> float:
        a, b, t = (parts[i * len(at) : (i + 1) * len(at)] for i in range(3))
        each = zip(a, b, t, strict=True)
        return 100 * float(np.mean([neighborhood_overlap(p, r, k) - neighborhood_overlap(q, r, k) for p, q, r in each]))

    return subsample_interval(gain, *(part[i] for part in (after, before, text) for i in at), n=n, seed=seed)


def gains_by_region(
    after: Layers,
    before: Layers,
    text: Layers,
    regions: Sequence[Sequence[int]],
    k: int = 16,
    n: int = 40,
    seed: int = 0,
) -> tuple[Interval, list[Interval]]:
    """`overlap_gain` in the middle one of three regions, and that minus the gain in each of the other two.

    regions: places in the three lists, of the early, the middle and the late region. All are subsampled together, so
    that the differences are paired. Raises ValueError for an empty region.
    """
    if len(regions) != 3 or not all(len(at) for at in regions):
        raise ValueError("Gains are compared between three regions of the depth, each with a layer.")
    at = [i for region in regions for i in region]
    ends = np.cumsum([len(region) for region in regions])[:-1]

    def gains(*parts: Neighbors) -> list[float]:
        a, b, t = (parts[i * len(at) : (i + 1) * len(at)] for i in range(3))
        each = zip(a, b, t, strict=True)
        found = [neighborhood_overlap(p, r, k) - neighborhood_overlap(q, r, k) for p, q, r in each]
        return [100 * float(part.mean()) for part in np.split(np.array(found), ends)]

    drawn = subsampled(gains, *(part[i] for part in (after, before, text) for i in at), n=n, seed=seed)
    early, middle, late = (drawn[:, i] for i in range(3))
    total = len(text[0])
    return jackknife(middle, total), [jackknife(middle - other, total) for other in (early, late)]


def null_by_layer(
    x: Layers, y: Layers, groups: Sequence, k: int = 16, n: int = 100, seed: int = 0, quantile: float = 0.95
) -> list[float]:
    """The shuffled-pairs null at each layer: what overlap (%) pairs reach that are shuffled within their group, in all
    but a share 1 - ``quantile`` of n shuffles.
    """
    return [
        100
        * float(
            np.quantile(permutation_null(neighborhood_overlap, *both, n=n, seed=seed, groups=groups, k=k), quantile)
        )
        for both in zip(x, y, strict=True)
    ]


def above_chance(
    trained: Neighbors, untrained: Neighbors, text: Layers, k: int = 16, n: int = 40, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """What `entry_depth.entry_depth` reads: [1 + n, layers of text] overlaps of a trained and of an untrained connector
    with each caption layer, as shares, less what chance gives. All are subsampled together.
    """

    def overlaps(a: Neighbors, b: Neighbors, *texts: Neighbors) -> list[list[float]]:
        return [[neighborhood_overlap(image, t, k) - k / (len(t) - 1) for t in texts] for image in (a, b)]

    drawn = subsampled(overlaps, trained, untrained, *text, n=n, seed=seed)
    return drawn[:, 0], drawn[:, 1]
