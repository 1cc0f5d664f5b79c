"""What an intervention did: paired differences, shares of a gap, and whether methods agree on which layers matter.

Scores are paired by example and resampled by picture, as in `paperlib.intervals`: the same questions were asked before
and after, so what the questions differ in cancels. Where several training runs were asked, each about pictures of its
own, ``runs`` names the run of each example: runs are then drawn with replacement first, and pictures within each run
(a two-stage bootstrap; Davison & Hinkley 1997, section 3.8), so that the interval holds what another training seed would
change. Few runs say little of that. From three, the interval is up to 29 % too wide where runs differ by no more than
their questions make them, and a fifth too narrow where little else than the run matters.
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr

from .checks import finite, share, whole
from .intervals import MOST_DRAWS, Interval


def change(after: Sequence[float], before: Sequence[float], groups: Sequence[str], level: float = 0.95,
           n_boot: int = 2000, seed: int = 0, runs: Sequence[str] | None = None) -> Interval:
    """Mean of after - before over the same N examples, with the percentile interval of a bootstrap over groups.

    Raises ValueError for lengths that differ, no examples, scores that are not finite, or a group in two runs.
    """
    after, before = _paired(groups, after, before)
    drawn = _drawn(groups, n_boot, seed, runs)
    totals = drawn @ (after - before)
    return _interval(float((after - before).mean()), totals / drawn.sum(1), level, len(after))


def gap_share(edited: Sequence[float], low: Sequence[float], high: Sequence[float], groups: Sequence[str],
              level: float = 0.95, n_boot: int = 2000, seed: int = 0,
              runs: Sequence[str] | None = None) -> Interval | None:
    """(s_edited - s_low) / (s_high - s_low) of mean scores: 0 if the edit leaves it at the low end, 1 at the high end.

    All three are scores of the same N examples, resampled together. None if the gap's own interval reaches down to 0, for
    then there is no gap to share. Raises ValueError as `change` does.
    """
    edited, low, high = _paired(groups, edited, low, high)
    drawn = _drawn(groups, n_boot, seed, runs)
    gap, level = drawn @ (high - low), share(level, "level")
    if np.quantile(gap, (1 - level) / 2) <= 0:
        return None
    value = float((edited - low).sum() / (high - low).sum())
    some = gap > 0  # in the fewer than 2.5 % of draws without a gap there is nothing to share
    return _interval(value, (drawn @ (edited - low))[some] / gap[some], level, len(edited))


def line(label: str, depth: Sequence[float], estimates: Sequence[Interval | None], scale: float = 100.0,
         **look) -> dict:
    """Estimates by depth as a curve of `paperlib.curves.layer_curves`; where there is none the curve has a gap."""
    parts = {key: [None if e is None else scale * getattr(e, name) for e in estimates]
             for key, name in (("y", "value"), ("low", "low"), ("high", "high"))}
    return {"label": label, "x": list(depth), **parts, **look}


def rank_agreement(profiles: dict[str, Sequence[float]]) -> dict[str, dict[str, float | None]]:
    """Spearman's rank correlation of every two methods' importance by layer: {method: {method: rho}}.

    profiles: importance at the same depths for every method. None for a method that finds all depths alike, whose ranks
    say nothing. Raises ValueError for lengths that differ or importance that is not finite.
    """
    profiles = {name: finite(values, f"Importance by {name}", 1) for name, values in profiles.items()}
    lengths = {len(values) for values in profiles.values()}
    if len(lengths) != 1 or min(lengths) < 3:
        raise ValueError("Rank agreement needs importance at the same three depths or more for every method.")
    flat = {name for name, values in profiles.items() if (values == values[0]).all()}
    return {a: {b: None if {a, b} & flat else float(spearmanr(x, y).statistic) for b, y in profiles.items()}
            for a, x in profiles.items()}


def centre_of_mass(depth: Sequence[float], importance: Sequence[float]) -> float | None:
    """The mean depth, weighted by importance; what is below 0 counts as 0. None if nothing is above 0.

    Raises ValueError for values that are not finite, or lengths that differ.
    """
    depth, weight = finite(depth, "Depths", 1), finite(importance, "Importance", 1).clip(min=0)
    if len(depth) != len(weight):
        raise ValueError(f"Each depth needs its importance, got {len(depth)} and {len(weight)}.")
    if not weight.any():
        return None
    return float(np.average(depth, weights=weight / weight.max()))


def _paired(groups: Sequence[str], *scores: Sequence[float]) -> list[np.ndarray]:
    if not len(groups) or any(len(s) != len(groups) for s in scores):
        raise ValueError("Paired scores need a value for the same examples on each side, and at least one example.")
    return [finite(s, "Scores", 1) for s in scores]


def _drawn(groups: Sequence[str], n_boot: int, seed: int, runs: Sequence[str] | None = None) -> np.ndarray:
    """How often each example counts in each resampling of the groups, within resampled runs if there are any,
    [n_boot, N]."""
    names, member = np.unique(np.asarray(groups, str), return_inverse=True)
    n_boot = whole(n_boot, "n_boot", most=MOST_DRAWS)
    rng = np.random.default_rng(seed)
    if runs is None:
        return rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=n_boot)[:, member].astype(float)
    pairs = set(zip(member.tolist(), runs, strict=True))
    if len(pairs) != len(names):
        raise ValueError("Each group must belong to one run: begin its name with the run's.")
    run_of = np.array([str(run) for _, run in sorted(pairs)])  # of each group
    labels = np.unique(run_of)
    often = rng.multinomial(len(labels), np.full(len(labels), 1 / len(labels)), size=n_boot)  # [n_boot, runs]
    counts = np.zeros((n_boot, len(names)))
    for times, label in zip(often.T, labels):
        inside = np.flatnonzero(run_of == label)
        counts[:, inside] = rng.multinomial(times * len(inside), np.full(len(inside), 1 / len(inside)))
    return counts[:, member]


def _interval(value: float, resampled: np.ndarray, level: float, n: int) -> Interval:
    level = share(level, "level")
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), n)
