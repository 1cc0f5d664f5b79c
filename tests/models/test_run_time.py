"""How long a run will take, as far as it can be known."""

import json
import re

import pytest
from test_snakefile import NAMES

from paperlib.models import run_time as module
from paperlib.models.run_time import about, estimate, read_table, record, speed
from paperlib.study.study import PRESETS
from paperlib.study.timings import TimingError

TABLE = [
    {"preset": "mini", "precision": "bfloat16", "tflops": 0.8, "seconds": {"00_a": 60, "01_b": 240}},
    {"preset": "mini", "precision": "float32", "tflops": 0.2, "seconds": {"00_a": 120, "01_b": 480}},
]


def executed(path, duration, cells):
    """A notebook with the metadata that papermill leaves: seconds of the whole and of each cell."""
    code = [{"cell_type": "code", "metadata": {"papermill": {"duration": seconds}}} for seconds in cells]
    path.write_text(json.dumps({"metadata": {"papermill": {"duration": duration}}, "cells": code}))
    return path


def asked_for_nothing():
    raise AssertionError("nothing is measured where nothing can be said")


def test_the_table_that_is_shipped_is_of_the_notebooks():
    """`estimate` names those that an entry lacks: they came after it was measured."""
    entries = read_table()
    assert any(entry["preset"] == "mini" for entry in entries)
    for entry in entries:
        assert entry["preset"] in PRESETS and entry["precision"] in ("bfloat16", "float32") and entry["tflops"] > 0
        assert list(entry["seconds"]) == [name for name in NAMES if name in entry["seconds"]] and all(
            s > 0 for s in entry["seconds"].values()
        )


@pytest.mark.parametrize(
    "probe, total",
    [
        (("bfloat16", 0.8), "5 min"),
        (("bfloat16", 0.08), "50 min"),
        (("bfloat16", 8.0), "1 min"),
        (("float32", 0.2), "10 min"),
        (("float32", 0.05), "40 min"),
    ],
)
def test_times_are_scaled_from_those_in_the_same_precision(probe, total):
    text = estimate("mini", [], ["00_a", "01_b"], TABLE, lambda: probe)
    assert f"about {total} (" in text and f"in {probe[0]}) the notebooks" in text
    assert text.endswith(f"TFLOP/s in {probe[0]}.")


def test_another_precision_serves_where_there_is_no_other():
    text = estimate("mini", [], ["00_a", "01_b"], TABLE[:1], lambda: ("float32", 0.08))
    assert "about 50 min (00: 10 min, 01: 40 min)" in text


def test_only_notebooks_that_will_run_are_counted():
    text = estimate("mini", [], ["01_b", "02_c"], TABLE, lambda: ("bfloat16", 0.8))
    assert "about 4 min (01: 4 min)" in text and "No time was measured for 02_c." in text


@pytest.mark.parametrize(
    "settings, says, not_says",
    [
        (["seed"], [], ["Training", "own"]),
        (["retrain"], ["Training comes on top"], ["own"]),
        (["n_eval", "model"], ["the preset's own n_eval, model;"], ["Training"]),
        (["retrain", "stage1_steps"], ["Training comes on top", "own stage1_steps;"], []),
    ],
)
def test_what_is_not_known_is_said(settings, says, not_says):
    text = estimate("mini", settings, ["00_a"], TABLE, lambda: ("bfloat16", 0.8))
    assert all(word in text for word in says) and not any(word in text for word in not_says)


@pytest.mark.parametrize("preset, gpu", [("gpu", False), ("gpu", True), ("smoke", False), ("mini", True)])
def test_nothing_is_guessed(preset, gpu):
    text = estimate(preset, ["retrain"], ["00_a"], TABLE, asked_for_nothing, gpu)
    assert "is not known" in text and not re.search(r"\d", text)


@pytest.mark.parametrize(
    "seconds, text",
    [
        (1, "1 min"),
        (95, "2 min"),
        (560, "9 min"),
        (580, "10 min"),
        (22 * 60, "20 min"),
        (3500, "1 h"),
        (4000, "1 h 5 min"),
        (11000, "3 h"),
        (11900, "3 h 15 min"),
        (150000, "42 h"),
    ],
)
def test_about(seconds, text):
    assert about(seconds) == text


def test_the_probe_measures():
    precision, tflops = speed(0.01)
    assert precision in ("bfloat16", "float32") and 1e-4 < tflops < 1e3


def test_a_run_is_recorded_in_place_of_an_older_one(tmp_path, monkeypatch):
    folder = tmp_path / "runs" / "mini"
    folder.mkdir(parents=True)
    with pytest.raises(TimingError, match="holds no executed notebooks"):
        record(folder, TABLE)
    executed(folder / "00_a.ipynb", 30.04, [1.0])
    executed(folder / "01_b.partial.ipynb", None, [1.0])  # did not end
    (folder / "parameters.yaml").write_text("preset: mini\nseed: 1\noverrides: {}\n")
    table = record(folder, TABLE, lambda: ("float32", 0.41234))
    assert table == [TABLE[0], {"preset": "mini", "precision": "float32", "tflops": 0.412, "seconds": {"00_a": 30.0}}]
    (folder / "parameters.yaml").write_text("preset: mini\nseed: 1\noverrides: {n_eval: 2}\n")
    with pytest.raises(TimingError, match="n_eval"):
        record(folder, TABLE, asked_for_nothing)
    (folder / "parameters.yaml").write_text("overrides: {}\n")
    monkeypatch.setattr(module, "TABLE", tmp_path / "table.json")
    monkeypatch.setattr(module, "speed", lambda: ("bfloat16", 1.0))
    module.TABLE.write_text("[]")
    module.main(["--record", str(folder)])
    assert json.loads(module.TABLE.read_text())[0]["seconds"] == {"00_a": 30.0}
