"""All rules that turn effects into verdicts. A claim is supported, not supported or not testable at this scale.

A method that gives each window of blocks an importance *votes* on whether the middle third matters most:

- "for" if the mean over windows centred in the middle third exceeds the mean over those in the early third and that
  over those in the late third, each with a 95 % interval above 0 (paired by example, resampled by picture);
- "against" if one of the two differences has its interval below 0;
- "open" otherwise.

Where several benchmarks vote (notebook 06), the intervals of all their differences hold together.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from paperlib.stats.effects import paired_difference
from paperlib.stats.interval import Interval
from paperlib.stats.multiplicity import Family, simultaneous_intervals
from paperlib.study.checks import shown

SUPPORTED, NOT_SUPPORTED, NOT_TESTABLE = "supported", "not supported", "not testable at this scale"
Key = TypeVar("Key", bound=Hashable)
KEEPS, GAINS = 0.95, 0.80  # the least shares of full tuning that C6 asks for


@dataclass(frozen=True)
class Vote:
    """middle minus early and middle minus late third, in the effect's units, and what follows."""

    over_early: Interval
    over_late: Interval
    vote: str


def thirds(centres: Sequence[float]) -> np.ndarray:
    """0, 1 or 2 for windows centred in the early, middle or late third of relative depth [0, 1]."""
    return np.minimum((3 * np.asarray(centres, float)).astype(int), 2)


def vote(effects: np.ndarray, centres: Sequence[float], groups: Sequence[str], seed: int = 0) -> Vote:
    """The vote of a method. effects: [windows, N], the importance of each window for each example; centres: of the
    windows, in relative depth; groups: the picture of each example. Raises ValueError if a third has no window.
    """
    early, middle, late = _by_third(effects, centres)
    return _voted(*(paired_difference(middle, other, groups, seed=seed) for other in (early, late)))


def votes_together(
    methods: Mapping[Key, tuple[np.ndarray, Sequence[str]]], centres: Sequence[float], seed: int = 0
) -> dict[Key, Vote]:
    """The votes of several methods, with intervals that hold together (`multiplicity.simultaneous_intervals`).

    methods: {name: (effects [windows, N], groups [N])}. Raises ValueError as `vote` does.
    """
    contrasts = []
    for effects, groups in methods.values():
        early, middle, late = _by_third(effects, centres)
        contrasts.append(Family(np.array([middle - early, middle - late]), groups))
    found = simultaneous_intervals(contrasts, seed=seed) if methods else []
    return {name: _voted(*both) for name, both in zip(methods, found, strict=True)}


def _by_third(effects: np.ndarray, centres: Sequence[float]) -> list[np.ndarray]:
    """Mean importance [N] over the windows centred in each third."""
    effects = np.asarray(effects, float)
    if len(effects) != len(centres) or not all(0 <= centre <= 1 for centre in centres):
        raise ValueError(
            f"Each of {len(effects)} windows needs a centre in relative depth, from 0 to 1: got {shown(centres)}."
        )
    third = thirds(centres)
    if set(third.tolist()) != {0, 1, 2}:
        raise ValueError(
            "A vote needs windows centred in every third of the depth: sweep with a smaller width or stride."
        )
    return [effects[third == i].mean(0) for i in range(3)]


def _voted(over_early: Interval, over_late: Interval) -> Vote:
    if over_early.low > 0 and over_late.low > 0:
        return Vote(over_early, over_late, "for")
    return Vote(over_early, over_late, "against" if over_early.high < 0 or over_late.high < 0 else "open")


def by_benchmarks(votes: Mapping[str, Sequence[str]]) -> tuple[dict[str, str], str]:
    """C3: what each benchmark says, and the verdict. votes: of each benchmark, those of its methods.

    A benchmark is *for* the middle if at least one of its methods votes for it and none against, *against* if it is the
    other way round, and *open* otherwise. The verdict is `by_votes` of the benchmarks.
    """
    said = {
        name: "for"
        if "for" in of and "against" not in of
        else "against"
        if "against" in of and "for" not in of
        else "open"
        for name, of in votes.items()
    }
    return said, by_votes(list(said.values()))


def by_margin(differences: Sequence[Interval], margin: float) -> str:
    """C6 by benchmarks: supported if every difference, band minus full tuning, lies above -margin with its interval;
    not supported if one lies below it; otherwise, or if there is none, not testable at this scale.
    """
    if any(difference.high < -margin for difference in differences):
        return NOT_SUPPORTED
    return SUPPORTED if differences and all(d.low > -margin for d in differences) else NOT_TESTABLE


def by_votes(votes: Sequence[str]) -> str:
    """Supported if more than half of the methods are for and none is against; not supported if more are against than
    for; otherwise not testable at this scale.
    """
    pro, contra = votes.count("for"), votes.count("against")
    if 2 * pro > len(votes) and not contra:
        return SUPPORTED
    return NOT_SUPPORTED if contra > pro else NOT_TESTABLE


def by_threshold(estimate: Interval | None, least: float, control: Interval | None = None) -> str:
    """Supported if the interval lies at or above ``least`` (and, where there is a control, above the control's); not
    supported if it lies below ``least``; otherwise, or without an estimate, not testable at this scale.
    """
    if estimate is None:
        return NOT_TESTABLE
    if estimate.high < least:
        return NOT_SUPPORTED
    apart = control is None or control.high < estimate.low
    return SUPPORTED if estimate.low >= least and apart else NOT_TESTABLE


def by_place(where: Interval | None) -> str:
    """C2: supported if the interval, in relative depth, lies in the middle third; not supported if it lies in the early
    or in the late one; otherwise, or if there is no such place, not testable at this scale.
    """
    inside = {-1} if where is None else set(thirds([where.low, where.high]).tolist())
    if inside == {1}:
        return SUPPORTED
    return NOT_SUPPORTED if inside in ({0}, {2}) else NOT_TESTABLE


def by_growth(changes: Sequence[Sequence[Interval]]) -> str:
    """C4: supported if in each modality something grows, its interval above 0, and nothing shrinks, its interval below
    0; not supported if anything shrinks and nothing grows; otherwise not testable at this scale. changes: of each
    modality.
    """
    grows = [any(change.low > 0 for change in modality) for modality in changes]
    shrinks = any(change.high < 0 for modality in changes for change in modality)
    if changes and all(grows) and not shrinks:
        return SUPPORTED
    return NOT_SUPPORTED if shrinks and not any(grows) else NOT_TESTABLE


def by_gain(gained: Interval, reached: float, null: float) -> str:
    """C5: supported if the interval lies above 0 and the value reached lies above its null; not supported if the
    interval lies below 0; otherwise not testable at this scale.
    """
    if gained.low > 0 and reached > null:
        return SUPPORTED
    return NOT_SUPPORTED if gained.high < 0 else NOT_TESTABLE


def by_entry_depth(depth: Interval, margins: Sequence[Interval], least: float) -> str:
    """C1 by geometry: supported if the depth lies at or above ``least`` and every margin above 0, each with its
    interval; not supported if one interval lies on the other side; otherwise not testable at this scale.
    """
    if margins and depth.low >= least and all(margin.low > 0 for margin in margins):
        return SUPPORTED
    against = depth.high < least or any(margin.high < 0 for margin in margins)
    return NOT_SUPPORTED if against else NOT_TESTABLE


def enough(kept: Interval | None, gained: Interval | None, keeps: float = KEEPS, gains: float = GAINS) -> bool:
    """Whether a band keeps and gains at least so much of full tuning, both by the lower ends."""
    return kept is not None and gained is not None and kept.low >= keeps and gained.low >= gains


def band_verdict(
    kept: Interval | None, gained: Interval | None, step: Interval, keeps: float = KEEPS, gains: float = GAINS
) -> str:
    """C6 for a band: supported if it keeps and gains `enough`, in less time a step by the upper end (``step``: as a
    share of full tuning's); not supported if an interval lies wholly on the other side; otherwise, or where full tuning
    gains nothing, not testable at this scale.
    """
    if kept is None or gained is None:
        return NOT_TESTABLE
    if kept.high < keeps or gained.high < gains or step.low >= 1:
        return NOT_SUPPORTED
    return SUPPORTED if enough(kept, gained, keeps, gains) and step.high < 1 else NOT_TESTABLE


def beats_every_rival(over: dict[str, Interval], seeds: dict[str, int], rivals: Sequence[str], least: int = 3) -> str:
    """Whether a band beats every rival: "yes", "no" or "open".

    over: band minus rival; seeds: how many seeds each difference comes from. Differences from fewer than ``least``
    seeds decide nothing. "yes" if every difference lies above 0 with its interval, "no" if one lies below 0.
    """
    telling = {rival: d for rival, d in over.items() if seeds[rival] >= least}
    if any(d.high < 0 for d in telling.values()):
        return "no"
    return "yes" if rivals and set(rivals) <= set(telling) and all(telling[r].low > 0 for r in rivals) else "open"
