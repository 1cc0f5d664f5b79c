"""Shares of a gap along a curve, and how many pictures a narrower interval would take."""

import math
from collections.abc import Sequence

import numpy as np

from paperlib.stats.bootstrap import Interval
from paperlib.stats.effects import gap_share


def gap_shares(
    scores: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    groups: Sequence[str],
    seed: int = 0,
    rows: np.ndarray | slice = slice(None),
) -> list[Interval | None]:
    """`effects.gap_share` of each row of scores [K, n], over the examples that ``rows`` picks (all of them by default).

    low, high: scores [n] at the two ends of the gap. An entry is None where there is no gap to share.
    """
    ends, chosen = (low[rows].tolist(), high[rows].tolist()), np.asarray(groups)[rows].tolist()
    return [gap_share(score[rows].tolist(), *ends, chosen, seed=seed) for score in scores]


def groups_needed(interval: Interval, groups: int, half_width: float) -> int:
    """How many groups (pictures) would give an interval of this half-width, since widths shrink as 1 / sqrt(groups).

    interval: found with so many ``groups``. half_width: in the interval's unit. Raises ValueError unless it is above 0.
    """
    if half_width <= 0:
        raise ValueError(f"A half-width must be above 0, got {half_width}.")
    return math.ceil(groups * ((interval.high - interval.low) / (2 * half_width)) ** 2)
