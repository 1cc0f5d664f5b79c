"""The arms of the comparison of bands: what each trains, that it comes back from its folder, and what is refused."""

import pytest
import torch
from small_models import changed, one_sentence, weights

from paperlib.models.adapters import AdapterError, apply_adapter
from paperlib.models.late_entry import entry_of
from paperlib.models.parts import connector
from paperlib.models.vlm import load_vlm
from paperlib.study.results import read_json
from paperlib.study.study import Study
from paperlib.tuning import stages as recipe
from paperlib.tuning.arms import (
    ARMS,
    FORMER,
    SWEEPS,
    ArmError,
    arm_config,
    arm_folder,
    available_arms,
    load_arm,
    slug,
    train_arm,
)
from paperlib.tuning.bands import band


@pytest.fixture
def first_stage(study):
    recipe.tune(study, progress=False)
    return study


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_changes_its_band_alone_and_comes_back(first_stage, name):
    before = weights(recipe.load_stage(first_stage, "stage 1").model)
    record = train_arm(first_stage, name, progress=False)
    blocks = band(ARMS[name].band, 4)
    assert record["recipe"]["layers"] == list(blocks) and not record["recipe"]["connector"]
    assert {int(n.split(".layers.")[1].split(".")[0]) for n in record["trained"]} == set(blocks)
    vlm = load_arm(first_stage, name)
    moved = changed(before, weights(vlm.model))
    assert moved and {int(n.split("language_model.layers.")[1].split(".")[0]) for n in moved} == set(blocks)
    entry = entry_of(vlm.model)
    assert (entry.block if entry else 0) == round(4 * ARMS[name].enter)
    assert vlm.answer(None, "Why?", 2) == vlm.answer(None, "Why?", 2)


def test_arms_of_one_size_share_data_and_start(first_stage):
    losses = {name: train_arm(first_stage, name, progress=False)["loss"] for name in ("mid", "late", "sparse")}
    assert len({loss[0] for loss in losses.values()}) == 1  # LoRA starts at zero, so the same batch gives the same loss
    assert len({loss[-1] for loss in losses.values()}) == 3
    configs = [arm_config(first_stage, name) for name in losses]
    assert len({(c.steps, c.batch_size, c.rank, c.seed, len(c.layers)) for c in configs}) == 1


def test_a_finished_arm_is_kept_and_a_sweep_stops_early(first_stage):
    longer = Study.make("smoke", n_eval=2, band_steps=4)
    loss = train_arm(longer, "from 1/2", progress=False)["loss"]
    assert len(loss) == 1 and SWEEPS["from 1/2"].share == 0.25
    folder = arm_folder(longer, "from 1/2")
    before = (folder / "provenance.json").stat().st_mtime_ns
    assert train_arm(longer, "from 1/2", progress=False)["loss"] == loss
    assert (folder / "provenance.json").stat().st_mtime_ns == before
    # The beginning of a run is what the whole run begins with.
    assert loss[0] == train_arm(longer, "mid", progress=False)["loss"][0]


@pytest.mark.parametrize("name", ["mid", "mid, late entry", "mid, connector tuned, short run"])
def test_an_arm_from_another_stage_1_is_trained_again(first_stage, name):
    """Stage 1 is trained again with another setting: the arm follows, and loads."""
    start = train_arm(first_stage, name, progress=False)["start"]
    assert not list(first_stage.cache.rglob("*.checkpoint"))
    longer = Study.make("smoke", n_eval=2, stage1_steps=3)
    recipe.tune(longer, progress=False)
    record = train_arm(longer, name, progress=False)
    assert record["start"] == recipe.start_of(longer) != start
    load_arm(longer, name)
    assert train_arm(longer, name, progress=False) == record


@pytest.mark.parametrize("part", ["adapter_model.safetensors", "adapter_config.json", "made_for.json", "entry.json"])
def test_a_damaged_arm_is_trained_again(first_stage, part):
    record = train_arm(first_stage, "mid, late entry", progress=False)
    (arm_folder(first_stage, "mid, late entry") / part).unlink()
    assert train_arm(first_stage, "mid, late entry", progress=False)["loss"] == record["loss"]
    load_arm(first_stage, "mid, late entry")


@pytest.mark.assets
@pytest.mark.parametrize("name", ARMS)
def test_shipped_arms_count_as_finished(name):
    """With what stage 1 is shipped, and whatever the machine: `make reference` must not train over them."""
    study = Study.make("mini")
    assert recipe.finished(arm_folder(study, name), arm_config(study, name), recipe.start_of(study))


def test_adapters_for_another_connector_or_llm_are_refused(first_stage):
    train_arm(first_stage, "mid", progress=False)
    folder = arm_folder(first_stage, "mid")
    assert not (folder / "connector.safetensors").exists()
    for part, spoil in (("connector", lambda m: connector(m)), ("llm", lambda m: m.get_decoder().layers[0])):
        vlm = recipe.load_stage(first_stage, "stage 1")
        with torch.no_grad():
            next(spoil(vlm.model).parameters()).add_(0.1)
        before = weights(vlm.model)
        with pytest.raises(AdapterError) as error:
            apply_adapter(vlm.model, folder)
        assert f"another {part}" in one_sentence(error.value)
        assert not changed(before, weights(vlm.model))


def test_an_arm_may_tune_the_connector_too(first_stage):
    name, before = "late entry, connector tuned, short run", weights(recipe.load_stage(first_stage, "stage 1").model)
    longer = Study.make("smoke", n_eval=2, band_steps=8)
    record = train_arm(longer, name, progress=False)
    assert record["recipe"]["connector"] and len(record["loss"]) == 2
    vlm = load_arm(longer, name)
    with pytest.raises(AdapterError, match="trained with other settings since"):
        load_arm(first_stage, name)
    moved = changed(before, weights(vlm.model))
    assert {"language_model" in n or "multi_modal_projector" in n for n in moved} == {True}
    assert any("multi_modal_projector" in n for n in moved) and any("language_model" in n for n in moved)
    assert entry_of(vlm.model).block == round(4 / 3)
    assert (arm_folder(first_stage, name) / "connector.safetensors").is_file()


def test_what_can_be_loaded_without_training(first_stage):
    """Trained arms are listed; one that was not is refused in a sentence, as for another seed."""
    assert available_arms(first_stage) == []
    train_arm(first_stage, "late", progress=False)
    train_arm(first_stage, "mid", progress=False)
    assert available_arms(first_stage) == ["mid", "late"]
    other = Study.make("smoke", n_eval=2, seed=1)
    assert available_arms(other) == []
    with pytest.raises(ArmError, match="'mid' was not trained for preset 'smoke' and seed 1") as error:
        load_arm(other, "mid")
    one_sentence(error.value)


def test_shipped_arms_are_those_of_seed_0_and_the_shipped_budget():
    mini = Study.make("mini")
    assert available_arms(mini) == list(ARMS) == available_arms(Study.make("mini", n_eval=2))
    shipped = mini.adapters / "bands"
    for change in ({"seed": 1}, {"band_steps": 3}, {"band_rank": 2}, {"retrain": True}, {"model": "tiny"}):
        study = Study.make("mini", **change)
        assert all(arm_folder(study, arm).is_relative_to(study.cache) for arm in ARMS), change
    assert all(arm_folder(mini, arm).parent == shipped for arm in ARMS)


def test_arms_have_one_slug_each_and_folders_keep_their_earlier_names():
    names = [*ARMS, *SWEEPS]
    assert len({slug(arm) for arm in names}) == len(names) and set(FORMER) < {*names, "stage 1"}
    assert slug("mid, late entry") == "mid-entered" and slug("from 1/6") == "from-1_of_6"


def test_an_unknown_arm_is_refused(study):
    with pytest.raises(ArmError) as error:
        arm_config(study, "middle")
    assert "full" in one_sentence(error.value)


@pytest.mark.assets
@pytest.mark.parametrize("name", ["mid", "mid, late entry"])
def test_shipped_adapters_load_as_a_model_like_any_other(name):
    folder = arm_folder(Study.make("mini"), name)
    record = read_json(folder / "provenance.json")
    assert len(record["loss"]) == record["recipe"]["steps"]
    vlm = load_vlm(str(folder), "cpu")
    entry = entry_of(vlm.model)
    assert (entry.block if entry else 0) == record["recipe"]["enter"]


def test_shipped_adapters_are_small():
    folder = arm_folder(Study.make("mini"), "mid").parent
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 40e6
