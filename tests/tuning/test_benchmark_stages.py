"""Stages on benchmarks: who is asked how much, paired gains, what a picture adds, and both ways of scoring."""

import numpy as np
import pytest

from paperlib.models.vlm import load_vlm
from paperlib.scoring.benchmark_scores import by_replies, scores, spread
from paperlib.study.study import Study
from paperlib.tasks.benchmarks import load
from paperlib.tuning.benchmark_stages import (
    CONTROLS,
    Scored,
    ask_benchmarks,
    both_ways_rows,
    gains,
    picture_rows,
    stage_rows,
)
from paperlib.tuning.lineage_stages import stages_of

PANEL = {name: load(name, "test", 8) for name in ("pope", "describe", "text")}


@pytest.fixture
def asked(hub, study):
    here = Study.make("smoke", model="llava-1.5-7b", n_eval=8, retrain=False)
    models = stages_of(here)
    return ask_benchmarks(models, here, PANEL), models, here


def test_stages_are_asked_as_much_as_they_must_be(asked):
    found, models, here = asked
    sizes = {stage: [len(of.examples) for of in benchmarks.values()] for stage, benchmarks in found.items()}
    assert sizes == {"untrained": [6, 2, 4], "stage 1": [12, 2, 8], "tuned": [24, 2, 16]}
    rows = stage_rows(found)
    assert [(r["benchmark"], r["by"]) for r in rows[:2]] == [("pope", "choices"), ("describe", "replies")]
    assert rows[0]["chance"] == 0.5 and rows[1]["chance"] is None
    tuned = next(r for r in rows if r["stage"] == "tuned" and r["benchmark"] == "pope")
    assert tuned["score"].value == pytest.approx(scores(models["tuned"], here, PANEL["pope"]).mean())


def test_gains_pair_the_questions_that_both_were_asked():
    some = load("pope", "test", 4)
    after = Scored(some, np.arange(12) % 2.0)
    before = Scored(some[::-1][:6], np.zeros(6))  # in another order, and fewer
    found = gains({"pope": after}, {"pope": before})["pope"]
    assert found.value == pytest.approx(100 * after.scores[6:].mean()) and found.n == 6


def test_what_the_picture_adds_is_own_minus_control(asked):
    _, models, here = asked
    rows = picture_rows(models["tuned"], here, PANEL)
    assert [r["benchmark"] for r in rows] == ["pope", "describe"] and not by_replies("pope")
    some = spread(PANEL["pope"], 5)
    own, none = (scores(models["tuned"], here, some, images) for images in ("own", "none"))
    assert set(CONTROLS) < set(rows[0]) and rows[0]["n"] == 5
    assert rows[0]["no picture"].value == pytest.approx(100 * (own - none).mean())
    assert rows[0]["own picture"] == pytest.approx(100 * own.mean())


def test_both_ways_are_asked_where_choices_are_words(study):
    rows = both_ways_rows(load_vlm("tiny", "cpu"), study, PANEL)
    assert [r["benchmark"] for r in rows] == ["pope", "text"] and rows[0]["n"] == 2
    assert {"choices", "replies", "same choice", "unreadable"} <= set(rows[0])
