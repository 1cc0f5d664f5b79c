"""Bands by benchmark: recorded answers are parted by benchmark, published ones asked, differences hold together."""

import numpy as np
import pytest

from paperlib.models.lineages import lineage_of
from paperlib.study.study import Study
from paperlib.tasks.benchmarks import BENCHMARKS, load
from paperlib.tuning.band_results import BandResults
from paperlib.tuning.band_runs import Answer, read_reference
from paperlib.tuning.benchmark_bands import (
    asked,
    band_rows,
    benchmark_of,
    recorded,
    runs_of,
    shortfalls,
    where_full_gains,
)
from paperlib.tuning.lineage_stages import stages_of


def answer(seed, benchmark, number, right, split="test"):
    identity = f"{seed} held-out concepts {benchmark}/{split}/easy yes/no/{seed}/{number}"
    return Answer(identity, "easy yes/no", "held-out concepts", f"{seed} {benchmark} {number}", right)


def run(arm, seed, share):
    """Right on a share of 40 charts and on half of 40 scenes."""
    charts = [answer(seed, "charts", i, i < 40 * share) for i in range(40)]
    return {"arm": arm, "seed": seed, "answers": charts + [answer(seed, "scenes", i, i % 2 == 0) for i in range(40)]}


RESULTS = BandResults(
    [run(arm, seed, share) for seed in (0, 1) for arm, share in (("stage 1", 0.2), ("full", 0.9), ("mid", 0.6))]
    + [run("complement", 0, 0.9)]
)


def test_a_benchmark_is_named_by_the_id_and_what_was_held_out_is_apart():
    assert benchmark_of(answer(3, "pope", 1, True)) == "pope"
    assert benchmark_of(answer(3, "scenes", 1, True, "held-out")) == "scenes, held-out"


def test_the_recorded_answers_of_mini_are_of_known_benchmarks():
    answers = BandResults(read_reference(Study.make("mini"))).answers("full").values()
    found = {benchmark_of(answer) for answer in answers}
    assert found == {*BENCHMARKS} - {"describe"} | {f"{name}, held-out" for name in ("scenes", "knowledge", "text")}


def test_recorded_answers_by_benchmark():
    found = recorded(RESULTS)
    assert list(found) == ["stage 1", "full", "mid"]  # complement was not asked on all seeds
    values, groups = found["mid"]["charts"]
    assert values.mean() == pytest.approx(0.6) and len(groups) == 80
    assert runs_of(found)["charts"].count("1") == 40


def test_rows_by_hand_and_the_rule_of_where_full_gains():
    found = recorded(RESULTS)
    rows = band_rows(found, runs=runs_of(found))
    mid = next(r for r in rows if r["arm"] == "mid" and r["benchmark"] == "charts")
    assert (mid["score"], mid["full"], mid["minus full"].value) == pytest.approx((60, 90, -30)) and mid["n"] == 80
    assert where_full_gains(rows) == ["charts"]
    assert list(shortfalls(rows, "mid", ["charts"])) == ["charts"] and shortfalls(rows, "mid", []) == {}
    alone = band_rows({arm: {"charts": of["charts"]} for arm, of in found.items() if arm != "stage 1"})
    assert alone[0]["minus full"].low > mid["minus full"].low  # one difference needs no correction
    assert band_rows({"full": found["full"]}) == []


def test_published_bands_are_asked_and_others_named(hub, study):
    here = Study.make("smoke", model="llava-1.5-7b", n_eval=2, retrain=False)
    panel = {"pope": load("pope", "test", 2)}
    found, absent = asked(stages_of(here), here, panel)
    named = {what.removeprefix("the band ") for what in absent}
    assert {"full", "stage 1"} <= set(found) and set(found) - {"stage 1"} | named == {
        *lineage_of(here.model).bands,
        "full",
    }
    assert all(
        values["pope"][0].shape == (6,) and set(np.unique(values["pope"][0])) <= {0, 1} for values in found.values()
    )
