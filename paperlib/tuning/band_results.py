"""Arms compared by their answers and losses, on the questions and batches that both have, over seeds.

Intervals draw training runs first, then pictures (or neighbouring steps) within each, as `paperlib.stats.bootstrap`
says. All differences are paired: arms were asked the same questions, and saw the same batch at the same step.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from paperlib.stats.accuracy import Interval
from paperlib.stats.effects import gap_share, paired_difference
from paperlib.study.checks import seeded
from paperlib.tasks.benchmarks import PICTURE_SUITES
from paperlib.tuning.arms import BASELINE
from paperlib.tuning.band_runs import Answer

FULL, MID = "full", "mid"


def pictured(answer: Answer) -> bool:
    """Whether a question shows a picture. Performance is the mean accuracy over these."""
    return answer.suite in PICTURE_SUITES


def everything(answer: Answer) -> bool:
    """Every question counts."""
    return True


class BandResults:
    """The runs of `band_runs.read_reference`. ``seed`` is that of the bootstraps.

    Methods take arms by name and ``of``, which says of each question whether it counts. `asked`, `answers` and `losses`
    are empty for an arm without runs; the others raise ValueError for it.
    """

    def __init__(self, runs: Sequence[dict], seed: int = 0) -> None:
        self.runs, self.seed = list(runs), seed
        self.seeds = sorted({run["seed"] for run in self.runs})

    def asked(self, arm: str) -> list[int]:
        """The seeds for which an arm was asked."""
        return sorted(run["seed"] for run in self.runs if run["arm"] == arm and run["answers"])

    def missing(self, arms: Iterable[str]) -> dict[str, list[int]]:
        """{arm: the seeds for which it was not asked}, of those arms that lack some of the seeds found in the runs."""
        lacking = {arm: sorted(set(self.seeds) - set(self.asked(arm))) for arm in arms}
        return {arm: seeds for arm, seeds in lacking.items() if seeds}

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
        """Right (1) or wrong (0) on the N questions that all arms were asked.

        Returns scores [arms, N], the picture of each question, which begins with its run's seed, and the ids,
        ascending.
        """
        found = [self.answers(arm, of) for arm in arms]
        common = sorted(set.intersection(*map(set, found)))
        if not common:
            raise ValueError(f"There is no question that {', '.join(map(repr, arms))} were all asked.")
        scores = np.array([[float(f[i].correct) for i in common] for f in found])
        return scores, [found[0][i].group for i in common], common

    def minus(self, arm: str, other: str, of: Callable[[Answer], bool] = pictured, **how: Any) -> Interval:
        """Accuracy of an arm minus that of another. how: as `effects.paired_difference` takes it."""
        (mine, theirs), groups, _ = self.paired(arm, other, of=of)
        return paired_difference(mine, theirs, groups, **self._resampling(groups) | {"limits": (-1, 1)} | how)

    def keeps(self, arm: str, of: Callable[[Answer], bool] = pictured, full: str = FULL, **how: Any) -> Interval | None:
        """Accuracy of an arm divided by that of full tuning, as in the paper. full: the arm that was tuned in full."""
        (mine, whole), groups, _ = self.paired(arm, full, of=of)
        return gap_share(mine, np.zeros_like(mine), whole, groups, **self._resampling(groups) | how)

    def gains(self, arm: str, of: Callable[[Answer], bool] = pictured, full: str = FULL, **how: Any) -> Interval | None:
        """(arm minus stage 1) over (full tuning minus stage 1); None if full tuning itself gains nothing for sure."""
        (mine, baseline, whole), groups, _ = self.paired(arm, BASELINE, full, of=of)
        return gap_share(mine, baseline, whole, groups, **self._resampling(groups) | how)

    def swap_answers(self, arm: str, other: str, seed: int) -> "BandResults":
        """The results if two arms were alike: they swap their answers about each picture with probability 1/2.

        This shows what a rule says where there is nothing to find.
        """
        found = {arm: self.answers(other), other: self.answers(arm)}  # who would get whose
        groups = sorted({a.group for answers in found.values() for a in answers.values()})
        swapped = dict(zip(groups, seeded(seed).random(len(groups)) < 0.5, strict=True))

        def dealt(run: dict) -> list[Answer]:
            return [found[run["arm"]].get(a.id, a) if swapped[a.group] else a for a in run["answers"]]

        return BandResults(
            [run | {"answers": dealt(run)} if run["arm"] in found else run for run in self.runs], self.seed
        )

    def gain_from_image(self, arm: str) -> tuple[float, float, Interval]:
        """Accuracy with another question's picture, with the question's own, and the difference."""
        own, other = self.answers(arm, pictured), self.answers(arm, images="other")
        common = sorted(set(own) & set(other))
        if not common:
            raise ValueError(f"The arm {arm!r} was not asked about other pictures.")
        mine, theirs = ([float(found[i].correct) for i in common] for found in (own, other))
        groups = [own[i].group for i in common]
        difference = paired_difference(mine, theirs, groups, (-1, 1), **self._resampling(groups))
        return float(np.mean(theirs)), float(np.mean(mine)), difference

    def losses(self, arm: str) -> dict[int, np.ndarray]:
        """{seed: loss of each step, nats per token, [steps]}."""
        return {run["seed"]: np.array(run["loss"]) for run in self.runs if run["arm"] == arm and len(run["loss"])}

    def loss_gap(self, arm: str, steps: slice, block: int, other: str = MID) -> tuple[Interval, list[float]]:
        """Loss minus another arm's on the same batches, over some steps: the mean over seeds, and each seed's mean.

        block: so many neighbouring steps are resampled together, for they are alike.
        """
        mine, theirs = self.losses(arm), self.losses(other)
        both = {s: (mine[s][steps], theirs[s][steps]) for s in sorted(mine) if s in theirs}
        if any(len(a) != len(b) or not len(a) for a, b in both.values()):
            raise ValueError(f"{arm!r} and {other!r} were not both trained for steps {steps.start} to {steps.stop}.")
        gaps = {s: a - b for s, (a, b) in both.items()}
        if not gaps:
            raise ValueError(f"There is no seed on which both {arm!r} and {other!r} were trained.")
        groups = [f"{s} {i // block}" for s, gap in gaps.items() for i in range(len(gap))]
        together = np.concatenate(list(gaps.values())).tolist()
        overall = paired_difference(together, [0.0] * len(together), groups, **self._resampling(groups))
        return overall, [float(gap.mean()) for gap in gaps.values()]

    def time_to_equal_loss(self, arm: str, seed: int, step_time: float, width: int) -> float | None:
        """Time of an arm's whole run, divided by the time in which full tuning reaches the arm's last loss.

        Losses are means over ``width`` steps. step_time: of the arm's step, divided by that of full tuning's. None if
        full tuning never gets there.
        """
        mine, full = self.losses(arm).get(seed), self.losses(FULL).get(seed)
        if mine is None or full is None:
            raise ValueError(f"On seed {seed}, {arm!r} and {FULL!r} were not both trained.")
        steps = steps_to(full, smoothed(mine, width)[-1], width)
        return None if steps is None else step_time * len(mine) / steps

    def _resampling(self, groups: Sequence[str]) -> dict:
        return {"runs": [_run(g) for g in groups], "seed": self.seed}


def _run(name: str) -> str:
    """The seed with which the ids and groups of `band_runs.evaluate_arm` begin."""
    return name.split()[0]


def smoothed(loss: Sequence[float] | np.ndarray, width: int) -> np.ndarray:
    """The mean over each value and the width - 1 before it (fewer at the beginning), [steps].

    Raises ValueError for a width below 1.
    """
    if width < 1:
        raise ValueError(f"A loss is smoothed over at least one step, got a width of {width}.")
    total = np.concatenate([[0.0], np.cumsum(loss, dtype=float)])
    end = np.arange(1, len(loss) + 1)
    start = np.maximum(0, end - width)
    return (total[end] - total[start]) / (end - start)


def steps_to(loss: Sequence[float] | np.ndarray, level: float, width: int) -> int | None:
    """After how many steps the mean over ``width`` of them first lies at or below a level; None if it never does.

    Means over fewer steps, at the beginning, do not count.
    """
    reached = np.flatnonzero(smoothed(loss, width)[width - 1 :] <= level)
    return int(reached[0]) + width if len(reached) else None
