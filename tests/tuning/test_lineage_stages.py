"""The stages of any model: which there are, why others are not, and which of them wait in the host's memory."""

import pytest
import torch
from pretended import Pretended, size
from small_models import logits, one_sentence, picture

from paperlib.models.input_checks import VLMError
from paperlib.models.lineages import LineageError
from paperlib.models.parts import vision_parameters
from paperlib.models.vlm import VLM
from paperlib.study.study import Study
from paperlib.tuning.lineage_stages import Stages, stages_of
from paperlib.tuning.stages import BEFORE_ONLY, load_band, load_stage, stage_names, tune


@pytest.fixture
def tuned_study(study):
    tune(study, progress=False)
    return study


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
    assert any("rows of the vocabulary" in sentence for sentence in smol.confounds)


def test_the_mini_and_the_tiny_model_are_lineages_among_others(study):
    models = stages_of(study)
    assert models.names == ("untrained", "stage 1", "tuned") and models.trained_here and not models.missing
    assert not models.caveat and models.confounds == [] and stage_names(models.lineage) == models.names


def test_a_fresh_model_of_a_stage(hub):
    one, other = (load_stage(study_of("llava-1.5-7b"), "stage 1") for _ in range(2))
    assert next(one.model.parameters()).data_ptr() != next(other.model.parameters()).data_ptr()


def test_the_longest_unused_waits_where_a_device_is_full(hub):
    """The device pretends to have room for little more than one model; weights lie on the CPU in truth."""
    each = size(load_stage(study_of("llava-1.5-7b"), "tuned").model)
    device = Pretended(int(1.3 * each))
    models, roomy = Stages(study_of("llava-1.5-7b"), device), stages_of(study_of("llava-1.5-7b"))
    batch = roomy["tuned"].batch([roomy["tuned"].prompt("Who?")], [picture(0)])
    tuned, before = models["tuned"], models["stage 1"]
    assert device.holds_all(before) and not device.holds_all(tuned)
    for name in ("tuned", "stage 1", "untrained", "tuned"):
        assert torch.equal(logits(models[name].model, batch), logits(roomy[name].model, batch))
        assert {other: device.holds_all(vlm) for other, vlm in models._loaded.items()} == {
            other: other == name for other in models._loaded
        }
    band = models.band("0:2")
    logits(band.model, batch)
    assert device.holds_all(band) and not device.holds_all(tuned)


def parameters(vlm):
    return dict(vlm.base.named_parameters())


def test_stages_hold_in_memory_once_what_is_equal(hub, tuned_study):
    for models, parts in (
        (stages_of(study_of("llava-1.5-7b")), ("vision_tower",)),
        (stages_of(study_of("qwen2.5-vl-3b")), ("visual.", "embed_tokens")),
        (stages_of(tuned_study), ("vision_tower", "embed_tokens")),
    ):
        before, tuned = parameters(models[models.before]), parameters(models["tuned"])
        assert {name for name in tuned if tuned[name].data_ptr() == before[name].data_ptr()} == {
            name for name in tuned if torch.equal(tuned[name], before[name])
        }
        assert all(tuned[name] is before[name] for name in tuned if any(part in name for part in parts))
        assert any(tuned[name] is not before[name] for name in tuned if ".layers." in name)
        seen = parameters(models["untrained"])
        assert all(seen[name] is tuned[name] for name, _ in tower_of(models["tuned"]))


def tower_of(vlm):
    mine = {id(p) for _, p in vision_parameters(vlm.base)}
    return [(name, p) for name, p in vlm.base.named_parameters() if id(p) in mine]


@pytest.mark.parametrize("model", ["tiny", "internvl3-1b"])
def test_precision_and_attention_come_from_the_study(hub, tuned_study, model):
    retrain = model == "tiny"
    study = Study.make("smoke", model=model, n_eval=2, retrain=retrain, dtype="bfloat16", attention="eager")
    models = stages_of(study)
    for vlm in [*models.values(), load_stage(study, "tuned")]:
        assert {p.dtype for p in vlm.model.parameters()} == {torch.bfloat16}
        assert vlm.base.get_decoder().config._attn_implementation == "eager"
    usual = stages_of(Study.make("smoke", model=model, n_eval=2, retrain=retrain))["tuned"]
    assert {p.dtype for p in usual.model.parameters()} == {torch.float32}
    assert usual.base.get_decoder().config._attn_implementation == "sdpa"


def test_bands_load_by_name(hub):
    study = study_of("llava-1.5-7b")
    assert load_band(study, "26:32").name == "llava-1.5-7b band 26:32"
    with pytest.raises(VLMError, match="no published band '6:18': those that there are: '0:2'") as error:
        load_band(study, "6:18")
    one_sentence(error.value)
    with pytest.raises(VLMError, match="those that there are: none") as error:
        load_band(study_of("smolvlm-256m"), "0:2")
    one_sentence(error.value)


def test_a_model_that_is_none():
    with pytest.raises(LineageError, match="There is no model 'lava'"):
        stages_of(study_of("lava"))
