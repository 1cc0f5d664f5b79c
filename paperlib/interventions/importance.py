"""The importance of windows by each method, how the methods vote on the middle third, and how far they agree."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paperlib.stats.bootstrap import Interval
from paperlib.stats.effects import rank_agreement
from paperlib.stats.verdicts import thirds, vote


@dataclass(frozen=True)
class Method:
    """What one method finds. effects: [windows, n], in its unit; groups: the picture of each example, [n]."""

    name: str
    effects: np.ndarray
    groups: Sequence[str]
    unit: str

    @property
    def profile(self) -> np.ndarray:
        """Mean importance of each window."""
        return self.effects.mean(axis=1)


def vote_rows(methods: Sequence[Method], centres: Sequence[float], seed: int = 0) -> list[dict]:
    """A row for each method: its vote (`verdicts.vote`) and the two differences that decide it, in the method's unit.

    largest: the largest mean importance of a window, either sign, by which differences of several units compare.
    Raises ValueError as `verdicts.vote` does.
    """
    rows = []
    for method in methods:
        found = vote(method.effects, centres, method.groups, seed)
        rows.append(
            {
                "method": method.name,
                "unit": method.unit,
                "middle minus early": found.over_early,
                "middle minus late": found.over_late,
                "largest": float(np.abs(method.profile).max()),
                "vote": found.vote,
                "n": found.over_early.n,
                "pictures": len(set(method.groups)),
            }
        )
    return rows


def relative(interval: Interval, largest: float) -> Interval:
    """An interval as a share of the method's largest importance; as it is where nothing has any importance."""
    unit = largest or 1
    return Interval(interval.value / unit, interval.low / unit, interval.high / unit, interval.n)


def agreement_rows(methods: Sequence[Method]) -> list[dict]:
    """Spearman's rank correlation of every two methods' profiles, None where a profile is flat: a row for each pair."""
    table = rank_agreement({method.name: list(method.profile) for method in methods})
    names = list(table)
    return [
        {"method": a, "other method": b, "rank correlation": table[a][b]}
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    ]


def by_third(effects: np.ndarray, centres: Sequence[float]) -> dict[str, np.ndarray]:
    """Mean effect [n] over the windows centred in each third of the depth: {"early third": [n], ..}.

    A third without a window is left out.
    """
    third = thirds(centres)
    return {
        f"{name} third": np.asarray(effects, float)[third == i].mean(axis=0)
        for i, name in enumerate(("early", "middle", "late"))
        if (third == i).any()
    }
