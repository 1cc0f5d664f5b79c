"""The importance of windows by each method, how the methods vote on the middle third, and how far they agree."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paperlib.stats.bootstrap import Interval
from paperlib.stats.effects import rank_agreement
from paperlib.stats.verdicts import thirds, vote
from paperlib.stats.words import count, listed


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

    largest: the largest mean importance of a window, either sign, by which differences of several units compare. peak:
    the centre of the window of most importance.
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
                "peak": centres[int(method.profile.argmax())],
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
    """Spearman's rank correlation of every two methods' profiles, a row for each pair, the most alike first.

    None where a profile is flat; these pairs come last.
    """
    table = rank_agreement({method.name: list(method.profile) for method in methods})
    names = list(table)
    rows: list[dict] = [
        {"method": a, "other method": b, "rank correlation": table[a][b]}
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    ]
    known = [row for row in rows if row["rank correlation"] is not None]
    known.sort(key=lambda row: row["rank correlation"], reverse=True)
    return known + [row for row in rows if row["rank correlation"] is None]


def agreement_sentences(rows: Sequence[dict]) -> list[str]:
    """Which two methods agree most and which least, from `agreement_rows`."""
    known = [row for row in rows if row["rank correlation"] is not None]
    if not known:
        return ["No two profiles can be compared: they are flat."]
    return [
        f"No two profiles are {word} alike than those of {row['method']} and {row['other method']}: their rank "
        f"correlation is {row['rank correlation']:+.2f}."
        for word, row in (("more", known[0]), ("less", known[-1]))
    ]


def peak_sentence(votes: Sequence[dict]) -> str:
    """Where each method finds its most important window, from `vote_rows`: methods with one peak together."""
    peaks = sorted({row["peak"] for row in votes})
    parts = [f"at {peak:.2f} by {listed([r['method'] for r in votes if r['peak'] == peak])}" for peak in peaks]
    return f"The most important window is centred {'; '.join(parts)}."


def count_votes(votes: Sequence[dict]) -> str:
    """The votes in words: "of 6 methods, 3 vote for the middle third, 2 against, and 1 is open"."""
    said = [row["vote"] for row in votes]
    still = said.count("open")
    return (
        f"of {count(len(said), 'method')}, {said.count('for')} vote for the middle third, "
        f"{said.count('against')} against, and {still} {'is' if still == 1 else 'are'} open"
    )


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
