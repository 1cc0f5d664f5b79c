"""The stages of tuning on each benchmark, what the picture adds, and both ways of scoring: tables of notebook 06."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from paperlib.models.vlm import VLM
from paperlib.scoring.benchmark_scores import (
    MOST,
    by_replies,
    guessing,
    part_of,
    pictured,
    replies,
    score_interval,
    scores,
    spread,
)
from paperlib.scoring.both_ways import agreement
from paperlib.scoring.evaluation import ask
from paperlib.stats.interval import Interval
from paperlib.stats.multiplicity import Family, simultaneous_intervals
from paperlib.study.study import Study
from paperlib.tasks.benchmarks import PUBLIC, Example
from paperlib.tuning.lineage_stages import Stages

HALF, QUARTER = 0.5, 0.25  # the share of the examples that the stage before and the untrained one are asked
POINTS = (-100.0, 100.0)  # between which differences lie
CONTROLS = {"another picture": "other", "blank picture": "blank", "no picture": "none"}
_MODULES = {module.CARD.name: module for module in PUBLIC.values()}


@dataclass(frozen=True)
class Scored:
    """The examples of a benchmark that a model was asked, and the score of each, [n]."""

    examples: list[Example]
    scores: np.ndarray


def ask_benchmarks(
    models: Stages, study: Study, panel: Mapping[str, Sequence[Example]]
) -> dict[str, dict[str, Scored]]:
    """{stage: {benchmark: what it scored}}: the tuned model is asked everything, the one before half, others a quarter.

    Benchmarks that are scored by what a model writes are asked a quarter of that: writing takes a pass for each token.
    """
    found: dict[str, dict[str, Scored]] = {}
    for stage in models.names:
        share = {models.tuned: 1.0, models.before: HALF}.get(stage, QUARTER)
        for name, examples in panel.items():
            some = part_of(examples, share * (QUARTER if by_replies(name) else 1))
            found.setdefault(stage, {})[name] = Scored(some, scores(models[stage], study, some))
    return found


def stage_rows(found: Mapping[str, Mapping[str, Scored]], seed: int = 0) -> list[dict]:
    """{"benchmark", "stage", "score", "chance", "by", "n"}: the mean score of each stage as a share of the largest."""
    return [
        {
            "benchmark": name,
            "stage": stage,
            "score": score_interval(name, of.scores, of.examples, seed).scaled(1 / MOST.get(name, 1.0)),
            "chance": guessing(name, of.examples),
            "by": "replies" if by_replies(name) else "choices",
            "n": len(of.examples),
        }
        for stage, benchmarks in found.items()
        for name, of in benchmarks.items()
    ]


def gains(after: Mapping[str, Scored], before: Mapping[str, Scored], seed: int = 0) -> dict[str, Interval]:
    """After minus before by benchmark, in points, on the examples that both were asked; intervals hold together."""
    families = []
    for name, of in before.items():
        known = dict(zip((e.id for e in after[name].examples), after[name].scores, strict=True))
        minus = np.array([known[e.id] for e in of.examples]) - of.scores
        families.append(Family(100 / MOST.get(name, 1.0) * minus[None], [e.group for e in of.examples], limits=POINTS))
    found = simultaneous_intervals(families, seed=seed)
    return {name: interval for name, [interval] in zip(before, found, strict=True)}


def picture_rows(vlm: VLM, study: Study, panel: Mapping[str, Sequence[Example]]) -> list[dict]:
    """{"benchmark", "own picture", one column for each of `CONTROLS`, "n"}: what the own picture adds to each control.

    "own picture" is the mean score in percent; the others are own minus control in points, on 0.6 times the study's
    examples of a kind, about as many pictures as possible; a quarter of that where the model writes. Intervals hold
    together over benchmarks and controls.
    """
    rows, families = [], list[Family]()
    for name, of in pictured(panel).items():
        some = spread(of, max(2, round(0.6 * study.n_eval * (QUARTER if by_replies(name) else 1))))
        own = scores(vlm, study, some)
        unit, groups = 100 / MOST.get(name, 1.0), [example.group for example in some]
        minus = np.array([own - scores(vlm, study, some, images) for images in CONTROLS.values()])
        families.append(Family(unit * minus, groups, limits=POINTS))
        rows.append({"benchmark": name, "own picture": unit * float(own.mean())})
    found = simultaneous_intervals(families, seed=study.seed) if families else []
    return [
        row | dict(zip(CONTROLS, intervals, strict=True)) | {"n": intervals[0].n}
        for row, intervals in zip(rows, found, strict=True)
    ]


def both_ways_rows(vlm: VLM, study: Study, panel: Mapping[str, Sequence[Example]]) -> list[dict]:
    """{"benchmark", what `both_ways.agreement` finds, "n"}, as shares, on as many as `picture_rows` asks."""
    rows = []
    for name, of in panel.items():
        words = [e for e in of if e.choices and max(len(c.split()) for c in e.choices) == 1]
        some = spread(words, max(2, round(0.6 * study.n_eval)))
        if not some:
            continue
        module = _MODULES.get(name)
        found = agreement(
            some, ask(vlm, study, some), replies(vlm, study, some), module and module.score, seed=study.seed
        )
        rows.append({"benchmark": name} | found | {"n": len(some)})
    return rows
