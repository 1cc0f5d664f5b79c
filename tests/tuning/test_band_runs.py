"""The band comparison: it resumes, merges seeds and arms, and its file says what was answered."""

import os
import re
import subprocess
import sys

import pytest
from small_models import one_sentence

from paperlib.models.adapter_files import AdapterError
from paperlib.study.results import ResultError
from paperlib.study.study import CODE_ROOT, Study, StudyError
from paperlib.tasks.benchmarks import ASKED_SUITES
from paperlib.tuning import band_runs as reference
from paperlib.tuning import stages as recipe
from paperlib.tuning.arms import ARMS, BASELINE, SWEEPS
from paperlib.tuning.band_runs import (
    Answer,
    _pack,
    _unpacked,
    evaluate_arm,
    main,
    read_reference,
    reference_file,
    run_comparison,
)
from paperlib.tuning.train_config import TrainingError


@pytest.fixture
def quick(study, monkeypatch):
    monkeypatch.setattr(reference, "ASKED_SUITES", ("outside",))
    recipe.tune(study, progress=False)
    return study


def test_a_run_is_written_read_and_merged(quick, monkeypatch):
    path = run_comparison(quick, [0], ["mid"], progress=False)
    assert path == reference_file(quick)
    first = {(r["arm"], r["seed"]): r for r in read_reference(quick)}
    assert set(first) == {(BASELINE, 0), ("mid", 0)}
    live = evaluate_arm(quick, "mid")
    assert first["mid", 0]["answers"] == live and len(first["mid", 0]["loss"]) == quick.band_steps
    assert first["mid", 0]["other"] == evaluate_arm(quick, "mid", 0.25, "other") != []
    assert first[BASELINE, 0]["loss"] == []
    monkeypatch.setattr(
        reference, "evaluate_arm", lambda study, name, *how: pytest.fail("asked again") if name == "mid" else live
    )
    run_comparison(quick, [0], ["late", "from 1/2"], progress=False)
    run_comparison(quick, [0], ["mid"], progress=False)
    again = {(r["arm"], r["seed"]): r for r in read_reference(quick)}
    assert set(again) == {(BASELINE, 0), ("mid", 0), ("late", 0), ("from 1/2", 0)}
    assert again["mid", 0] == first["mid", 0] and again["from 1/2", 0]["answers"] == again["late", 0]["other"] == []


def test_other_code_asks_again(quick, monkeypatch):
    run_comparison(quick, [0], ["mid"], progress=False)
    asked, whole = [], reference.evaluate_arm
    monkeypatch.setattr(
        reference, "evaluate_arm", lambda study, name, *how: asked.append(name) or whole(study, name, *how)
    )
    run_comparison(quick, [0], ["mid"], progress=False)
    assert asked == []
    monkeypatch.setattr(reference, "code_digest", lambda module: "another")
    run_comparison(quick, [0], ["mid"], progress=False)
    assert asked == [BASELINE, BASELINE, "mid", "mid"], "about their own pictures, then about others"


def test_other_pictures_are_another_questions(quick, monkeypatch):
    seen = []
    whole = reference.evaluate
    monkeypatch.setattr(reference, "ASKED_SUITES", ("outside", "text"))
    monkeypatch.setattr(
        reference,
        "evaluate",
        lambda vlm, study, suite, images="own", n=None: (
            seen.append((suite, images)) or whole(vlm, study, suite, images, n=n)
        ),
    )
    assert {a.suite for a in evaluate_arm(quick, BASELINE, 0.5)} == {"outside", "text"}
    assert {a.suite for a in evaluate_arm(quick, BASELINE, 0.5, "other")} == {"outside"}, "no picture, none to exchange"
    assert seen == [("outside", "own"), ("text", "own"), ("outside", "other")]


def test_seeds_stand_beside_each_other(quick):
    run_comparison(quick, [0, 1], ["mid"], progress=False)
    found = read_reference(quick)
    assert [(r["arm"], r["seed"]) for r in found] == [(BASELINE, 0), ("mid", 0), (BASELINE, 1), ("mid", 1)]
    ids = [a.id for r in found if r["arm"] == "mid" for a in r["answers"]]
    assert len(set(ids)) == len(ids)
    assert found[1]["loss"] != found[3]["loss"]


def test_files_of_earlier_names_are_read():
    answers = [Answer("0 pope x", "colour", "pope", "0 g", True)]
    packed = _pack(answers)
    assert _unpacked(packed) == answers
    assert _unpacked({"benchmark" if key == "suite" else key: column for key, column in packed.items()}) == answers


def test_the_shipped_results_load_by_their_present_names():
    runs = read_reference(Study.make("mini"))
    assert {r["arm"] for r in runs} == {BASELINE, *ARMS, *SWEEPS}
    assert {r["seed"] for r in runs if r["arm"] == "mid, late entry"} == {0, 1, 2}
    assert {a.suite for r in runs for a in r["answers"]} == set(ASKED_SUITES)


def test_without_results_it_says_how_to_make_them(study):
    with pytest.raises(ResultError) as error:
        read_reference(study)
    assert "paperlib.tuning.band_runs smoke" in one_sentence(error.value)


def test_the_command_line_needs_a_preset():
    with pytest.raises(SystemExit, match="Name a preset"):
        main([])


@pytest.mark.parametrize(
    "words, told",
    [
        (["smoke", "0", "mid;middle"], "no arm 'middle'"),
        (["smoke", "0 1"], "whole numbers"),
        (["small"], "small"),
        (["smoke", "0,0"], "seed 0 is named twice"),
        (["smoke", "0,00"], "named twice"),
        (["smoke", "²"], "whole numbers"),
        (["smoke", "٣"], "whole numbers"),
        (["smoke", ""], "whole numbers"),
        (["smoke", "0,"], "whole numbers"),
        (["smoke", "-1"], "whole numbers"),
        (["smoke", "1.0"], "whole numbers"),
        (["smoke", "4294967296"], "to 4294967295"),
        (["smoke", "9" * 5000], "whole numbers"),
        (["smoke", "0", "mid;mid"], "'mid' is named twice"),
        (["smoke", "0", ""], "no arm ''"),
        (["smoke", "0", "none"], "no arm 'none'"),
    ],
)
def test_a_slip_on_the_command_line_trains_nothing(study, monkeypatch, words, told):
    monkeypatch.setattr(reference, "tune", lambda *_: pytest.fail("began"))
    with pytest.raises(SystemExit) as error:
        main(words)
    assert told in one_sentence(error.value)


@pytest.mark.parametrize("seeds", [[], [0, 0], [-1], [2**32], [True], [0.0], ["0"]])
def test_bad_seeds_train_nothing(study, monkeypatch, seeds):
    monkeypatch.setattr(reference, "tune", lambda *_: pytest.fail("began"))
    with pytest.raises(StudyError) as error:
        run_comparison(study, seeds, ["mid"], progress=False)
    assert "seed" in one_sentence(error.value)


@pytest.mark.parametrize("words", [["smoke", "0,0"], ["smoke", "²"], ["small"], []])
def test_a_slip_is_told_before_torch_loads(words):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "paperlib.tuning.band_runs", *words],
        cwd=CODE_ROOT,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    told = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert done.returncode == 1 and len(told) == 1 and told[0].endswith(".")
    assert "| torch" not in re.sub(r"\| +", "| ", done.stderr)


@pytest.mark.parametrize(
    "error",
    [
        AdapterError("This is one sentence."),
        TrainingError("This is one sentence."),
        OSError(28, "No space left on device", "data/reference/smoke.json"),
    ],
)
def test_what_stops_a_run_is_told_in_one_sentence(study, monkeypatch, error):
    def stop(*_):
        raise error

    monkeypatch.setattr(reference, "tune", stop)
    with pytest.raises(SystemExit) as told:
        main(["smoke", "0", "mid"])
    assert one_sentence(told.value)
