"""Conditions on estimates, and the word that follows from them. Every rule in `verdicts.py` is made of these.

A *condition* says on which side of a bound an estimate must lie. It *holds* if the whole interval lies on that side,
*fails* if the whole interval lies on the other, and is *open* otherwise. From several conditions follows

- "supported", if all hold;
- "not supported", if one fails;
- "inconclusive" otherwise, with how many times the examples would decide;
- "precondition not met", whatever else was seen, where something that must be there for the question to have a meaning
  (a gap to share, a gain to keep) is not clearly there.

"contradictory" is the word where methods disagree beyond chance (`verdicts.by_votes`).

**How many would decide.** Suppose the estimates seen are the true values, and intervals shrink with the square root of
n. How many times as many examples would decide with a probability of `POWER`? The distance from the estimate to the
bound must be z_power + z_level standard errors (Cohen, Statistical Power Analysis, 1988, chapter 2). If an estimate
lies on the wrong side, one condition that fails is enough, so the least number counts. Otherwise all k open conditions
must come to hold: each is given a chance of 1 - (1 - POWER) / k, so that together they keep `POWER`, and the largest
number counts. Intervals that hold together are wider than those of this formula, which then asks for a little too much.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from paperlib.stats.interval import Interval

SUPPORTED, NOT_SUPPORTED = "supported", "not supported"
INCONCLUSIVE, CONTRADICTORY, UNMET = "inconclusive", "contradictory", "precondition not met"
WORDS = (SUPPORTED, NOT_SUPPORTED, INCONCLUSIVE, CONTRADICTORY, UNMET)
POWER = 0.8
LEVEL = 1.96  # standard errors on either side of an estimate, at 95 %


@dataclass(frozen=True)
class Verdict:
    """One of `WORDS`, and how many times the examples would decide: None if it is decided, or if no number would do.

    leans: the side that it would then be decided for, 1 for "supported" and -1 for "not supported"; 0 if unknown.
    """

    word: str
    times: float | None = None
    leans: int = 0

    def __post_init__(self) -> None:
        if self.word not in WORDS:
            raise ValueError(f"A verdict is one of {', '.join(WORDS)}, got {self.word!r}.")

    def __str__(self) -> str:
        return self.word


@dataclass(frozen=True)
class Condition:
    """An estimate lies above (``sign`` 1) or below (-1) a bound; ``touching``: its interval may end at the bound."""

    estimate: Interval
    bound: float
    sign: int = 1
    touching: bool = False

    @property
    def state(self) -> Literal["holds", "fails", "open"]:
        """By the end of the interval that is nearer to the wrong side, or to the right one."""
        least, most = sorted(self.sign * (end - self.bound) for end in (self.estimate.low, self.estimate.high))
        if least > 0 or (self.touching and least == 0):
            return "holds"
        return "fails" if most < 0 else "open"

    @property
    def distance(self) -> float:
        """From the bound to the estimate, above 0 on the right side."""
        return self.sign * (self.estimate.value - self.bound)

    def times(self, power: float = POWER) -> float | None:
        """How many times the examples would clear the bound with this probability, on the side where the estimate is.

        At least 1. None if the estimate lies at the bound.
        """
        if not self.distance:
            return None
        lies_above = self.estimate.value > self.bound
        half = self.estimate.value - self.estimate.low if lies_above else self.estimate.high - self.estimate.value
        return max(1.0, ((1 + NormalDist().inv_cdf(power) / LEVEL) * half / abs(self.distance)) ** 2)


def above(estimate: Interval, bound: float = 0.0) -> Condition:
    """That the estimate lies above the bound, with its interval."""
    return Condition(estimate, bound)


def at_least(estimate: Interval, bound: float) -> Condition:
    """That the estimate lies at or above the bound, with its interval."""
    return Condition(estimate, bound, touching=True)


def below(estimate: Interval, bound: float) -> Condition:
    """That the estimate lies below the bound, with its interval."""
    return Condition(estimate, bound, sign=-1)


def inside(estimate: Interval, borders: tuple[float, float]) -> list[Condition]:
    """That the estimate lies between two borders, with its interval."""
    return [at_least(estimate, borders[0]), below(estimate, borders[1])]


def decide(conditions: Iterable[Condition | None], given: Iterable[Condition | None] = ()) -> Verdict:
    """The verdict on some conditions, given others. None stands for an estimate that could not be made.

    An estimate that is missing means that what it is a share of is not clearly there; so does a ``given`` condition
    that does not hold. Either way the precondition is not met. So it is where there is no condition at all.

    >>> few, many = Interval(0.2, -0.1, 0.5, 50), Interval(0.2, 0.1, 0.3, 450)
    >>> decide([above(few)])  # doctest: +ELLIPSIS
    Verdict(word='inconclusive', times=4.5..., leans=1)
    >>> decide([above(many)]).word
    'supported'
    >>> decide([above(many)], given=[above(few)]).word
    'precondition not met'
    """
    asked, first = list(conditions), list(given)
    if not asked or None in asked or None in first:
        return Verdict(UNMET)
    required = [c for c in first if c is not None and c.state != "holds"]
    if required:
        failed = any(c.state == "fails" for c in required)
        return Verdict(UNMET, None if failed else _most(required))
    known = [c for c in asked if c is not None]
    if any(c.state == "fails" for c in known):
        return Verdict(NOT_SUPPORTED)
    still = [c for c in known if c.state == "open"]
    return _undecided(still) if still else Verdict(SUPPORTED)


def _undecided(still: Sequence[Condition]) -> Verdict:
    wrong = [n for c in still if c.distance < 0 and (n := c.times()) is not None]
    return Verdict(INCONCLUSIVE, min(wrong), -1) if wrong else Verdict(INCONCLUSIVE, _most(still), 1)


def stricter(times: float, parts: int) -> float:
    """What decides one thing with the power `POWER`, made enough for each of some parts, so that all are decided so.

    Each part gets a chance of 1 - (1 - POWER) / parts, as the conditions of one verdict do.
    """
    asked, had = (LEVEL + NormalDist().inv_cdf(p) for p in (1 - (1 - POWER) / parts, POWER))
    return times * (asked / had) ** 2


def _most(still: Sequence[Condition]) -> float | None:
    """What brings all to hold; None if one lies at or beyond its bound."""
    found = [c.times(1 - (1 - POWER) / len(still)) if c.distance > 0 else None for c in still]
    return None if None in found else max(n for n in found if n is not None)
