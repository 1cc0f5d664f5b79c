"""The bootstrap over groups, one for every interval, and shuffled labels with their p-values.

Examples of one group (questions about one picture) are not independent, so whole groups are drawn with replacement, and the
statistic is taken of what was drawn: a ratio of sums, of which a mean is one (a cluster bootstrap; Davison & Hinkley,
Bootstrap Methods and their Application, 1997, section 3.8), a median, or another. Where several training runs were asked,
each about groups of its own, ``runs`` names the run of each example: runs are drawn first, then groups within each, so that
the interval holds what another training seed would change.

**The limits** are percentiles. Draws from few groups G spread by sqrt((G - 1) / G) too little, and have a normal's tails
where a t distribution's are due. So the level is expanded (Hesterberg 2015, What Teachers Should Know About the Bootstrap,
American Statistician 69): beyond each limit lie Phi(-sqrt(G / (G - 1)) t) of the draws, where t leaves (1 - level) / 2
above it with G - 1 degrees of freedom. No draw lies outside the groups, so below six groups a mean's interval must come
short of 95 %: it holds the truth at most 94 % of the time with five groups, 88 % with four, 75 % with three.
**With runs** G is 1 + the degrees of freedom of Satterthwaite (1946) for the spread between R runs (R - 1) and within them
(groups less R): near the number of groups where runs hardly differ, near that of runs where little else matters. In trials
with three runs of 50 groups the interval held the truth 98 % of the time where runs did not differ, 88 % where they differed
by twice what their groups make them, and 82 % where little else mattered.

**Where groups do not differ** all draws are the same, and zero width would be an accident. Were a share q of all groups
different, none of G would show it with probability (1 - q)^G. So the limits lie q = 1 - tail^(1/G) of the way from the value
to those that a value can have; for shares these are the limits of Clopper & Pearson (1934). G counts groups, with runs as
well. **One group** says nothing about others: the interval is all that a value can be.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from numbers import Real
from typing import NamedTuple

import numpy as np
from scipy.stats import norm, t

from paperlib.study.checks import finite, share, shown, whole

MOST_DRAWS = 10**6
SAME = 1e-9  # what differs by less than that share of the largest value differs by rounding


class _Estimate(NamedTuple):
    value: float
    low: float
    high: float
    n: int


class Interval(_Estimate):
    """An estimate with its confidence limits, over `n` records. In JSON: a list of four numbers.

    In a text, f"{i:.1f}" is "2.9 [2.0, 3.8]", f"{i:+.1f}" is "+2.9 [+2.0, +3.8]" and f"{i:.0%}" is "93 % [75, 117]";
    without a format, three digits that count.
    Raises ValueError for numbers that are NaN or infinite, low above high, or n below 1: there is no such interval.
    """

    __slots__ = ()

    def __new__(cls, value: float, low: float, high: float, n: int):
        whole(n, "n of an interval")
        if not all(isinstance(x, Real) and math.isfinite(x) for x in (value, low, high)) or low > high:
            raise ValueError(
                f"An interval needs a finite value and finite limits in order, got {shown(value)} and "
                f"{shown(low)} to {shown(high)}: look for NaN or empty groups in what it was computed from."
            )
        return super().__new__(cls, value, low, high, n)

    @classmethod
    def _make(cls, values):  # what a named tuple's _replace calls, and would not check
        return cls(*values)

    def __format__(self, spec: str) -> str:
        scale, unit, spec = (100, " %", spec[:-1] + "f") if spec.endswith("%") else (1, "", spec or ".3g")
        value, low, high = (format(scale * float(number), spec) for number in self[:3])
        return f"{value}{unit} [{low}, {high}]"

    def __str__(self) -> str:
        return format(self, "")


def group_intervals(
    values,
    groups: Sequence,
    limits: tuple[float, float] | None = None,
    level: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    runs: Sequence | None = None,
) -> list[Interval]:
    """Means of K rows of values [K, n], with intervals over groups [n]; all rows see the same draws.

    ``limits`` are the least and the greatest that a value can be. Differences without any may be as large as the row's
    largest, in either direction: eight pictures that all say +1 give [0.26, 1]. A row of zeros then has an interval of
    zero width, on purpose: that nothing changed is no estimate.
    Raises ValueError for other shapes, values that are not finite, level outside (0, 1), n_boot below 1, a group in two runs.
    """
    values = _checked(values, groups)
    if limits is None:
        limits = np.abs(values).max(axis=1, keepdims=True) * [-1, 1]
    return ratio_intervals(values, np.ones_like(values[:1]), groups, limits, level, n_boot, seed, runs)


def ratio_intervals(
    parts,
    wholes,
    groups: Sequence,
    limits,
    level: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    runs: Sequence | None = None,
) -> list[Interval]:
    """sum(part) / sum(whole) of K rows of parts [K, n] and wholes [K, n] or [1, n], with intervals over groups [n].

    limits: of a ratio, two numbers or [K, 2]. Groups whose part and whole are 0 do not count. Draws whose wholes sum to 0
    or less have no ratio and are left out: make sure that those are few.
    Raises ValueError as `group_intervals`, or where all wholes sum to 0 or less.
    """
    parts, wholes = _checked(parts, groups), _checked(wholes, groups)
    member = _numbered(groups)[1]
    run_of = _run_of(member, runs)
    part, whole = (_sums(x, member) for x in (parts, np.broadcast_to(wholes, parts.shape)))  # [K, G]
    if (whole.sum(axis=1) <= 0).any():
        raise ValueError("A ratio needs wholes that sum to more than 0.")
    value = part.sum(axis=1) / whole.sum(axis=1)
    residual = part - value[:, None] * whole
    alike, telling = np.abs(residual).max(1) <= SAME * np.abs(parts).max(1), ((part != 0) | (whole != 0)).sum(1)
    draws, tail = _draws(run_of, n_boot, seed), _tail(level)
    drawn, over = draws @ part.T, draws @ whole.T  # [n_boot, K]
    found, limits = [], np.broadcast_to(np.asarray(limits, float), (len(parts), 2))
    for k, end in enumerate(limits.tolist()):
        if alike[k] or telling[k] == 1:
            ends = _unvaried(value[k], telling[k], end, tail)
        else:
            some = over[:, k] > 0
            ends = _percentiles(drawn[some, k] / over[some, k], _clusters(residual[k], telling[k], run_of), tail)
        found.append(Interval(float(value[k]), *ends, parts.shape[1]))
    return found


def median_intervals(
    values, groups: Sequence, limits: tuple[float, float], level: float = 0.95, n_boot: int = 2000, seed: int = 0
) -> list[Interval]:
    """Medians of K rows of values [K, n], with intervals over groups [n].

    Where all medians drawn are the same, the interval is a point if half of all other groups can hardly differ from
    these, 0.5^G being at most (1 - level) / 2 (from six groups on for 95 %), and else ``limits``.
    Raises ValueError as `group_intervals`.
    """
    values, tail, n_groups = _checked(values, groups), _tail(level), len(_numbered(groups)[0])
    weights, found = group_weights(groups, n_boot, seed), []
    for row in values:
        order = np.argsort(row, kind="stable")
        below = np.cumsum(weights[:, order], axis=1)  # [n_boot, n]
        lower = row[order[(below < below[:, -1:] / 2).sum(axis=1)]]
        upper = row[order[(below <= below[:, -1:] / 2).sum(axis=1)]]
        drawn = (lower + upper) / 2
        unknown = n_groups == 1 or (np.ptp(drawn) == 0 and 0.5**n_groups > tail)
        ends = map(float, limits) if unknown else _percentiles(drawn, n_groups, tail)
        found.append(Interval(float(np.median(row)), *ends, len(row)))
    return found


def statistic_interval(
    statistic: Callable[[np.ndarray], float | None],
    values,
    groups: Sequence,
    limits: tuple[float, float],
    level: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Interval | None:
    """A number within ``limits`` that ``statistic`` takes from the means [K] of rows of values [K, n], such as layers'
    means over examples; it may say None. None if it does so for all examples, or in a share (1 - level) / 2 of draws.

    Raises ValueError as `group_intervals`.
    """
    values, tail = _checked(values, groups), _tail(level)
    value, (names, member) = statistic(values.mean(axis=1)), _numbered(groups)
    draws = _draws(_run_of(member, None), n_boot, seed)
    means = (draws @ _sums(values, member).T) / (draws @ np.bincount(member))[:, None]  # [n_boot, K]
    drawn = [d for d in map(statistic, means) if d is not None]
    if value is None or n_boot - len(drawn) > tail * n_boot:
        return None
    alike = len(names) == 1 or np.ptp(drawn) <= SAME * np.abs(drawn).max()
    ends = _unvaried(value, len(names), limits, tail) if alike else _percentiles(drawn, len(names), tail)
    return Interval(float(value), *ends, values.shape[1])


def group_weights(groups: Sequence, n_boot: int = 2000, seed: int = 0, runs: Sequence | None = None) -> np.ndarray:
    """How often each example [n] is in each draw of the groups, within drawn runs if there are any, [n_boot, n]."""
    member = _numbered(groups)[1]
    return _draws(_run_of(member, runs), n_boot, seed)[:, member]


def control_labels(labels, types, rng: np.random.Generator) -> np.ndarray:
    """Labels [N] shuffled between types [N].

    Where every type has one label (concepts and their category), types exchange labels, and all examples of a type get
    the same one. Where labels vary within a type (questions about one scene), types in a new order lay down their
    labels one after the other, so that labels of one type stay together.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or len(labels) != len(types):
        raise ValueError(f"Each label needs its type, got labels {list(labels.shape)} and {len(types)} types.")
    _, first, member = np.unique(types, return_index=True, return_inverse=True)
    if (labels == labels[first][member]).all():
        return rng.permutation(labels[first])[member]
    place = rng.permutation(len(first))
    shuffled = np.empty_like(labels)
    shuffled[np.argsort(member, kind="stable")] = labels[np.argsort(place[member], kind="stable")]
    return shuffled


def permutation_p(observed, null, correction: str | None = "max") -> np.ndarray:
    """p-values [K] of observed values [K] (larger is more), from permutations [R, K] that did the same to all K layers.

    (1 + permutations at least as large) / (1 + R). correction over layers: "max" compares with each permutation's
    largest layer (Westfall & Young 1993), "holm" is Holm's step-down (1979), None corrects nothing.
    Raises ValueError for shapes that differ, values that are not finite, or an unknown correction.
    """
    observed, null = finite(observed, "Observed values", 1), finite(null, "Values of the null")
    if null.ndim != 2 or null.shape[1:] != observed.shape or not null.size:
        raise ValueError(f"The null must be permutations x {observed.size} values, got shape {null.shape}.")
    if correction not in ("max", "holm", None):
        raise ValueError(f"The correction must be 'max', 'holm' or None, got {correction!r}.")
    reference = null.max(axis=1, keepdims=True) if correction == "max" else null
    p = (1 + (reference >= observed).sum(axis=0)) / (1 + len(null))
    if correction == "holm":
        order = np.argsort(p, kind="stable")
        p[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return p


def _numbered(groups: Sequence) -> tuple[np.ndarray, np.ndarray]:
    """Names [G], ascending, and the number of each example's group [n]."""
    return np.unique(np.asarray(groups, dtype=str), return_inverse=True)


def _run_of(member: np.ndarray, runs: Sequence | None) -> tuple[int, ...]:
    """The number of each group's run [G]."""
    if runs is None:
        return (0,) * (int(member.max()) + 1)
    pairs = set(zip(member.tolist(), _numbered(runs)[1].tolist()))
    if len(runs) != len(member) or len(pairs) > member.max() + 1:
        raise ValueError(
            "Each example needs a run, and each group must belong to one run: begin its name with the run's."
        )
    return tuple(run for _, run in sorted(pairs))


@lru_cache(maxsize=4)
def _draws(run_of: tuple[int, ...], n_boot: int, seed: int) -> np.ndarray:
    """How often each group is drawn, [n_boot, G]; kept because every layer, property and model asks for the same."""
    whole(n_boot, "n_boot", most=MOST_DRAWS)
    rng, run_of = np.random.default_rng(seed), np.array(run_of)
    n_runs = run_of.max() + 1
    often = rng.multinomial(n_runs, np.full(n_runs, 1 / n_runs), size=n_boot)  # [n_boot, runs]
    counts = np.zeros((n_boot, len(run_of)))
    for run, times in enumerate(often.T):
        inside = np.flatnonzero(run_of == run)
        counts[:, inside] = rng.multinomial(times * len(inside), np.full(len(inside), 1 / len(inside)))
    return counts


def _sums(values: np.ndarray, member: np.ndarray) -> np.ndarray:
    """Rows of values [K, n] summed over each group, [K, G]."""
    order = np.argsort(member, kind="stable")
    return np.add.reduceat(values[:, order], np.searchsorted(member[order], np.arange(member.max() + 1)), axis=1)


def _unvaried(value: float, groups: int, limits: Sequence[float], tail: float) -> tuple[float, float]:
    """Limits where groups do not differ, see above."""
    q = 1 if groups == 1 else 1 - tail ** (1 / groups)
    return float(value - q * (value - limits[0])), float(value + q * (limits[1] - value))


def _clusters(residual: np.ndarray, telling: int, run_of: tuple[int, ...]) -> float:
    """The effective number of groups, from what each adds to the ratio's error [G]; all of them where there is one run."""
    run_of = np.array(run_of)
    sums = np.bincount(run_of, residual)
    between, within = (sums**2).sum(), ((residual - (sums / np.bincount(run_of))[run_of]) ** 2).sum()
    freedom = between**2 / max(len(sums) - 1, 1) + within**2 / max(telling - len(sums), 1)
    return 1 + (between + within) ** 2 / freedom


def _percentiles(drawn: np.ndarray, clusters: float, tail: float) -> tuple[float, float]:
    """Limits at the expanded level, see above."""
    side = norm.cdf(-np.sqrt(clusters / (clusters - 1)) * t.isf(tail, clusters - 1))
    low, high = np.quantile(drawn, [side, 1 - side])
    return float(low), float(high)


def _tail(level: float) -> float:
    return (1 - share(level, "level")) / 2


def _checked(values, groups: Sequence) -> np.ndarray:
    values = finite(values, "Values", 2)
    if not values.size or values.shape[1] != len(groups):
        raise ValueError(
            f"Values must be rows with one for each of {len(groups)} examples, at least one, got shape {values.shape}."
        )
    return values
