"""Where along the depth a quantity sets in."""

from collections.abc import Sequence

import numpy as np

from paperlib.stats.bootstrap import Interval, statistic_interval
from paperlib.stats.effects import paired_difference
from paperlib.stats.votes import regions


def onset(
    values: np.ndarray,
    depth: Sequence[float],
    groups: Sequence[str],
    seed: int = 0,
    level: float = 0.95,
    base: float | None = None,
) -> Interval | None:
    """The relative depth from which a profile stays above half-way between its base and the third where it is highest,
    up to its best layer there. So a single layer that is high by chance sets nothing in.

    The base is the first layer, or a number: then a profile whose first layer lies above half-way sets in at the first
    layer. The top is the mean over a third and not the best single layer, because the best of many is high by chance.
    Between two layers the crossing is interpolated. None if that third is not clearly above the base (paired, at the
    level for the highest of three), or if too many resamples of the groups have no crossing.

    values: [layers, N], of each example, such as 1 for right and 0 for wrong. depth: [layers], relative, rising from
    the layer that the rise is counted from. groups: [N], resampled as wholes. level: of the interval; of m onsets that
    are to hold together it is 1 - 0.05 / m.
    Raises ValueError for shapes that differ or a third without a layer.
    """
    values, at = np.asarray(values, float), np.asarray(depth, float)
    third = np.r_[-1, regions(depth[1:])]
    if values.ndim != 2 or len(values) != len(at) or not {0, 1, 2} <= set(third.tolist()):
        raise ValueError("An onset needs a row of values for each depth, and depths in every third.")
    top = int(np.argmax([values[third == i].mean() for i in range(3)]))
    # The highest of three is compared, so each comparison gets a third of what may err.
    floor = values[0] if base is None else np.full(values.shape[1], base)
    rise = paired_difference(values[third == top].mean(0), floor, groups, level=1 - (1 - level) / 3, seed=seed)
    if rise.low <= 0:
        return None
    return statistic_interval(lambda means: _half_way(means, at, third, base), values, groups, (0, 1), level, seed=seed)


def _half_way(means: np.ndarray, depth: np.ndarray, third: np.ndarray, base: float | None) -> float | None:
    top = int(np.argmax([means[third == i].mean() for i in range(3)]))
    least = means[0] if base is None else base
    half = (least + means[third == top].mean()) / 2
    if half <= least:
        return None
    best = int(np.argmax(np.where(third == top, means, -np.inf)))
    under = np.flatnonzero(means[:best] < half)
    if not len(under):
        return float(depth[0])
    before = int(under[-1])
    share = (half - means[before]) / (means[before + 1] - means[before])
    return float(depth[before] + share * (depth[before + 1] - depth[before]))
