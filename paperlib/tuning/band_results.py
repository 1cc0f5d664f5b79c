"""What the reference run's arms answered and lost, compared over the questions and batches that both have, over seeds.

Intervals draw training runs first, then pictures (or neighbouring updates) within each, as `paperlib.stats.bootstrap` says. All
differences are paired: the arms were asked the same questions, and saw the same batches at the same update.
"""

from collections.abc import Callable, Sequence

import numpy as np

from paperlib.stats.accuracy import Interval
from paperlib.stats.effects import gap_share, paired_difference
from paperlib.tuning.band_runs import BEFORE, Answer

PICTURED = (
    "pictures",
    "pope",
    "held-out concepts",
    "outside",
)  # suites of `paperlib.scoring.evaluation` that show a picture
FULL, MID = "full", "mid"


def pictured(answer: Answer) -> bool:
    """Whether a question shows a picture: what performance is the mean accuracy of."""
    return answer.benchmark in PICTURED


def everything(answer: Answer) -> bool:
    """Whether a question counts, where all do."""
    return True


class BandResults:
    """The runs of `reference.read_reference`. ``seed`` is that of the bootstraps.

    Methods take arms by name and a choice ``of`` questions. What is listed is empty for an arm without runs; what is
    computed raises ValueError for one that was not asked any of the questions, or not trained.
    """

    def __init__(self, runs: Sequence[dict], seed: int = 0):
        self.runs, self.seed = list(runs), seed
        self.seeds = sorted({run["seed"] for run in self.runs})

    def asked(self, arm: str) -> list[int]:
        """The seeds for which an arm was asked."""
        return sorted(run["seed"] for run in self.runs if run["arm"] == arm and run["answers"])

    def answers(self, arm: str, of: Callable[[Answer], bool] = everything, images: str = "own") -> dict[str, Answer]:
        """{id: answer} over all seeds, about the question's own picture or about another's (images "other")."""
        key = "answers" if images == "own" else "other"
        return {a.id: a for run in self.runs if run["arm"] == arm for a in run[key] if of(a)}

    def accuracy(self, arm: str, seed: int | None = None, of: Callable[[Answer], bool] = pictured) -> float:
        """Share of right answers [0, 1], over all seeds or for one."""
        found = [a.correct for a in self.answers(arm, of).values() if seed is None or _run(a.id) == str(seed)]
        if not found:
            where = "" if seed is None else f" on seed {seed}"
            raise ValueError(f"The arm {arm!r} was not asked such questions{where}.")
        return float(np.mean(found))

    def paired(self, *arms: str, of: Callable[[Answer], bool] = pictured) -> tuple[np.ndarray, list[str], list[str]]:
        """Right (1) or wrong (0) of each arm on the questions that all of them were asked, [arms, N]; the picture of
        each question, beginning with its run's seed; and the questions' ids, ascending.
        """
        found = [self.answers(arm, of) for arm in arms]
        common = sorted(set.intersection(*map(set, found)))
        if not common:
            raise ValueError(f"There is no question that {', '.join(map(repr, arms))} were all asked.")
        scores = np.array([[float(f[i].correct) for i in common] for f in found])
        return scores, [found[0][i].group for i in common], common

    def minus(self, arm: str, other: str, of: Callable[[Answer], bool] = pictured, **how) -> Interval:
        """Accuracy of an arm minus that of another. how: as `effects.paired_difference` takes it."""
        (mine, theirs), groups, _ = self.paired(arm, other, of=of)
        return paired_difference(mine, theirs, groups, **self._over(groups) | {"limits": (-1, 1)} | how)

    def keeps(self, arm: str, of: Callable[[Answer], bool] = pictured, **how) -> Interval | None:
        """Accuracy of an arm over that of full tuning, as the paper has it."""
        (mine, full), groups, _ = self.paired(arm, FULL, of=of)
        return gap_share(mine, np.zeros_like(mine), full, groups, **self._over(groups) | how)

    def gains(self, arm: str, of: Callable[[Answer], bool] = pictured, **how) -> Interval | None:
        """(arm minus stage 1) over (full tuning minus stage 1); None if full tuning itself gains nothing for sure."""
        (mine, before, full), groups, _ = self.paired(arm, BEFORE, FULL, of=of)
        return gap_share(mine, before, full, groups, **self._over(groups) | how)

    def exchanged(self, arm: str, other: str, seed: int) -> "BandResults":
        """As if two arms were alike: a coin for each picture says whether they swap their answers about it. Shows what
        a rule says where there is nothing to find.
        """
        found = {arm: self.answers(other), other: self.answers(arm)}  # who would get whose
        groups = sorted({a.group for answers in found.values() for a in answers.values()})
        swapped = dict(zip(groups, np.random.default_rng(seed).random(len(groups)) < 0.5))

        def dealt(run: dict) -> list[Answer]:
            return [found[run["arm"]].get(a.id, a) if swapped[a.group] else a for a in run["answers"]]

        return BandResults(
            [run | {"answers": dealt(run)} if run["arm"] in found else run for run in self.runs], self.seed
        )

    def owed(self, arm: str) -> tuple[float, float, Interval]:
        """Accuracy with another question's picture, with the own, and the difference, owed to looking."""
        own, other = self.answers(arm, pictured), self.answers(arm, images="other")
        common = sorted(set(own) & set(other))
        if not common:
            raise ValueError(f"The arm {arm!r} was not asked about other pictures.")
        mine, theirs = (np.array([float(f[i].correct) for i in common]) for f in (own, other))
        groups = [own[i].group for i in common]
        difference = paired_difference(mine, theirs, groups, (-1, 1), **self._over(groups))
        return float(theirs.mean()), float(mine.mean()), difference

    def losses(self, arm: str) -> dict[int, np.ndarray]:
        """{seed: loss of each update, nats per token, [updates]}."""
        return {run["seed"]: np.array(run["loss"]) for run in self.runs if run["arm"] == arm and len(run["loss"])}

    def behind(self, arm: str, updates: slice, block: int, other: str = MID) -> tuple[Interval, list[float]]:
        """Loss minus another arm's on the same batches, over some updates: the mean over seeds, and that of each seed.

        block: so many neighbouring updates are resampled together, for they are alike.
        """
        mine, theirs = self.losses(arm), self.losses(other)
        both = {s: (mine[s][updates], theirs[s][updates]) for s in sorted(mine) if s in theirs}
        if any(len(a) != len(b) or not len(a) for a, b in both.values()):
            raise ValueError(
                f"Not both {arm!r} and {other!r} went through the updates {updates.start} to {updates.stop}."
            )
        gaps = {s: a - b for s, (a, b) in both.items()}
        if not gaps:
            raise ValueError(f"There is no seed on which both {arm!r} and {other!r} were trained.")
        groups = [f"{s} {i // block}" for s, gap in gaps.items() for i in range(len(gap))]
        together = np.concatenate(list(gaps.values()))
        return paired_difference(together, np.zeros_like(together), groups, **self._over(groups)), [
            float(gap.mean()) for gap in gaps.values()
        ]

    def time_to_equal_loss(self, arm: str, seed: int, step_time: float, width: int) -> float | None:
        """Time of an arm's whole run over the time in which full tuning comes to the loss that the arm ends with, means
        of ``width`` updates. step_time: that of the arm's step, in full tuning's. None if full never gets there.
        """
        mine, full = self.losses(arm).get(seed), self.losses(FULL).get(seed)
        if mine is None or full is None:
            raise ValueError(f"On seed {seed}, {arm!r} and {FULL!r} were not both trained.")
        updates = updates_to(full, smoothed(mine, width)[-1], width)
        return None if updates is None else step_time * len(mine) / updates

    def _over(self, groups: Sequence[str]) -> dict:
        return {"runs": [_run(g) for g in groups], "seed": self.seed}


def _run(name: str) -> str:
    """The seed with which the ids and groups of `reference.ask` begin."""
    return name.split()[0]


def smoothed(loss: Sequence[float], width: int) -> np.ndarray:
    """The mean over each value and the width - 1 before it (fewer at the beginning), [updates].

    Raises ValueError for a width below 1.
    """
    if width < 1:
        raise ValueError(f"A loss is smoothed over at least one update, got a width of {width}.")
    loss = np.asarray(loss, float)
    total = np.concatenate([[0.0], loss.cumsum()])
    end = np.arange(1, len(loss) + 1)
    start = np.maximum(0, end - width)
    return (total[end] - total[start]) / (end - start)


def updates_to(loss: Sequence[float], level: float, width: int) -> int | None:
    """After how many updates the mean over ``width`` of them first lies at or below a level; None if it never does.

    Means over fewer updates, at the beginning, do not count.
    """
    reached = np.flatnonzero(smoothed(loss, width)[width - 1 :] <= level)
    return int(reached[0]) + width if len(reached) else None
