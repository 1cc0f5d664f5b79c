"""The stages of any model: which there are, why others are not, and which of them wait in the host's memory."""

import pytest
import torch

from paperlib.models.lineages import LineageError
from paperlib.models.vlm import VLM
from paperlib.study.study import Study
from paperlib.tuning.lineage_stages import Stages, stages_of
from paperlib.tuning.stages import BEFORE_ONLY, load_stage, stage_names


def study_of(model):
    return Study.make("smoke", model=model, n_eval=2, retrain=False)


@pytest.mark.parametrize(
    "model, before, missing",
    [
        ("llava-1.5-7b", "stage 1", {"records of training"}),
        ("smolvlm-256m", BEFORE_ONLY, {"records of training", "stage 1"}),
        ("gemma-3-4b", None, {"records of training", "the stage before tuning"}),
    ],
)
def test_which_stages_there_are_and_why_others_are_not(hub, model, before, missing):
    models = stages_of(study_of(model))
    assert models.names == tuple(name for name in ("untrained", before, "tuned") if name) == tuple(models)
    assert models.before == before and set(models.missing) == missing and not models.trained_here
    assert models.trained == models.names[1:] and all(isinstance(models[name], VLM) for name in models)
    assert models["tuned"] is models["tuned"]
    with pytest.raises(KeyError):
        models["stage 2"]


def test_confounds_are_named(hub):
    llava, smol = stages_of(study_of("llava-1.5-7b")), stages_of(study_of("smolvlm-256m"))
    assert not llava.caveat and "vision tower tuned too" in smol.caveat
    assert any("tuned connector" in sentence for sentence in smol.confounds)
    smol[BEFORE_ONLY]
    assert any("rows of the vocabulary" in sentence for sentence in smol.confounds)


def test_the_mini_and_the_tiny_model_are_lineages_among_others(study):
    models = stages_of(study)
    assert models.names == ("untrained", "stage 1", "tuned") and models.trained_here and not models.missing
    assert not models.caveat and models.confounds == [] and stage_names(models.lineage) == models.names


def test_a_fresh_model_of_a_stage(hub):
    one, other = (load_stage(study_of("llava-1.5-7b"), "stage 1") for _ in range(2))
    assert next(one.model.parameters()).data_ptr() != next(other.model.parameters()).data_ptr()


def test_the_longest_unused_leaves_a_device_that_is_full(hub, monkeypatch):
    """The device here is "meta": moves are recorded, so that the order of moves is what is tested."""
    models = Stages(study_of("llava-1.5-7b"), free=lambda device: 0)
    loaded = {name: models[name] for name in models}
    moves = []
    for name, vlm in loaded.items():
        monkeypatch.setattr(vlm.model, "to", lambda device, name=name: moves.append((name, str(device))))
    monkeypatch.setattr("paperlib.tuning.lineage_stages.chosen_device", lambda device: "meta")
    monkeypatch.setattr(VLM, "device", property(lambda self: torch.device("meta")))
    models["untrained"]
    assert moves == [("stage 1", "cpu"), ("tuned", "cpu"), ("untrained", "meta")]
    moves.clear()
    models._free = lambda device: 2**40
    models["tuned"]
    assert moves == [("tuned", "meta")]


def test_a_model_that_is_none():
    with pytest.raises(LineageError, match="There is no model 'lava'"):
        stages_of(study_of("lava"))
