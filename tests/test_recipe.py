"""The recipe at preset smoke: two stages of a tiny model, saved, loaded, resumed; and the shipped adapters' papers."""

import json
import shutil

import pytest
import torch

from paperlib import recipe
from paperlib.adapters import connector
from paperlib.study import CODE_ROOT, Study
from paperlib.vlm import VLMError

SHIPPED = CODE_ROOT / "data" / "adapters"


@pytest.fixture(scope="module")
def tuned_once(tmp_path_factory):
    """A root in which both stages were tuned at preset smoke: to be copied, not changed."""
    root = tmp_path_factory.mktemp("tuned")
    (root / "data" / "cache").mkdir(parents=True)
    (root / "data" / "cache" / "assets").symlink_to(CODE_ROOT / "data" / "cache" / "assets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAPERLIB_ROOT", str(root))
        recipe.tune(Study.make("smoke", n_eval=2), progress=False)
    return root


@pytest.fixture
def tuned_study(study, tuned_once):
    """`study`, in which both stages were tuned before."""
    shutil.copytree(tuned_once / "data", study.root / "data", symlinks=True, dirs_exist_ok=True,
                    ignore=shutil.ignore_patterns("assets"))
    return study


def weights(vlm):
    return {name: value.clone() for name, value in vlm.model.state_dict().items()}


def test_tune_makes_both_stages_and_load_stage_brings_them_back(tuned_study):
    untrained, first, tuned = (weights(recipe.load_stage(tuned_study, stage)) for stage in recipe.STAGES)
    changed_first = {name for name in untrained if not torch.equal(untrained[name], first[name])}
    changed_tuned = {name for name in untrained if not torch.equal(first[name], tuned[name])}
    assert changed_first and all("multi_modal_projector" in name for name in changed_first)
    assert any("layers.0." in name for name in changed_tuned) and any("layers.3." in name for name in changed_tuned)
    assert not any("vision_tower" in name or "embed_tokens" in name for name in changed_tuned)


def test_provenance_beside_the_adapters_says_how_they_came_about(tuned_study):
    study = tuned_study
    for number, stage in enumerate(recipe.FOLDERS, start=1):
        record = recipe.training_record(study, stage)
        assert record["recipe"]["stage"] == number and record["seed"] == study.seed
        steps = (study.stage1_steps, study.stage2_steps)[number - 1]
        assert len(record["loss"]) == record["recipe"]["steps"] == steps
        assert set(record["validation_accuracy"]) >= {"name", "colour", "count", "existence"}
        assert record["packages"]["torch"] and record["code"]["sha256"]


def test_a_short_retraining_from_the_same_seed_is_the_same(tuned_study):
    study = tuned_study
    once = weights(recipe.load_stage(study, "tuned"))
    folder = recipe.adapter_folder(study, "tuned").parent
    folder.rename(folder.with_name("before"))
    recipe.tune(study, progress=False)
    again = weights(recipe.load_stage(study, "tuned"))
    assert all(torch.equal(once[name], again[name]) for name in once)


def test_what_is_tuned_with_the_same_recipe_is_kept_and_with_another_is_not(tuned_study):
    study = tuned_study
    finished = recipe.adapter_folder(study, "tuned") / "provenance.json"
    before = finished.stat().st_mtime_ns
    recipe.tune(study, progress=False)
    assert finished.stat().st_mtime_ns == before
    for checkpoint in finished.parent.parent.glob("*.checkpoint"):
        checkpoint.unlink()
    recipe.tune(Study.make("smoke", n_eval=2, stage2_steps=4), progress=False)
    assert len(json.loads(finished.read_text())["loss"]) == 4


def test_without_retrain_nothing_is_trained(study):
    recipe.tune(Study.make("smoke", retrain=False), progress=False)
    assert not (study.cache / "adapters").exists()


def test_bad_stages_are_refused(study):
    with pytest.raises(VLMError, match="Unknown stage 'half': use one of untrained, stage 1, tuned"):
        recipe.load_stage(study, "half")
    with pytest.raises(VLMError, match="comes as it is"):
        recipe.load_stage(Study.make("mini", model="some/model"), "stage 1")


@pytest.mark.parametrize("stage", recipe.FOLDERS)
def test_the_shipped_adapters_have_papers(stage):
    folder = recipe.adapter_folder(Study.make("mini"), stage)
    assert folder.parent == SHIPPED
    record = json.loads((folder / "provenance.json").read_text())
    assert record["seed"] == 0 and record["stage"] == stage
    assert len(record["loss"]) == record["recipe"]["steps"]
    assert record["packages"]["torch"] and record["validation_accuracy"]["name"][3] > 0
    assert "/" not in json.dumps(record["platform"])


def test_the_shipped_adapters_fit_into_20_MB():
    assert 1e6 < sum(path.stat().st_size for path in SHIPPED.glob("mini-*/*.safetensors")) < 20e6


def test_stage_1_left_the_llm_as_it_was_and_stage_2_did_not():
    base, first, tuned = (recipe.load_vlm(name).model for name in ("mini-base", "mini-stage1", "mini"))
    words = [model.get_decoder().state_dict() for model in (base, first, tuned)]
    assert all(torch.equal(words[0][name], words[1][name]) for name in words[0])
    assert not any(torch.equal(words[1][name], words[2][name]) for name in words[1] if name.endswith("_proj.weight"))
    bridges = [connector(model).linear_1.weight for model in (base, first, tuned)]
    assert not torch.equal(bridges[0], bridges[1]) and not torch.equal(bridges[1], bridges[2])
