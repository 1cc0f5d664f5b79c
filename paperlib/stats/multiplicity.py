"""Intervals that hold together: with 95 % probability all of them hold their true value, not each of them alone.

The method is the bootstrap of the largest deviation (max-T; Romano & Wolf 2005, Exact and approximate stepdown methods
for multiple hypothesis testing, JASA 100). Means are drawn as in `bootstrap.py`, their deviations are divided by their
standard errors, and the largest one of all means is noted in each draw. Its quantile is what every interval is wide, in
standard errors. Where means move together it is smaller than Bonferroni's, and where they do not it is about as large.
With few groups the quantile is that of a t distribution at the same tail, as in `bootstrap.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, t

from paperlib.stats.bootstrap import SAME, effective_groups, group_intervals, group_weights
from paperlib.stats.interval import Interval
from paperlib.study.checks import finite, share, whole


class Family(NamedTuple):
    """Values [K, n] of the same n examples, the group of each, and the run of each where several were asked.

    limits: the smallest and the largest possible value, where they are known; no interval reaches beyond.
    """

    values: ArrayLike
    groups: Sequence[str]
    runs: Sequence[str] | None = None
    limits: tuple[float, float] | None = None


def simultaneous_intervals(
    families: Sequence[Family], level: float = 0.95, n_boot: int = 4000, seed: int = 0
) -> list[list[Interval]]:
    """The mean of every row of every family, with intervals that hold together.

    Rows of one family are drawn together. Families are drawn apart, as those of other examples are.

    Args:
        families: each of the values of its own examples.
        level: with which all intervals hold their true value.
        n_boot: draws.
        seed: of the draws; family number f takes seed + f.

    A row whose groups all agree has no standard error; its interval is `bootstrap.group_intervals`' at Bonferroni's
    level. Two groups have no spread to speak of: the interval reaches to the limits, or as far as the largest value.
    Raises ValueError for no rows, and as `bootstrap.group_intervals`.
    """
    level, n_boot, seed = share(level, "level"), whole(n_boot, "n_boot"), whole(seed, "seed", 0)
    rows = [finite(family.values, "Values", 2) for family in families]
    total = sum(len(values) for values in rows)
    if not total:
        raise ValueError("There is no mean to give an interval: give at least one row of values.")
    careful = 1 - (1 - level) / total
    largest, errors, alone = np.zeros(n_boot), [], []
    for number, (values, (_, groups, runs, limits)) in enumerate(zip(rows, families, strict=True)):
        # Also checks shapes and groups. These limits serve where all groups agree.
        alone.append(group_intervals(values, groups, limits, careful, seed=seed + number, runs=runs))
        weights = group_weights(groups, n_boot, seed + number, runs)
        drawn = weights @ values.T / weights.sum(axis=1, keepdims=True)
        error = drawn.std(axis=0)
        error[error <= SAME * np.abs(values).max(axis=1)] = 0
        errors.append(error)
        moved = np.abs(drawn - values.mean(axis=1))[:, error > 0] / error[error > 0]
        largest = np.maximum(largest, moved.max(axis=1, initial=0))
    width, found = float(np.quantile(largest, level)), []
    for values, (_, groups, runs, limits), own, error in zip(rows, families, alone, errors, strict=True):
        worth = [_expanded(width, groups_worth) for groups_worth in effective_groups(values, groups, runs)]
        halves = [None if w is None else w * e for w, e in zip(worth, error, strict=True)]
        found.append([_wide(*each, limits) for each in zip(own, values, halves, strict=True)])
    return found


def _wide(alone: Interval, values: np.ndarray, half: float | None, limits: tuple[float, float] | None) -> Interval:
    """The interval of a row of values [n]. half: its half-width, 0 where all groups agree, None where it is unknown."""
    most = float(np.abs(values).max())
    if half is None:
        return Interval(alone.value, *(limits or (-most, most)), alone.n)
    if not half:
        return alone
    low, high = alone.value - float(half), alone.value + float(half)
    return Interval(alone.value, *((max(low, limits[0]), min(high, limits[1])) if limits else (low, high)), alone.n)


def _expanded(width: float, groups: float) -> float | None:
    """The width for few groups: a t quantile at the same tail, and the spread that few draws lack. None for so few that
    they have no spread to speak of.
    """
    if groups <= 2:
        return None
    return float(t.isf(norm.sf(width), groups - 1) * np.sqrt(groups / (groups - 1)))
