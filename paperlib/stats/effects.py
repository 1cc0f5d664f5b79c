"""What an intervention did: paired differences, shares of a gap, and whether methods agree on which layers matter.

Scores are paired by example and resampled by picture, within resampled runs where several were asked, as
`paperlib.stats.bootstrap` says: the same questions were asked before and after, so what the questions differ in
cancels.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import spearmanr

from paperlib.stats.bootstrap import group_intervals, ratio_intervals, statistic_interval
from paperlib.stats.interval import Interval
from paperlib.study.checks import finite


def paired_difference(
    after: ArrayLike,
    before: ArrayLike,
    groups: Sequence | np.ndarray,
    limits: tuple[float, float] | None = None,
    level: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    runs: Sequence | np.ndarray | None = None,
) -> Interval:
    """Mean of after - before over the same N examples, with its interval over groups.

    limits: the least and the greatest that a difference can be, (-1, 1) for right and wrong answers; without them it
    may be as large as the largest seen, in either direction.
    Raises ValueError for lengths that differ, no examples, values that are not finite, or a group in two runs.

    >>> after, before, pictures = [1, 1, 1, 1, 0, 1, 1, 1], [0, 1, 0, 0, 0, 1, 0, 1], list("aabbccdd")
    >>> f"{paired_difference(after, before, pictures, limits=(-1, 1)):+.2f}"
    '+0.50 [+0.00, +1.00]'
    """
    after, before = _paired(groups, after, before)
    return group_intervals([after - before], groups, limits, level, n_boot, seed, runs)[0]


def gap_share(
    edited: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    groups: Sequence | np.ndarray,
    level: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    runs: Sequence | np.ndarray | None = None,
) -> Interval | None:
    """(s_edited - s_low) / (s_high - s_low) of mean scores: 0 if the edit leaves it at the low end, 1 at the high end.

    All three are scores of the same N examples, resampled together. None if the gap's own interval reaches down to 0,
    for then there is no gap to share. An edit that leaves every score at the same end is at that end, without an
    interval.
    Raises ValueError as `paired_difference` does.
    """
    edited, low, high = _paired(groups, edited, low, high)
    if paired_difference(high, low, groups, None, level, n_boot, seed, runs).low <= 0:
        return None
    part, whole = edited - low, high - low
    if (part == 0).all() or (edited == high).all():
        limits = [part.any()] * 2
    else:
        value = part.sum() / whole.sum()
        limits = [min(0, value), max(1, value)]
    return ratio_intervals([part], [whole], groups, limits, level, n_boot, seed, runs)[0]


def gap_share_difference(
    one: tuple[ArrayLike, ArrayLike, ArrayLike],
    other: tuple[ArrayLike, ArrayLike, ArrayLike],
    groups: Sequence | np.ndarray,
    level: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Interval | None:
    """A `gap_share` minus another of the same N examples, resampled together, so that the difference is paired.

    one, other: edited, low and high scores, as `gap_share` takes them. None if either has no gap to share.
    Raises ValueError as `paired_difference` does.
    """
    parts = []
    for edited, low, high in (one, other):
        edited, low, high = _paired(groups, edited, low, high)
        if paired_difference(high, low, groups, None, level, n_boot, seed).low <= 0:
            return None
        parts += [edited - low, high - low]

    def apart(means: np.ndarray) -> float | None:
        return None if min(means[1], means[3]) <= 0 else float(means[0] / means[1] - means[2] / means[3])

    largest = max(1.0, abs(apart(np.mean(parts, axis=1)) or 0.0))
    return statistic_interval(apart, parts, groups, (-largest, largest), level, n_boot, seed)


def rank_agreement(profiles: Mapping[str, ArrayLike]) -> dict[str, dict[str, float | None]]:
    """Spearman's rank correlation of every two methods' importance by layer: {method: {method: rho}}.

    profiles: importance at the same depths for every method. None for a method that finds all depths alike, whose ranks
    say nothing. Raises ValueError for lengths that differ or importance that is not finite.
    """
    found = {name: finite(values, f"Importance by {name}", 1) for name, values in profiles.items()}
    lengths = {len(values) for values in found.values()}
    if len(lengths) != 1 or min(lengths) < 3:
        raise ValueError("Rank agreement needs importance at the same three depths or more for every method.")
    flat = {name for name, values in found.items() if (values == values[0]).all()}
    return {
        a: {b: None if {a, b} & flat else float(spearmanr(x, y).statistic) for b, y in found.items()}
        for a, x in found.items()
    }


def _paired(groups: Sequence | np.ndarray, *scores: ArrayLike) -> list[np.ndarray]:
    arrays = [finite(s, "Scores", 1) for s in scores]
    if not len(groups) or any(len(a) != len(groups) for a in arrays):
        raise ValueError("Paired scores need a value for the same examples on each side, and at least one example.")
    return arrays
