"""The stages side by side, on the tiny model."""

import pytest

from paperlib.models.vlm import load_vlm
from paperlib.stats.accuracy import summarize
from paperlib.stats.bootstrap import Interval
from paperlib.study.study import CODE_ROOT, Study
from paperlib.tasks.conversations import conversation
from paperlib.tuning import stage_scores
from paperlib.tuning.lineage_stages import Stages
from paperlib.tuning.stage_scores import (
    CONDITIONS,
    TARGETS,
    TEXT_MARGIN,
    ask_conditions,
    judge,
    packed_turns,
    training_rows,
)
from paperlib.tuning.stages import FOLDERS, training_record


def test_training_rows_are_what_the_shipped_records_say(monkeypatch):
    monkeypatch.setenv("PAPERLIB_ROOT", str(CODE_ROOT))
    records = {stage: training_record(Study.make("mini"), stage) for stage in FOLDERS}
    first, second = training_rows(records)
    assert first["rate, LLM"] is None and first["LoRA rank"] is None and first["steps of matching"] == 0
    assert second["LoRA rank"] == records["tuned"]["recipe"]["rank"] and second["steps of matching"] > 0
    loss = records["tuned"]["loss"]
    assert second["loss at first"] > second["loss at last"] == pytest.approx(sum(loss[-10:]) / 10)


def test_a_packed_conversation_keeps_its_first_turns():
    talk = conversation(0, 0)
    drawn = packed_turns(load_vlm("tiny"), talk, turns=3)
    assert drawn["turns"] == [f"{q} {a}" for q, a in talk.turns[:3]]
    assert sorted(set(drawn["branch"])) == [0, 1, 2, 3] and drawn["branch"] == sorted(drawn["branch"])


def test_conditions_ask_the_same_kinds(study, monkeypatch):
    vlm = load_vlm("tiny")
    own = stage_scores.evaluate(vlm, study, "pictures")
    found = ask_conditions(vlm, study, own)
    assert list(found) == list(CONDITIONS)
    kinds = [set(summarize(records)) for records in found.values()]
    assert all(k == kinds[0] for k in kinds) and {"colour", "name"} <= kinds[0] and "swap" not in kinds[0]
    assert {r.id for r in found["blank picture"]} <= {r.id for r in found["its own picture"]}


def test_stages_are_asked_in_their_shares(study, monkeypatch):
    asked = []
    monkeypatch.setattr(stage_scores, "evaluate", lambda vlm, study, suite, n=None: asked.append((vlm, suite, n)) or [])

    class Named(Stages):
        def __getitem__(self, name):
            return name

    study = Study.make("mini", n_eval=8)
    found = stage_scores.ask_stages(Named(study), study)
    assert set(found["untrained"]) == {"pictures"} and set(found["tuned"]) == {"pictures", *stage_scores.FAR}
    assert {(s, n) for s, suite, n in asked if suite == "pictures"} == {("untrained", 2), ("stage 1", 4), ("tuned", 8)}
    assert all(n is None for _, suite, n in asked if suite == "text")


def test_the_rules():
    def accuracies(value, low, high):
        return {kind: Interval(value, low, high, 40) for kind in TARGETS}

    good, poor = accuracies(0.95, 0.9, 1.0), accuracies(0.4, 0.3, 0.5)
    shown = {"its own picture": good, "another picture": poor, "blank picture": poor}
    rows = judge(shown, Interval(-TEXT_MARGIN, -0.1, 0.1, 40), "stage 1")
    assert all(row["reached"] for row in rows) and [row["apart"] for row in rows] == [True] * len(TARGETS) + [None]
    rows = judge(shown | {"blank picture": good}, Interval(-TEXT_MARGIN - 0.01, -0.1, 0.1, 40), "stage 1")
    assert not rows[-1]["reached"] and not any(row["apart"] for row in rows)
    rows = judge(shown | {"its own picture": accuracies(0.85, 0.8, 0.95)}, Interval(0.0, -0.1, 0.1, 40), "stage 1")
    assert {row["rule"]: row["reached"] for row in rows}["name"] is True
    assert not any(row["reached"] for row in rows if row["rule"] in ("colour", "count", "existence", "shape"))
    assert [row["rule"] for row in judge(shown, None, None)] == list(TARGETS)  # no stage before, no rule about text
