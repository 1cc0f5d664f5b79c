"""Exercises on rules that check themselves (docs/teach/exercises.md): right or wrong, without giving the answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import NamedTuple

from paperlib.stats.conditions import LEVEL, POWER, WORDS
from paperlib.stats.interval import Interval
from paperlib.stats.verdicts import GAINS, KEEPS, by_onsets
from paperlib.study.checks import whole

DIFFER, LOSS = 0.10, 0.03  # the exercise on power: shares of questions that two models answer differently, and net loss


class Check(NamedTuple):
    """Whether an answer is right, and one sentence about it."""

    right: bool
    said: str

    def __str__(self) -> str:
        return f"{'Right' if self.right else 'Not yet'}: {self.said}"


def check_words(votes: Mapping[str, Mapping[str, Interval | None]]) -> Check:
    """Make a rule come out: for each word of a verdict, onsets by task for which `by_onsets` says it."""
    lacking = [word for word in WORDS if word not in votes]
    if lacking:
        return Check(False, f"there are no onsets yet for {lacking[0]!r}.")
    for word in WORDS:
        found = by_onsets(votes[word])[1].word
        if found != word:
            return Check(False, f"for {word!r} the rule says {found!r}.")
    return Check(True, "the rule can say each of its words.")


def check_flattering(stage1: float, band: float, full: float) -> Check:
    """Keeps flatters: accuracies (0 to 1) of a band that keeps enough for C6 and gains less than half of what is asked.

    Raises ValueError unless 0 < stage1 < full <= 1 and the band lies from stage 1 to full tuning.
    """
    if not (0 < stage1 < full <= 1 and stage1 <= band <= full):
        raise ValueError("Accuracies lie from 0 to 1, with stage 1 below full tuning and the band between the two.")
    keeps, gains = band / full, (band - stage1) / (full - stage1)
    if keeps < KEEPS:
        return Check(False, "this band does not keep enough.")
    if gains >= GAINS / 2:
        return Check(False, "this band gains at least half of what the rule asks.")
    return Check(True, "it keeps enough, and learnt little.")


def check_questions(n: int) -> Check:
    """How many questions? Two models differ on the share `DIFFER` of the questions, and one loses by `LOSS` on balance.

    n: questions (independent, paired) for which a 95 % interval of the difference lies off 0 with the power `POWER`,
    within a twentieth. Raises ValueError unless it is a whole number of at least 1.
    """
    n = whole(n, "n")
    spread = math.sqrt(DIFFER - LOSS**2)  # of a difference that is -1, 0 or 1
    wanted = ((LEVEL + NormalDist().inv_cdf(POWER)) * spread / LOSS) ** 2
    if n < 0.95 * wanted:
        return Check(False, "with so few the difference would be missed too often.")
    if n > 1.05 * wanted:
        return Check(False, "fewer would do.")
    return Check(True, "the spread of paired differences decides, not that of each accuracy.")
