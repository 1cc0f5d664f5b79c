"""From records to numbers with intervals: accuracy, differences, and the reports of single benchmarks.

Questions about the same scene are not independent, so every interval is a bootstrap over groups (scenes), not
over questions: the one that `paperlib.stats.bootstrap` describes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from paperlib.stats.bootstrap import group_intervals
from paperlib.stats.effects import paired_difference
from paperlib.stats.interval import Interval


def accuracy(records: Sequence, level: float = 0.95, n_boot: int = 2000, seed: int = 0) -> Interval:
    """Share of records answered correctly, with its interval over groups.

    Raises:
        ValueError: no records, repeated ids, a level outside (0, 1), n_boot below 1.
    """
    _check_records(records)
    groups = [r.group for r in records]
    return group_intervals([[r.correct for r in records]], groups, (0, 1), level, n_boot, seed)[0]


def accuracy_difference(
    records_a: Sequence, records_b: Sequence, level: float = 0.95, n_boot: int = 2000, seed: int = 0
) -> Interval:
    """Accuracy of a minus accuracy of b over the same examples, in any order: `effects.paired_difference` of records.

    Raises:
        ValueError: as `accuracy`, or the two hold different examples.
    """
    _check_records(records_a)
    _check_records(records_b)
    b = {r.id: r.correct for r in records_b}
    if {r.id for r in records_a} != b.keys():
        alone = min({r.id for r in records_a} ^ b.keys())
        raise ValueError(f"A paired difference needs the same examples twice, but one side lacks {alone!r}.")
    mine, theirs = [r.correct for r in records_a], [b[r.id] for r in records_a]
    return paired_difference(mine, theirs, [r.group for r in records_a], (-1, 1), level, n_boot, seed)


def intervals_apart(a: Interval, b: Interval) -> bool:
    """Whether two intervals share no value; a paired difference may exclude 0 well before that."""
    return a.low > b.high or b.low > a.high


def summarize(records: Sequence, by: str | Callable = "kind", **options: Any) -> dict[str, Interval]:
    """Accuracy by kind of question (`by="kind"`), by benchmark, or by what a function says of each record, in
    order of appearance.

    `options` are those of `accuracy`.
    """
    if not callable(by) and by not in ("kind", "benchmark"):
        raise ValueError(f"Records are summarized by 'kind', 'benchmark' or a function, got {by!r}.")
    label = by if callable(by) else lambda record: getattr(record, by)
    parts: dict[str, list] = {}
    for r in records:
        parts.setdefault(label(r), []).append(r)
    return {name: accuracy(part, **options) for name, part in parts.items()}


def chance(records: Sequence) -> float:
    """Accuracy of guessing uniformly among the choices. Raises ValueError for no records, or one without choices."""
    _check_records(records)
    if free := [r.id for r in records if not len(r.logprobs)]:
        raise ValueError(f"Guessing needs choices, and {free[0]!r} has none: leave free answers out.")
    return math.fsum(1 / len(r.logprobs) for r in records) / len(records)


def _check_records(records: Sequence) -> None:
    if len(records) == 0:
        raise ValueError("There are no records: score some examples first.")
    if len({r.id for r in records}) < len(records):
        raise ValueError("Records repeat an id: score each example once per condition.")
