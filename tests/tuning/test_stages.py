"""The recipe at preset smoke: two stages of a tiny model, saved, loaded, resumed; and the shipped adapters' papers."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import one_sentence

from paperlib.models.adapter_files import AdapterError, digests
from paperlib.models.adapters import made_for
from paperlib.models.parts import connector
from paperlib.models.vlm import VLMError
from paperlib.study.study import CODE_ROOT, Study
from paperlib.tuning import stages as recipe
from paperlib.tuning.arms import arm_config
from paperlib.tuning.finetune import train
from paperlib.tuning.train_config import TrainConfig

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
    shutil.copytree(
        tuned_once / "data",
        study.root / "data",
        symlinks=True,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("assets"),
    )
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


def trained_again(study, **changes):
    """The stages whose provenance `tune` writes anew for a changed study."""
    files = {stage: recipe.adapter_folder(study, stage) / "provenance.json" for stage in recipe.FOLDERS}
    before = {stage: path.read_bytes() for stage, path in files.items()}
    recipe.tune(Study.make("smoke", n_eval=2, **changes), progress=False)
    return [stage for stage, path in files.items() if path.read_bytes() != before[stage]]


@pytest.mark.parametrize(
    "changes, again",
    [
        ({}, []),
        ({"stage1_steps": 3}, ["stage 1", "tuned"]),
        ({"batch_size": 3}, ["stage 1", "tuned"]),
        ({"stage2_steps": 4}, ["tuned"]),
        ({"matching_steps": 2}, ["tuned"]),
    ],
)
def test_what_starts_from_another_stage_1_is_trained_again(tuned_study, changes, again):
    """No checkpoint of the finished run is in the way."""
    assert not list(tuned_study.cache.rglob("*.checkpoint"))
    assert trained_again(tuned_study, **changes) == again
    assert not list(tuned_study.cache.rglob("*.checkpoint"))
    record = recipe.training_record(tuned_study, "tuned")
    assert (
        record["start"]
        == recipe.start_of(tuned_study)
        == made_for(recipe.load_stage(Study.make("smoke", n_eval=2, **changes), "stage 1").model)["connector"]
    )
    assert trained_again(tuned_study, **changes) == []


@pytest.mark.parametrize("changes, stages", [({"lora_rank": 3}, ["tuned"]), ({"batch_size": 3}, ["stage 1", "tuned"])])
def test_adapters_of_a_run_with_other_settings_are_not_taken_for_this_ones(tuned_study, changes, stages):
    """A run is killed after notebook 01, another one of the same preset and seed trains, and the first goes on."""
    recipe.tune(Study.make("smoke", n_eval=2, **changes), progress=False)
    for stage in stages:
        with pytest.raises(AdapterError, match="trained with other settings since"):
            recipe.load_stage(tuned_study, stage)
    recipe.tune(tuned_study, progress=False)
    assert recipe.load_stage(Study.make("smoke", n_eval=5, device="cpu"), "tuned").name == "tiny tuned"


def test_tuned_from_another_stage_1_of_the_same_recipe_is_stale(tuned_study):
    """As when stage 1 was trained on another machine, or its folder was exchanged."""
    path = recipe.adapter_folder(tuned_study, "stage 1") / "connector.safetensors"
    save_file({name: value + 0.01 for name, value in load_file(path).items()}, path)
    record = path.with_name("provenance.json")
    record.write_text(json.dumps(json.loads(record.read_text()) | {"parts": digests(path.parent)}))
    assert trained_again(tuned_study) == ["tuned"]


@pytest.mark.parametrize(
    "damage", ["connector.safetensors", "adapter_model.safetensors", "adapter_config.json", "provenance.json"]
)
def test_damaged_adapters_are_trained_again(tuned_study, damage):
    folder = recipe.adapter_folder(tuned_study, "tuned")
    whole = {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}
    (folder / damage).write_bytes((folder / damage).read_bytes()[:20])
    recipe.tune(tuned_study, progress=False)
    assert {path.name: path.read_bytes() for path in folder.glob("*.safetensors")} == whole


def test_a_checkpoint_of_other_settings_is_not_in_the_way(tuned_study, caplog):
    """A run with three steps more was killed; then the reader goes back on it."""
    path = recipe.adapter_folder(tuned_study, "tuned").with_suffix(".checkpoint")
    other = TrainConfig.of(Study.make("smoke", stage2_steps=6), 2)
    train(recipe.load_stage(tuned_study, "stage 1"), other, path, progress=False, until=2)
    assert trained_again(tuned_study, stage2_steps=4) == ["tuned"]
    assert not path.exists() and sum("tuned.checkpoint" in r.message for r in caplog.records) == 1
    assert len(recipe.training_record(tuned_study, "tuned")["loss"]) == 4


def test_a_killed_evaluation_goes_on_from_the_finished_training(tuned_study, monkeypatch):
    """After training, before its accuracies are known: the next call does not train again."""

    def killed(*_):
        raise KeyboardInterrupt

    study = Study.make("smoke", n_eval=2, stage2_steps=4)
    with monkeypatch.context() as patch:
        patch.setattr(recipe, "evaluate", killed)
        with pytest.raises(KeyboardInterrupt):
            recipe.tune(study, progress=False)
    assert recipe.adapter_folder(study, "tuned").with_suffix(".checkpoint").is_file()
    monkeypatch.setattr("paperlib.tuning.finetune.packed_loss", lambda *_: pytest.fail("trained again"))
    recipe.tune(study, progress=False)
    assert len(recipe.training_record(study, "tuned")["loss"]) == 4


@pytest.mark.parametrize("there", [True, False])
def test_the_hardware_does_not_make_another_recipe(there, monkeypatch):
    """Shipped adapters must not seem stale on a machine without units for bfloat16 or without a compiler."""
    monkeypatch.setattr("paperlib.models.precision.bfloat16_units", lambda device: there)
    monkeypatch.setattr("paperlib.tuning.train_config.compiler_found", lambda device="cpu": there)
    for study in (Study.make("mini"), Study.make("gpu")):
        for config in (TrainConfig.of(study, 1), TrainConfig.of(study, 2), arm_config(study, "mid")):
            assert config.mixed and config.compile


def test_without_retrain_nothing_is_trained(study):
    recipe.tune(Study.make("smoke", retrain=False), progress=False)
    assert not (study.cache / "adapters").exists()


def test_bad_stages_are_refused(study):
    for model, stage, says in (
        ("tiny", "half", "'tiny' has no stage 'half': use one of untrained; stage 1; tuned"),
        ("some/model", "stage 1", "has no stage 'stage 1': use one of untrained; tuned; it comes as it is"),
        ("smolvlm-256m", "stage 1", "use one of untrained; LLM before tuning, tuned connector; tuned"),
    ):
        with pytest.raises(VLMError, match=says) as error:
            recipe.load_stage(Study.make("smoke", model=model), stage)
        one_sentence(error.value)


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
