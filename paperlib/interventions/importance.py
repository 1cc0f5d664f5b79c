"""The importance of windows by each method, how the methods vote on the middle third, and how far they agree."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paperlib.stats.bootstrap import Interval
from paperlib.stats.effects import rank_agreement
from paperlib.stats.verdicts import by_groups
from paperlib.stats.votes import AGAINST, FOR, OPEN, regions, vote_of, votes_together
from paperlib.stats.words import count, listed


@dataclass(frozen=True)
class Method:
    """What one method finds. effects: [windows, n], in its unit; groups: the picture of each example, [n].

    event: what it looks at; methods that look at the same event are counted once.
    """

    name: str
    effects: np.ndarray
    groups: Sequence[str]
    unit: str
    event: str

    @property
    def profile(self) -> np.ndarray:
        """Mean importance of each window."""
        return self.effects.mean(axis=1)


def vote_rows(methods: Sequence[Method], centres: Sequence[float], seed: int = 0) -> list[dict]:
    """A row for each method: its vote and the two differences that decide it, in the method's unit, intervals together
    (`votes.votes_together`).

    largest: the largest mean importance of a window, either sign, by which differences of several units compare. peak:
    the centre of the window of most importance.
    Raises ValueError as `votes.votes_together` does.
    """
    rows = []
    votes = votes_together({method.name: (method.effects, method.groups) for method in methods}, centres, seed)
    for method in methods:
        found = votes[method.name]
        rows.append(
            {
                "method": method.name,
                "event": method.event,
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


def count_votes(methods: Sequence[Method], centres: Sequence[float], seed: int = 0) -> str:
    """The votes in words, one for each event: how many are for the middle third, how many against, how many open."""
    votes = votes_together({method.name: (method.effects, method.groups) for method in methods}, centres, seed)
    of = {event: [votes[m.name].verdict for m in methods if m.event == event] for event in {m.event for m in methods}}
    said = [vote_of(verdict) for verdict in by_groups(of)[0].values()]
    pro, contra, still = (said.count(word) for word in (FOR, AGAINST, OPEN))
    return (
        f"for the middle third: {pro} of {count(len(said), 'event')} that the methods look at; against: {contra}; "
        f"open: {still}"
    )


def by_third(effects: np.ndarray, centres: Sequence[float]) -> dict[str, np.ndarray]:
    """Mean effect [n] over the windows centred in each third of the depth: {"early third": [n], ..}.

    A third without a window is left out.
    """
    third = regions(centres)
    return {
        f"{name} third": np.asarray(effects, float)[third == i].mean(axis=0)
        for i, name in enumerate(("early", "middle", "late"))
        if (third == i).any()
    }
