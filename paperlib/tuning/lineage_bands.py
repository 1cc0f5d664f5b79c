"""Bands of a lineage, tuned by others or here (`own_bands`), asked beside full tuning and the model before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from paperlib.models.adapter_files import AdapterError
from paperlib.models.input_checks import VLMError
from paperlib.models.vlm import VLM
from paperlib.scoring.evaluation import evaluate
from paperlib.stats.bootstrap import Interval
from paperlib.stats.words import listed
from paperlib.study.study import Study
from paperlib.tasks.benchmarks import ASKED_SUITES
from paperlib.tuning.arms import BASELINE
from paperlib.tuning.band_results import FULL, BandResults
from paperlib.tuning.band_runs import Answer
from paperlib.tuning.lineage_stages import Stages
from paperlib.tuning.own_bands import full_of


def ask_bands(
    models: Stages, study: Study, share: float = 0.5, bands: Iterable[str] | None = None
) -> tuple[BandResults, dict[str, str]]:
    """The answers of a lineage's bands, of full tuning and of the model before, and why others are not there.

    Full tuning is the checkpoint "full" that came with the bands, if there is one, and else the lineage's tuned model:
    bands are to be compared with what their own makers tuned in full. share: of the study's questions of each kind.
    bands: by default all that the models have.
    """
    runs, absent = list[dict](), dict[str, str]()
    for name in models.bands if bands is None else bands:
        try:
            vlm = models.band(name)  # one at a time: they need not share memory
        except (VLMError, AdapterError) as error:
            absent[f"the band {name}"] = str(error).rstrip(".")
        else:
            runs.append(_run(name, vlm, study, share))
    if FULL not in (run["arm"] for run in runs):
        runs.append(_run(FULL, models[models.tuned], study, share))
    if models.before:
        runs.append(_run(BASELINE, models[models.before], study, share))
    return BandResults(runs, study.seed), absent


def rows_of_bands(results: BandResults) -> list[dict]:
    """A row for each arm: its accuracy (%), accuracy minus full tuning's (points), what it keeps and gains (%).

    Bands that were tuned here stand beside full tuning that was done here in the same way, if there is such an arm.
    """
    arms = list(dict.fromkeys(run["arm"] for run in results.runs))
    rows = []
    for arm in arms:
        other, full = arm != FULL, full_of(arm, arms, FULL)
        based = other and BASELINE in arms and arm != BASELINE
        rows.append(
            {
                "arm": arm,
                "accuracy": 100 * results.accuracy(arm),
                "minus full": results.minus(arm, full).scaled(100) if other else None,
                "keeps": _percent(results.keeps(arm, full=full)) if other else None,
                "gains": _percent(results.gains(arm, full=full)) if based else None,
            }
        )
    return rows


def said_of_bands(rows: list[Mapping]) -> str:
    """One sentence with what each arm keeps of full tuning's accuracy."""
    parts = [f"*{row['arm']}* {row['keeps']:.0f} %" for row in rows if row["keeps"] is not None]
    return f"Of full tuning's accuracy, {listed(parts)} are kept."


def _percent(share: Interval | None) -> Interval | None:
    return None if share is None else share.scaled(100)


def _run(arm: str, vlm: VLM, study: Study, share: float) -> dict:
    n = max(2, round(share * study.n_eval))
    answers = [
        Answer(f"{study.seed} {suite} {r.id}", r.kind, suite, f"{study.seed} {r.group}", r.correct)
        for suite in ASKED_SUITES
        for r in evaluate(vlm, study, suite, n=n)
    ]
    return {"arm": arm, "seed": study.seed, "answers": answers, "other": [], "loss": []}
