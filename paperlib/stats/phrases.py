"""Sentences about several things at once: which rise, which fall, and by how much."""

from collections.abc import Mapping

from paperlib.stats.bootstrap import Interval
from paperlib.stats.words import direction, listed


def scaled(interval: Interval, by: float = 100.0) -> Interval:
    """The interval in another unit: shares as percent or points."""
    return Interval(by * interval.value, by * interval.low, by * interval.high, interval.n)


def by_direction(
    changes: Mapping[str, Interval],
    up: str = "rises for",
    down: str = "falls for",
    unclear: str = "does not change clearly for",
    spec: str = "+.0f",
    scale: float = 100.0,
) -> str:
    """Such as "rises for a (+9 [+2, +15]) and b (...); does not change clearly for c (...)".

    Each change is sorted by `paperlib.stats.words.direction` and printed as ``spec`` says, times ``scale``.
    Raises ValueError for no changes.
    """
    if not changes:
        raise ValueError("A sentence about changes needs at least one.")
    said: dict[str, list[str]] = {word: [] for word in (up, down, unclear)}
    for name, change in changes.items():
        said[direction(change, up, down, unclear)].append(f"{name} ({scaled(change, scale):{spec}})")
    parts = [f"{word} {listed(names)}" for word, names in said.items() if names]
    return "; ".join(parts)


def values(estimates: Mapping[str, Interval], spec: str = ".0f", scale: float = 100.0) -> str:
    """Such as "a (57 [47, 67]) and b (43 [32, 55])"; "none" if there are none."""
    return listed([f"{name} ({scaled(estimate, scale):{spec}})" for name, estimate in estimates.items()])
