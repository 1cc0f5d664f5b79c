"""Tests of paperlib.study."""

import dataclasses
import subprocess
import sys

import pytest

from paperlib.study import CODE_ROOT, PRESETS, Study, StudyError


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_makes_a_study(preset):
    study = Study.make(preset)
    assert study.preset == preset and study.seed == 0 and study.device == "auto"
    assert study.retrain is (preset == "smoke")  # nothing is shipped for the tiny model
    assert study.model == ("tiny" if preset == "smoke" else "mini")


def test_mini_is_the_default_and_overrides_replace_values():
    assert Study.make() == Study.make("mini")
    study = Study.make("mini", seed=3, n_eval=7, model="some/model", retrain=True)
    assert (study.seed, study.n_eval, study.model, study.retrain) == (3, 7, "some/model", True)


def test_none_and_empty_model_mean_the_presets_value():
    assert Study.make("mini", n_eval=None, model="") == Study.make("mini")


@pytest.mark.parametrize("preset, overrides, words", [
    ("large", {}, ["'large'", "smoke, mini, gpu"]),
    (["mini"], {}, ["['mini']", "smoke, mini, gpu"]),
    ("mini", {"n_evals": 3}, ["'n_evals'", "n_eval", "retrain"]),
    ("mini", {"retrain": "true"}, ["retrain must be a bool, got str 'true'", "YAML"]),
    ("mini", {"n_eval": "3"}, ["n_eval must be an int, got str '3'", "YAML"]),
    ("mini", {"seed": True}, ["seed must be an int, got bool True"]),
    ("mini", {"n_eval": 2.5}, ["n_eval must be an int, got float 2.5"]),
    ("mini", {"n_eval": 0}, ["n_eval must be at least 1, got 0"]),
    ("mini", {"stage2_steps": 100}, ["matching_steps must be less than stage2_steps", "400 of 100"]),
    ("mini", {"matching_steps": -1}, ["matching_steps must be at least 0"]),
    ("mini", {"seed": -1}, ["seed must be at least 0, got -1"]),
    ("mini", {"device": "tpu"}, ["'tpu'", "cpu", "cuda"]),
])
def test_bad_parameters_get_one_sentence(preset, overrides, words):
    with pytest.raises(StudyError) as caught:
        Study.make(preset, **overrides)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message and message.endswith(".")


def test_frozen_and_json_able():
    study = Study.make("smoke")
    with pytest.raises(dataclasses.FrozenInstanceError):
        study.seed = 1
    assert study.as_dict()["preset"] == "smoke"
    assert all(isinstance(value, (str, int, bool)) for value in study.as_dict().values())


def test_paths_follow_paperlib_root(tmp_path, monkeypatch):
    study = Study.make("smoke")
    monkeypatch.delenv("PAPERLIB_ROOT", raising=False)
    assert study.root == CODE_ROOT and (study.root / "paperlib").is_dir()
    monkeypatch.setenv("PAPERLIB_ROOT", str(tmp_path))
    assert study.figures == tmp_path / "figures" / "smoke"
    assert study.adapters == tmp_path / "data" / "adapters"
    assert study.cache == tmp_path / "data" / "cache"


def test_study_and_results_do_not_import_torch():
    code = "import sys, paperlib.study, paperlib.results, paperlib.assets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=CODE_ROOT).returncode == 0
