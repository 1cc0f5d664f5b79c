"""The conditions behind every verdict of a run, read back from its tables: what the ledger of claims is drawn from.

Each rule (`verdicts.py`) compares estimates with bounds. The units differ: shares, points, depths. So an estimate is
placed by its *margin*: its distance from the bound in half-widths of its own interval, above 0 on the claim's side. An
interval that excludes the bound has a margin beyond 1 or -1. Margins are for looking at; verdicts come from the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from paperlib.stats.conditions import Condition, above, at_least, below, decide, inside
from paperlib.stats.interval import Interval
from paperlib.stats.tables import read_table_file
from paperlib.stats.verdicts import ENTERS, GAINS, KEEPS, MARGIN
from paperlib.stats.votes import THIRD, vote_of
from paperlib.stats.words import sentence_case

EDGE = 6.0  # half-widths, beyond which a margin is drawn at the edge
FEW = 6  # conditions of one method, above which they are a vote and are told as a count
BASELINE, ARM = "stage 1", "mid"
BY_MODALITY = ("captions", "pictures (mean)")
Rows = Sequence[Mapping]


@dataclass(frozen=True)
class Part:
    """One thing that a rule asks of a method. conditions: one, or one for each of two borders; all must hold.

    share: whether the estimate is a share, shown in percent.
    """

    claim: str
    method: str
    asks: str
    conditions: tuple[Condition, ...]
    share: bool = False

    @property
    def estimate(self) -> Interval:
        """The estimate that the conditions are about."""
        return self.conditions[0].estimate

    @property
    def state(self) -> str:
        """for, against or open, as the whole rule would be if it asked for nothing else."""
        return vote_of(decide(self.conditions))

    @property
    def margin(self) -> Interval:
        """The least distance from a bound, in half-widths, with the interval; within `EDGE` of 0."""
        limits = (self.estimate.low, self.estimate.high)
        sides = [sorted(c.sign * (end - c.bound) for end in limits) for c in self.conditions]
        value = min(c.distance for c in self.conditions)
        low, high = (min(side[i] for side in sides) for i in (0, 1))
        half = value - low if value > 0 else high - value
        if half <= 0:  # an interval without width on the side of the bound: as clear as can be shown
            ends = [EDGE if x > 0 else -EDGE if x < 0 else 0.0 for x in (value, low, high)]
        else:
            ends = [max(-EDGE, min(EDGE, x / half)) for x in (value, low, high)]
        return Interval(ends[0], ends[1], ends[2], self.estimate.n)

    @property
    def seen(self) -> str:
        """The estimate in words."""
        return f"{self.estimate:.0%}" if self.share else f"{self.estimate:.2f}"

    @property
    def bounds(self) -> str:
        """What the rule asks of the estimate, in words."""
        said = {(1, True): "at least", (1, False): "above", (-1, False): "below", (-1, True): "at most"}
        return " and ".join(
            f"{said[c.sign, c.touching]} " + (f"{100 * c.bound:.0f} %" if self.share else f"{c.bound:.2g}")
            for c in self.conditions
        )


def conditions_of(folder: Path) -> list[Part]:
    """All parts of all rules that a run's tables hold, claim by claim; of a method whose table is missing, none.

    folder: results/<run>. Raises ResultError for a damaged table.
    """
    there = {name: folder / f"{name}.json" for name in _TABLES}
    parts = [part for name, path in there.items() if path.is_file() for part in _TABLES[name](read_table_file(path))]
    return sorted(parts, key=lambda part: part.claim)


def would_change(parts: Iterable[Part]) -> str:
    """What stands between a method and *supported*: the conditions that do not hold, in one sentence."""
    lacking = [part for part in parts if part.state != "for"]
    if not lacking:
        return "Every condition holds."
    return sentence_case("; ".join(f"{part.asks} is {part.seen} (asked: {part.bounds})" for part in lacking)) + "."


def _recorded(rows: Rows) -> list[Part]:
    """03_conditions: the conditions as the notebook wrote them."""
    return [
        Part(row["claim"], row["method"], row["condition"], _between(row["estimate"], row["least"], row["most"]),
             row["share"])
        for row in rows if row["estimate"] is not None
    ]  # fmt: skip


def _between(estimate: Interval, least: float, most: float | None) -> tuple[Condition, ...]:
    if most is None:
        return ((above if least == 0 else at_least)(estimate, least),)
    return tuple(inside(estimate, (least, most)))


def _entry(rows: Rows) -> list[Part]:
    (row,) = [row for row in rows if "the rule" in row["captions read at"]]
    margins = {"advantage": "advantage over the first sixth", "surplus": "that beyond an untrained connector's",
               "relative": "that, as a share of the best match"}  # fmt: skip
    place = Part("C1", "entry depth", "depth of the best match", (at_least(row["depth"], ENTERS),))
    return [place, *(Part("C1", "entry depth", asks, (above(row[name]),), True) for name, asks in margins.items())]


def _onsets(rows: Rows) -> list[Part]:
    place = {"entry": "image tokens", "hand-over": "the answer position"}
    return [
        Part("C2", f"transfer at {place[row['event']]}", f"onset of {row['task']}", tuple(inside(row["onset"], THIRD)))
        for row in rows if row["onset"] is not None
    ]  # fmt: skip


def _votes(rows: Rows) -> list[Part]:
    found = []
    for row in rows:
        both = [above(row[name]) for name in ("middle minus early", "middle minus late")]
        nearest = min(both, key=lambda c: c.distance)  # both must hold, so the lower one decides
        found.append(Part("C3", "benchmarks", f"{row['benchmark']}, {row['method']}", (nearest,)))
    return found


def _growth(rows: Rows) -> list[Part]:
    name = next(iter(rows[0]))  # "series, tuned minus <the stage before>"
    return [
        Part("C4", "intrinsic dimension", f"change of {what}, {row[name]}", (above(row[what]),))
        for row in rows if row[name] in BY_MODALITY for what in ("peak", "width")
    ]  # fmt: skip


def _gain(rows: Rows) -> list[Part]:
    (row,) = [row for row in rows if row["middle"] == "the middle third"]
    asks = {"gain": "gain in the middle", "minus early": "minus the early third",
            "minus late": "minus the late third", "beyond attributes": "beyond true attributes"}  # fmt: skip
    return [Part("C5", "neighbourhood overlap", text, (above(row[name]),)) for name, text in asks.items()]


def _bands(rows: Rows) -> list[Part]:
    (row,) = [row for row in rows if row["questions"] == "by the rule"]
    bounds = {"keeps": KEEPS, "gains": GAINS}
    return [
        Part("C6", "bands", f"mid {name}", (at_least(row[name].scaled(0.01), bound),), True)
        for name, bound in bounds.items() if row[name] is not None
    ]  # fmt: skip


def _cost(rows: Rows) -> list[Part]:
    return [
        Part("C6", "bands", "time of a step", (below(row["time"].scaled(0.01), 1),), True)
        for row in rows if row["arm"] == ARM
    ]  # fmt: skip


def _by_benchmark(rows: Rows) -> list[Part]:
    gained = {row["benchmark"] for row in rows if row["arm"] == BASELINE and row["minus full"].high < 0}
    return [
        Part("C6", "benchmarks", f"mid minus full on {row['benchmark']}", (above(row["minus full"], -MARGIN),))
        for row in rows if row["arm"] == ARM and row["benchmark"] in gained
    ]  # fmt: skip


_TABLES: dict[str, Callable[[Rows], list[Part]]] = {
    "03_conditions": _recorded, "04_entry_depth": _entry, "02_votes": _onsets, "06_votes": _votes,
    "04_phase_change": _growth, "04_gain_conditions": _gain, "05_conditions": _bands, "05_cost": _cost,
    "06_bands": _by_benchmark,
}  # fmt: skip
