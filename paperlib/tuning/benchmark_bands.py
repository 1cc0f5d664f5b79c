"""Bands beside full tuning, benchmark by benchmark: what each keeps, with intervals that hold together.

For the models that this project tunes, answers are read from the reference file (`band_runs.py`). For others, the
published checkpoints of the lineage, and bands that were tuned here (`own_bands`), are asked the same examples as
its stages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from paperlib.models.adapter_files import AdapterError
from paperlib.models.input_checks import VLMError
from paperlib.models.vlm import VLM
from paperlib.scoring.benchmark_scores import MOST, scores
from paperlib.stats.interval import Interval
from paperlib.stats.multiplicity import Family, simultaneous_intervals
from paperlib.study.study import Study
from paperlib.tasks.benchmarks import Example
from paperlib.tuning.arms import ARMS, BASELINE
from paperlib.tuning.band_results import FULL, BandResults
from paperlib.tuning.band_runs import Answer
from paperlib.tuning.lineage_stages import Stages
from paperlib.tuning.own_bands import full_of

Scores = dict[str, dict[str, tuple[np.ndarray, list[str]]]]  # {arm: {benchmark: (scores [n], groups [n])}}


def benchmark_of(answer: Answer) -> str:
    """The benchmark of a recorded answer; questions about held-out concepts are one of their own."""
    example = answer.id.split(" ", 1)[1].removeprefix(f"{answer.suite} ")  # names of suites and kinds hold blanks
    name, split = example.split("/")[:2]
    return name if split == "test" else f"{name}, {split}"


def recorded(results: BandResults) -> Scores:
    """The recorded scores by benchmark, of the arms that were asked on all seeds, on questions that all were asked."""
    arms = [arm for arm in (BASELINE, *ARMS) if results.asked(arm) == results.seeds]
    found: Scores = {}
    names = list(dict.fromkeys(benchmark_of(a) for a in results.answers(FULL).values()))
    for name in names:

        def here(answer: Answer, name: str = name) -> bool:
            return benchmark_of(answer) == name

        values, groups, _ = results.paired(*arms, of=here)
        for arm, of in zip(arms, values, strict=True):
            found.setdefault(arm, {})[name] = (of, groups)
    return found


def runs_of(found: Scores) -> dict[str, list[str]]:
    """The training run of each example of recorded scores: the seed with which its group begins."""
    return {name: [group.split()[0] for group in groups] for name, (_, groups) in found[FULL].items()}


def asked(models: Stages, study: Study, panel: Mapping[str, Sequence[Example]]) -> tuple[Scores, dict[str, str]]:
    """The scores of a lineage's bands, of full tuning and of the model before, and why others are not there.

    Full tuning is the checkpoint "full" that came with the bands, if there is one, and else the lineage's tuned model.
    """
    found, absent = Scores(), dict[str, str]()
    for name in models.bands:
        try:
            vlm = models.band(name)  # one at a time: they need not share memory
        except (VLMError, AdapterError) as error:
            absent[f"the band {name}"] = str(error).rstrip(".")
        else:
            found[name] = _of(vlm, study, panel)
    if FULL not in found:
        found[FULL] = _of(models[models.tuned], study, panel)
    if models.before:
        found[BASELINE] = _of(models[models.before], study, panel)
    return found, absent


def _of(vlm: VLM, study: Study, panel: Mapping[str, Sequence[Example]]) -> dict[str, tuple[np.ndarray, list[str]]]:
    return {name: (scores(vlm, study, of), [e.group for e in of]) for name, of in panel.items()}


def band_rows(found: Scores, seed: int = 0, runs: Mapping[str, Sequence[str]] | None = None) -> list[dict]:
    """{"benchmark", "arm", "score", "full", "minus full", "n"}: in percent and points of it, intervals together.

    One row for each arm but full tuning itself (`own_bands.full_of`: which that is). Scores of benchmarks whose largest
    is not 1 are in percent of it. runs: of each benchmark, the training run of each example, where several were asked.
    """
    arms = [arm for arm in found if arm != FULL]
    names = list(found[FULL]) if arms else []
    beside = {arm: full_of(arm, arms, FULL) for arm in arms}
    families = []
    for name in names:
        groups = found[FULL][name][1]
        minus = np.array([found[arm][name][0] - found[full][name][0] for arm, full in beside.items()])
        minus = minus * 100 / MOST.get(name, 1.0)
        families.append(Family(minus, groups, runs[name] if runs else None, (-100.0, 100.0)))
    differences = simultaneous_intervals(families, seed=seed) if names else []
    return [
        {
            "benchmark": name,
            "arm": arm,
            "score": 100 / MOST.get(name, 1.0) * float(found[arm][name][0].mean()),
            "full": 100 / MOST.get(name, 1.0) * float(found[beside[arm]][name][0].mean()),
            "minus full": difference,
            "n": difference.n,
        }
        for name, of in zip(names, differences, strict=True)
        for arm, difference in zip(arms, of, strict=True)
    ]


def where_full_gains(rows: Sequence[Mapping]) -> list[str]:
    """The benchmarks on which full tuning is ahead of the model before, by `band_rows` with the arm `BASELINE`."""
    return [row["benchmark"] for row in rows if row["arm"] == BASELINE and row["minus full"].high < 0]


def shortfalls(rows: Sequence[Mapping], arm: str, benchmarks: Sequence[str]) -> dict[str, Interval]:
    """Arm minus full tuning (points) on these benchmarks."""
    return {row["benchmark"]: row["minus full"] for row in rows if row["arm"] == arm and row["benchmark"] in benchmarks}
