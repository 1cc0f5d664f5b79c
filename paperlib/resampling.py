"""Resampling over groups: intervals for many rows of values at once, shuffled labels, p-values over layers."""

from functools import lru_cache

import numpy as np

from .checks import finite, share, whole
from .intervals import MOST_DRAWS, Interval, _cluster_bootstrap


def group_intervals(values, groups, limits: tuple[float, float], level: float = 0.95, n_boot: int = 2000,
                    seed: int = 0) -> list[Interval]:
    """Means of K rows of values [K, n], each with the cluster bootstrap of `intervals.accuracy` over groups [n].

    All rows see the same resamples. ``limits`` are the least and the greatest that a value can be.
    Raises ValueError for values that are not finite, groups of another number, no values, or a bad level or n_boot.
    """
    values, level = finite(values, "Values", 2), share(level, "level")
    if not values.size or values.shape[1] != len(groups):
        raise ValueError(f"Each column of values needs its group, and there must be one at least, got values "
                         f"{list(values.shape)} and {len(groups)} groups.")
    weights, alike = group_weights(groups, n_boot, seed), (values == values[:, :1]).all(axis=1)
    means = (weights @ values.T) / weights.sum(axis=1, keepdims=True)  # [n_boot, K]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    if len(np.unique(groups)) == 1:
        alike[:] = True
    # Where resampling cannot vary, the single-row bootstrap knows what to say.
    return [_cluster_bootstrap(row, groups, level, n_boot, seed, limits) if same
            else Interval(float(row.mean()), float(a), float(b), len(row))
            for row, same, a, b in zip(values, alike, low, high)]


def group_weights(groups, n_boot: int = 2000, seed: int = 0) -> np.ndarray:
    """How often each example [n] is in each resample of the groups with replacement, [n_boot, n]."""
    names, member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    return _draws(len(names), whole(n_boot, "n_boot", most=MOST_DRAWS), seed)[:, member]


@lru_cache(maxsize=4)
def _draws(n_groups: int, n_boot: int, seed: int) -> np.ndarray:
    """[n_boot, n_groups], kept because every layer, property and model asks for the same."""
    share = np.full(n_groups, 1 / n_groups)
    return np.random.default_rng(seed).multinomial(n_groups, share, size=n_boot).astype(float)


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
