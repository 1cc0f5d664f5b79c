"""Votes on whether the middle of the depth matters most, where a method gives each window of blocks an importance.

A method votes

- "for" if the mean over windows centred in the middle exceeds the mean over the earlier ones and that over the later
  ones, each with its interval above 0 (paired by example, resampled by picture);
- "against" if one of the two differences has its interval below 0;
- "open" otherwise.

The *middle* is the middle third of the depth, or lies between other `BORDERS`. Votes that are counted together are
cast by intervals that hold together (`multiplicity.py`), so that a vote of many is not one of chance.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from paperlib.stats.conditions import NOT_SUPPORTED, SUPPORTED, Verdict, above, decide
from paperlib.stats.interval import Interval
from paperlib.stats.multiplicity import Family, simultaneous_intervals
from paperlib.study.checks import shown

FOR, AGAINST, OPEN = "for", "against", "open"
THIRD = (1 / 3, 2 / 3)
PAPER = (6 / 32, 17 / 32)  # the blocks 6 to 16 of LLaVA-7B's 32, which the paper tunes
BORDERS = {"the middle third": THIRD, "the paper's band": PAPER}
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Vote:
    """Middle minus earlier and middle minus later windows, in the effect's units, and what follows."""

    over_early: Interval
    over_late: Interval

    @property
    def verdict(self) -> Verdict:
        """Whether both differences lie above 0."""
        return decide([above(self.over_early), above(self.over_late)])

    @property
    def vote(self) -> str:
        """for, against or open."""
        return vote_of(self.verdict)


def vote_of(verdict: Verdict) -> str:
    """A verdict as a vote."""
    return {SUPPORTED: FOR, NOT_SUPPORTED: AGAINST}.get(verdict.word, OPEN)


def regions(depth: Sequence[float], borders: tuple[float, float] = THIRD) -> np.ndarray:
    """0, 1 or 2 for what lies before, between or behind the borders, in relative depth [0, 1]."""
    return np.digitize(np.asarray(depth, float), borders)


def votes_together(
    methods: Mapping[Key, tuple[np.ndarray, Sequence[str]]],
    centres: Sequence[float],
    seed: int = 0,
    borders: tuple[float, float] = THIRD,
) -> dict[Key, Vote]:
    """The votes of several methods, with intervals that hold together (`multiplicity.simultaneous_intervals`).

    methods: {name: (effects [windows, N], groups [N])}, the importance of each window for each example, and the picture
    of each. centres: of the windows, in relative depth. Raises ValueError if a region of the depth has no window.
    """
    contrasts = []
    for effects, groups in methods.values():
        early, middle, late = _by_region(effects, centres, borders)
        contrasts.append(Family(np.array([middle - early, middle - late]), groups))
    found = simultaneous_intervals(contrasts, seed=seed) if methods else []
    return {name: Vote(*both) for name, both in zip(methods, found, strict=True)}


def _by_region(effects: np.ndarray, centres: Sequence[float], borders: tuple[float, float]) -> list[np.ndarray]:
    """Mean importance [N] over the windows centred in each region."""
    effects = np.asarray(effects, float)
    if len(effects) != len(centres) or not all(0 <= centre <= 1 for centre in centres):
        raise ValueError(
            f"Each of {len(effects)} windows needs a centre in relative depth, from 0 to 1: got {shown(centres)}."
        )
    of = regions(centres, borders)
    if set(of.tolist()) != {0, 1, 2}:
        raise ValueError(
            f"A vote needs windows centred before, between and behind {borders[0]:.2f} and {borders[1]:.2f} of the "
            "depth: sweep with a smaller width or stride."
        )
    return [effects[of == i].mean(0) for i in range(3)]
