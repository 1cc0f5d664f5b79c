"""The bootstrap over groups: the source of every interval of the study, except those of estimates from neighbours.

Examples of one group (questions about one picture) are not independent. So whole groups are drawn with replacement, and
the statistic is computed from each draw: a ratio of sums (a mean is one), a median, or another. This is the cluster
bootstrap (Davison & Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). If several training runs were
asked, each about its own groups, ``runs`` names the run of each example. Runs are then drawn first, and groups within
each run, so that the interval includes what another training seed would change (the two-stage bootstrap).

**Limits** are percentiles of the draws. With few groups G, draws spread too little, by sqrt((G - 1) / G), and their
tails are those of a normal distribution instead of a t distribution. So the level is expanded (Hesterberg 2015, What
Teachers Should Know About the Bootstrap, American Statistician 69): Phi(-sqrt(G / (G - 1)) t) of the draws lie beyond
each limit, where t is the (1 + level) / 2 quantile with G - 1 degrees of freedom. No draw can lie outside the groups. A
mean's 95 % interval therefore holds the truth at most 94 % of the time with five groups, 88 % with four and 75 % with
three.

**With runs**, G is 1 + Satterthwaite's (1946) degrees of freedom, from the spread between R runs (R - 1) and within
them (groups - R). It is near the number of groups if runs hardly differ, and near the number of runs if they differ
much. In simulations with three runs of 50 groups, 95 % intervals held the truth 98 % of the time if runs did not
differ, 88 % if runs spread twice as far as their groups explain, and 82 % if the spread between runs dominated.

**If all groups agree**, all draws are equal, but an interval of zero width would be wrong. If a share q of all groups
were different, none of G would show it with probability (1 - q)^G. So the limits lie q = 1 - tail^(1/G) of the way from
the value to the smallest and to the largest possible value. For shares these are the limits of Clopper & Pearson
(1934). G counts groups, also with runs. **One group** says nothing about others: the interval spans all possible
values.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, t

from paperlib.stats.interval import Interval
from paperlib.study.checks import finite, seeded, share, shown, whole

__all__ = [
    "Interval",
    "effective_groups",
    "group_intervals",
    "group_weights",
    "median_intervals",
    "ratio_intervals",
    "statistic_interval",
]
MOST_DRAWS = 10**6
SAME = 1e-9  # values that differ by less than this share of the largest one differ by rounding alone


def group_intervals(
    values: ArrayLike,
    groups: Sequence | np.ndarray,
    limits: ArrayLike | None = None,
    level: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    runs: Sequence | np.ndarray | None = None,
) -> list[Interval]:
    """Means of K rows of values [K, n], with intervals over groups [n]. All rows use the same draws.

    ``limits`` are the smallest and the largest possible value, two numbers or [K, 2]. Without them, values are taken as
    differences that can be as large as the row's largest one, in either direction: eight pictures with +1 each give
    [0.26, 1]. A row of zeros then has an interval of zero width, on purpose: nothing was changed.
    Raises ValueError for other shapes, values that are not finite or beyond the limits, a level outside (0, 1), n_boot
    below 1, or a group that is None or belongs to two runs.
    """
    rows = _checked(values, groups)
    if limits is not None and rows.size:
        low, high = np.broadcast_to(np.asarray(limits, float), (len(rows), 2)).T
        slack = SAME * np.abs(rows).max(1)
        if not (np.isfinite(low + high) & (low <= rows.min(1) + slack) & (rows.max(1) - slack <= high)).all():
            raise ValueError(
                f"Limits must be the smallest and the largest possible value, but values go from {rows.min():g} to "
                f"{rows.max():g} and limits are {shown(limits)}."
            )
    if limits is None:
        limits = np.abs(rows).max(axis=1, keepdims=True) * [-1, 1]
    return ratio_intervals(rows, np.ones_like(rows[:1]), groups, limits, level, n_boot, seed, runs)


def ratio_intervals(
    parts: ArrayLike,
    wholes: ArrayLike,
    groups: Sequence | np.ndarray,
    limits: ArrayLike,
    level: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    runs: Sequence | np.ndarray | None = None,
) -> list[Interval]:
    """sum(part) / sum(whole) of K rows of parts [K, n] and wholes [K, n] or [1, n], with intervals over groups [n].

    limits: the smallest and the largest possible ratio, two numbers or [K, 2]. Groups whose part and whole are both 0
    do not count. Draws whose wholes sum to 0 or less have no ratio and are left out: make sure that they are few.
    Raises ValueError as `group_intervals`, or if the wholes of a row sum to 0 or less.
    """
    rows, over = _checked(parts, groups), _checked(wholes, groups)
    member = _numbered(groups)[1]
    run_of = _run_of(member, runs)
    part, total = (_sums(x, member) for x in (rows, np.broadcast_to(over, rows.shape)))  # [K, G]
    if (total.sum(axis=1) <= 0).any():
        raise ValueError("A ratio needs wholes that sum to more than 0.")
    value = part.sum(axis=1) / total.sum(axis=1)
    residual = part - value[:, None] * total
    alike, counted = np.abs(residual).max(1) <= SAME * np.abs(rows).max(1), ((part != 0) | (total != 0)).sum(1)
    draws, tail = _draws(run_of, n_boot, seed), _tail(level)
    drawn_part, drawn_total = draws @ part.T, draws @ total.T  # [n_boot, K]
    found = []
    for k, bounds in enumerate(np.broadcast_to(np.asarray(limits, float), (len(rows), 2)).tolist()):
        if alike[k] or counted[k] == 1:
            ends = _agreed(value[k], counted[k], bounds, tail)
        else:
            some = drawn_total[:, k] > 0
            drawn = drawn_part[some, k] / drawn_total[some, k]
            ends = _percentiles(drawn, _effective_groups(residual[k], counted[k], run_of), tail)
        found.append(Interval(float(value[k]), *ends, rows.shape[1]))
    return found


def median_intervals(
    values: ArrayLike,
    groups: Sequence | np.ndarray,
    limits: tuple[float, float],
    level: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> list[Interval]:
    """Medians of K rows of values [K, n], with intervals over groups [n].

    If all draws have the same median, the interval is that point, provided that G groups would hardly agree if half of
    all groups differed: 0.5^G is at most (1 - level) / 2, which for 95 % takes six groups. Otherwise it is ``limits``.
    Raises ValueError as `group_intervals`.
    """
    rows, tail, n_groups = _checked(values, groups), _tail(level), len(_numbered(groups)[0])
    weights, found = group_weights(groups, n_boot, seed), []
    for row in rows:
        order = np.argsort(row, kind="stable")
        below = np.cumsum(weights[:, order], axis=1)  # [n_boot, n]
        lower = row[order[(below < below[:, -1:] / 2).sum(axis=1)]]
        upper = row[order[(below <= below[:, -1:] / 2).sum(axis=1)]]
        drawn = (lower + upper) / 2
        unknown = n_groups == 1 or (np.ptp(drawn) == 0 and 0.5**n_groups > tail)
        low, high = limits if unknown else _percentiles(drawn, n_groups, tail)
        found.append(Interval(float(np.median(row)), float(low), float(high), len(row)))
    return found


def statistic_interval(
    statistic: Callable[[np.ndarray], float | None],
    values: ArrayLike,
    groups: Sequence | np.ndarray,
    limits: tuple[float, float],
    level: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Interval | None:
    """A statistic of the means [K] of rows of values [K, n], such as the mean of each layer over examples.

    ``limits`` are its smallest and its largest possible value. The statistic may return None. The result is None if it
    does so for all examples together, or in more than a share (1 - level) / 2 of the draws.
    Raises ValueError as `group_intervals`.
    """
    rows, tail = _checked(values, groups), _tail(level)
    value, (names, member) = statistic(rows.mean(axis=1)), _numbered(groups)
    draws = _draws(_run_of(member, None), n_boot, seed)
    means = (draws @ _sums(rows, member).T) / (draws @ np.bincount(member))[:, None]  # [n_boot, K]
    drawn = np.array([d for d in map(statistic, means) if d is not None])
    if value is None or n_boot - len(drawn) > tail * n_boot:
        return None
    alike = len(names) == 1 or np.ptp(drawn) <= SAME * np.abs(drawn).max()
    ends = _agreed(value, len(names), limits, tail) if alike else _percentiles(drawn, len(names), tail)
    return Interval(float(value), *ends, rows.shape[1])


def group_weights(
    groups: Sequence | np.ndarray, n_boot: int = 2000, seed: int = 0, runs: Sequence | np.ndarray | None = None
) -> np.ndarray:
    """How often each example [n] is in each draw of the groups, within drawn runs if there are any, [n_boot, n]."""
    member = _numbered(groups)[1]
    return _draws(_run_of(member, runs), n_boot, seed)[:, member]


def effective_groups(
    values: ArrayLike, groups: Sequence | np.ndarray, runs: Sequence | np.ndarray | None = None
) -> list[float]:
    """How many groups each row of values [K, n] is worth: their number, or less where runs differ; see above."""
    rows, member = _checked(values, groups), _numbered(groups)[1]
    run_of, sizes = _run_of(member, runs), np.bincount(member)
    residual = _sums(rows, member) - rows.mean(axis=1, keepdims=True) * sizes
    return [float(_effective_groups(of, len(sizes), run_of)) if of.any() else float(len(sizes)) for of in residual]


def _numbered(groups: Sequence | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Names [G], ascending, and the number of each example's group [n]."""
    if isinstance(groups, str) or any(group is None or group != group for group in list(groups)):
        raise ValueError("Groups must be one name for each example, and none None or NaN: leave out what has no group.")
    return np.unique(np.asarray(groups, dtype=str), return_inverse=True)


def _run_of(member: np.ndarray, runs: Sequence | np.ndarray | None) -> tuple[int, ...]:
    """The number of each group's run [G]."""
    if runs is None:
        return (0,) * (int(member.max()) + 1)
    pairs = set(zip(member.tolist(), _numbered(runs)[1].tolist(), strict=False))
    if len(runs) != len(member) or len(pairs) > member.max() + 1:
        raise ValueError(
            "Each example needs a run, and each group must belong to one run: begin its name with the run's."
        )
    return tuple(run for _, run in sorted(pairs))


@lru_cache(maxsize=4, typed=True)
def _draws(run_of: tuple[int, ...], n_boot: int, seed: int) -> np.ndarray:
    """How often each group is drawn, [n_boot, G]; kept because every layer, property and model asks for the same."""
    whole(n_boot, "n_boot", most=MOST_DRAWS)
    rng, n_runs = seeded(seed), max(run_of) + 1
    often = rng.multinomial(n_runs, np.full(n_runs, 1 / n_runs), size=n_boot)  # [n_boot, runs]
    counts = np.zeros((n_boot, len(run_of)))
    for run, times in enumerate(often.T):
        inside = np.flatnonzero(np.array(run_of) == run)
        counts[:, inside] = rng.multinomial(times * len(inside), np.full(len(inside), 1 / len(inside)))
    return counts


def _sums(values: np.ndarray, member: np.ndarray) -> np.ndarray:
    """Rows of values [K, n] summed over each group, [K, G]."""
    order = np.argsort(member, kind="stable")
    return np.add.reduceat(values[:, order], np.searchsorted(member[order], np.arange(member.max() + 1)), axis=1)


def _agreed(value: float, groups: int, limits: Sequence[float], tail: float) -> tuple[float, float]:
    """Limits if all groups agree, see above."""
    q = 1 if groups == 1 else 1 - tail ** (1 / groups)
    return float(value - q * (value - limits[0])), float(value + q * (limits[1] - value))


def _effective_groups(residual: np.ndarray, counted: int, run_of: tuple[int, ...]) -> float:
    """The effective number of groups, from each group's part in the ratio's error [G]; with one run, all that count."""
    run = np.array(run_of)
    sums = np.bincount(run, residual)
    between, within = (sums**2).sum(), ((residual - (sums / np.bincount(run))[run]) ** 2).sum()
    freedom = between**2 / max(len(sums) - 1, 1) + within**2 / max(counted - len(sums), 1)
    return 1 + (between + within) ** 2 / freedom


def _percentiles(drawn: np.ndarray, groups: float, tail: float) -> tuple[float, float]:
    """Limits at the expanded level, see above."""
    side = norm.cdf(-np.sqrt(groups / (groups - 1)) * t.isf(tail, groups - 1))
    low, high = np.quantile(drawn, [side, 1 - side])
    return float(low), float(high)


def _tail(level: float) -> float:
    return (1 - share(level, "level")) / 2


def _checked(values: ArrayLike, groups: Sequence | np.ndarray) -> np.ndarray:
    rows = finite(values, "Values", 2)
    if not rows.size or rows.shape[1] != len(groups):
        raise ValueError(
            f"Values must be rows with one for each of {len(groups)} examples, at least one, got shape {rows.shape}."
        )
    return rows
