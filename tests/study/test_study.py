"""Tests of paperlib.study."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch

from paperlib.models.vlm import VLMError, load_vlm
from paperlib.study.study import CODE_ROOT, PRESETS, Study, StudyError
from paperlib.tasks import benchmarks


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_makes_a_study(preset):
    study = Study.make(preset)
    assert study.preset == preset and study.seed == 0 and study.device == "auto"
    assert study.retrain is (preset == "smoke")  # nothing is shipped for the tiny model
    assert study.model == {"smoke": "tiny", "paper": "llava-1.5-7b"}.get(preset, "mini")


def test_mini_is_the_default_and_overrides_replace_values():
    assert Study.make() == Study.make("mini")
    study = Study.make("mini", seed=3, n_eval=7, model="some/model", retrain=True)
    assert (study.seed, study.n_eval, study.model, study.retrain) == (3, 7, "some/model", True)


def test_none_and_empty_model_mean_the_presets_value():
    assert Study.make("mini", n_eval=None, model="") == Study.make("mini")


@pytest.mark.parametrize(
    "preset, overrides, words",
    [
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
        ("mini", {"device": "cuda:99"}, ["no device 'cuda:99' on this machine", "auto or one of cpu"]),
        ("mini", {"device": "cuda:"}, ["'cuda:'"]),
        ("mini", {"device": "cuda:-1"}, ["'cuda:-1'"]),
        ("mini", {"device": 0}, ["device must be a str, got int 0"]),
        ("mini", {"seed": 2**32}, ["seed must be at most 4,294,967,295, got 4294967296"]),
        ("mini", {"seed": 10**5000}, ["seed must be at most", "a number of 16610 bits"]),
        ("mini", {"n_eval": 10**12}, ["n_eval must be at most 100,000"]),
        ("mini", {"stage2_steps": 10**12}, ["stage2_steps must be at most 10,000,000"]),
        ("mini", {"batch_size": 10**9}, ["batch_size must be at most 10,000"]),
        ("mini", {"lora_rank": 10**9}, ["lora_rank must be at most 10,000"]),
        ("mini", {"n_eval": np.int64(3)}, ["n_eval must be an int, got int64"]),
        ("mini", {"n_eval": [3]}, ["n_eval must be an int, got list [3]"]),
        ("mini", {"n_eval": {"a": 1}}, ["n_eval must be an int, got dict"]),
        ("mini", {"seed": float("nan")}, ["seed must be an int, got float nan"]),
        ("mini", {"model": np.zeros((40, 40))}, ["model must be a str, got ndarray"]),
        ("mini", {"model": 3}, ["model must be a str, got int 3"]),
        ("mini", {"retrain": np.True_}, ["retrain must be a bool"]),
        ("mini", {"retrain": 1}, ["retrain must be a bool, got int 1"]),
        (np.zeros((3, 3)), {}, ["no preset ndarray of shape [3, 3]"]),
        ("x" * 10**5, {}, ["no preset 'xxx"]),
    ],
)
def test_bad_parameters_get_one_sentence(preset, overrides, words):
    with pytest.raises(StudyError) as caught:
        Study.make(preset, **overrides)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message and message.endswith(".") and len(message) < 350


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:7", "mps"])
def test_a_device_that_is_not_there_is_refused_before_anything_is_computed(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for call, error in (
        (lambda: Study.make("mini", device=device), StudyError),
        (lambda: load_vlm("tiny", device), VLMError),
    ):
        with pytest.raises(
            error, match=f"^There is no device '{device}' on this machine: choose auto or one of cpu\\.$"
        ):
            call()


def test_devices_that_are_there_are_taken(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for device in ("auto", "cpu", "cuda", "cuda:1"):
        assert Study.make("mini", device=device).device == device
    with pytest.raises(StudyError, match="choose auto or one of cpu, cuda:0, cuda:1"):
        Study.make("mini", device="cuda:2")


def test_the_largest_numbers_are_taken():
    study = Study.make("mini", seed=2**32 - 1, n_eval=10**5)
    np.random.RandomState(study.seed)  # what scikit-learn makes of a seed
    assert study.n_eval == benchmarks.MOST


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
    code = "import sys, paperlib.study, paperlib.study.results, paperlib.tasks.assets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=CODE_ROOT).returncode == 0


def test_runs_of_different_models_never_share_a_folder():
    models = ["a/b", "a_b", "a b", "a__b", "/a/b", "a/b/", ".", "..", "/", " ", "é/ü", "\ud800", "x" * 300, "x" * 301]
    names = [Study.make("smoke", model=model).run for model in models]
    assert len(set(names)) == len(names)
    assert all(name.isprintable() and "/" not in name and len(name.encode()) < 200 for name in names)
    assert Study.make("mini", model="tiny", seed=1).run == "mini-tiny-seed1"
