"""Bands that were tuned here: written from a checkpoint, found, loaded, and asked beside those that others tuned."""

from dataclasses import replace

import pytest
import torch
from scaled_runs import SHORT, Memory
from small_models import changed, one_sentence, weights

from paperlib.models.adapter_files import AdapterError
from paperlib.models.input_checks import VLMError
from paperlib.models.vlm import load_vlm
from paperlib.study.results import read_json
from paperlib.study.study import Study
from paperlib.tasks.benchmarks import load
from paperlib.tuning import own_bands
from paperlib.tuning.benchmark_bands import asked, band_rows
from paperlib.tuning.lineage_bands import ask_bands, rows_of_bands
from paperlib.tuning.lineage_stages import stages_of
from paperlib.tuning.own_bands import (
    arm_name,
    band_folder,
    checkpoint_folder,
    full_of,
    is_finished,
    start_model,
    start_name,
    write_band,
)
from paperlib.tuning.processes import Processes
from paperlib.tuning.scaled_training import train_scaled
from paperlib.tuning.train_config import TrainingError

LORA = replace(SHORT, steps=2, micro_batch=4)
CONFIGS = {
    ("1:3", "lora"): LORA,
    ("full", "lora"): replace(LORA, layers=(0, 1, 2, 3)),
    ("none", "lora"): replace(LORA, layers=()),
    ("late", "lora"): replace(LORA, layers=(3,), connector=False),
    ("1:3", "full"): replace(LORA, method="full"),
}


@pytest.fixture
def here(hub, study):
    return Study.make("smoke", model="llava-1.5-7b", n_eval=2, retrain=False)


def trained(study, blocks, method, **more):
    """Train a band to its end: the weights of the model that was trained."""
    vlm, config = start_model(study), replace(CONFIGS[blocks, method], **more)
    folder = checkpoint_folder(band_folder(study, blocks, method))
    train_scaled(vlm, config, Memory(), Processes("cpu"), folder, 100, start_name(study), progress=False)
    return vlm, config


def merged(vlm):
    if hasattr(vlm.model, "merge_and_unload"):
        vlm.model = vlm.model.merge_and_unload()
    return weights(vlm.model)


@pytest.mark.parametrize("blocks, method", CONFIGS)
def test_what_was_trained_is_what_loads(here, blocks, method):
    vlm, config = trained(here, blocks, method)
    folder = write_band(here, blocks, config)
    assert not checkpoint_folder(folder).exists()
    models = stages_of(here)
    name = arm_name(blocks, method)
    assert models.bands[-1] == name and name not in models.lineage.bands
    before = weights(models[models.before].model)
    loaded, wanted = weights(models.band(name).model), merged(vlm)
    for key, value in wanted.items():
        torch.testing.assert_close(loaded[key], value, rtol=2e-3, atol=2e-5)  # adapters are stored in 16 bits
    moved = changed(before, loaded)
    blocks = {int(key.split(".layers.")[1].split(".")[0]) for key in moved if "language_model.layers" in key}
    assert blocks == set(config.layers)
    assert any("multi_modal_projector" in key for key in moved) == config.connector
    assert not changed(before, weights(models[models.before].model))  # what is shared stays as it was
    record = read_json(folder / "provenance.json")
    assert record["arm"] == name and record["recipe"] == config.recipe() and len(record["loss"]) == 2
    assert record["processes"] == 1 and record["refused"] == {"special token in its words": 1}
    if method == "full":
        assert not changed(loaded, weights(load_vlm(folder, "cpu").model))


def test_adapters_hold_little_in_memory_twice(here):
    _, config = trained(here, "1:3", "lora")
    write_band(here, "1:3", config)
    models = stages_of(here)
    band, before = models.band(arm_name("1:3", "lora")).model, models[models.before].model
    own = {name for name, p in band.named_parameters() if p is not before.get_parameter(name)}
    assert own == {n for n in own if ".layers.1." in n or ".layers.2." in n or "multi_modal_projector" in n} != set()


@pytest.mark.slow
def test_bands_tuned_here_stand_beside_full_tuning_done_here(here):
    for blocks in ("1:3", "full"):
        write_band(here, blocks, trained(here, blocks, "lora")[1])
    models = stages_of(here)
    own, ours = arm_name("1:3", "lora"), arm_name("full", "lora")
    assert models.bands == (*models.lineage.bands, own, ours)
    results, _ = ask_bands(models, here, bands=[own, ours, "0:2"])
    assert {run["arm"] for run in results.runs} == {own, ours, "full", "stage 1", "0:2"}
    rows = {row["arm"]: row for row in rows_of_bands(results)}
    for arm, full in ((own, ours), (ours, "full"), ("0:2", "full")):
        assert rows[arm]["minus full"] == results.minus(arm, full).scaled(100)
        assert rows[arm]["keeps"] == results.keeps(arm, full=full).scaled(100)
    found, _ = asked(models, here, {"pope": load("pope", "test", 2)})
    by_arm = {row["arm"]: row for row in band_rows(found)}
    assert by_arm[own]["full"] == by_arm[ours]["score"] and by_arm["0:2"]["full"] == by_arm[ours]["full"]


@pytest.mark.parametrize(
    "arm, arms, wanted",
    [
        ("6:17, LoRA here", ["full", "full, LoRA here"], "full, LoRA here"),
        ("6:17, all weights here", ["full", "full, LoRA here"], "full"),
        ("full, LoRA here", ["full", "full, LoRA here"], "full"),
        ("6:17", ["full", "full, LoRA here"], "full"),
        ("6:17, complement", ["full"], "full"),
    ],
)
def test_which_full_tuning_an_arm_stands_beside(arm, arms, wanted):
    assert full_of(arm, arms, "full") == wanted


def test_a_band_is_finished_once_and_never_overwritten(here):
    _, config = trained(here, "1:3", "lora")
    folder, start = band_folder(here, "1:3", "lora"), start_name(here)
    assert not is_finished(folder, config, start, "memory")
    write_band(here, "1:3", config)
    assert is_finished(folder, config, start, "memory")
    assert is_finished(folder, replace(config, micro_batch=1, mixed=True), start, "memory")
    for other in ((replace(config, lr=1.0), start, "memory"), (config, "x", "memory"), (config, start, "else")):
        with pytest.raises(TrainingError) as error:
            is_finished(folder, *other)
        assert "1-to-3-lora" in one_sentence(error.value) and "remove that folder" in str(error.value)


def test_a_band_that_was_not_trained_to_its_end_is_not_written(here):
    with pytest.raises(TrainingError) as error:
        write_band(here, "1:3", LORA)
    assert "not trained to its end" in one_sentence(error.value)
    trained(here, "1:3", "lora")
    with pytest.raises(TrainingError):
        write_band(here, "1:3", replace(LORA, steps=3))
    assert own_bands.own_bands(here) == {}


def test_damaged_adapters_are_told_and_leave_the_others_asked(here):
    folder = write_band(here, "1:3", trained(here, "1:3", "lora")[1])
    (folder / "adapter_model.safetensors").write_bytes(b"half")
    models = stages_of(here)
    with pytest.raises(AdapterError):
        models.band(arm_name("1:3", "lora"))
    results, absent = ask_bands(models, here, bands=[arm_name("1:3", "lora")])
    assert list(absent) == ["the band 1:3, LoRA here"] and {run["arm"] for run in results.runs} == {"full", "stage 1"}


def test_a_run_that_was_killed_while_a_whole_model_was_written(here):
    _, config = trained(here, "1:3", "full")
    folder = band_folder(here, "1:3", "full")
    for half in (folder, folder.with_name(f".{folder.name}.tmp")):
        half.mkdir(parents=True)
        (half / "model.safetensors").write_bytes(b"half")
    assert own_bands.own_bands(here) == {}
    write_band(here, "1:3", config)
    assert list(own_bands.own_bands(here)) == [arm_name("1:3", "full")]
    assert not folder.with_name(f".{folder.name}.tmp").exists()


def test_every_model_with_a_stage_before_has_a_start(here, study):
    assert own_bands.stage_before(here) == "stage 1" and own_bands.stage_before(study) == "stage 1"
    assert own_bands.text_config(here).num_hidden_layers == own_bands.text_config(study).num_hidden_layers == 4
    assert start_name(here) == start_name(replace(here, seed=5))
    other = replace(here, model="llava-1.5-13b")
    assert start_name(other) != start_name(here)
    with pytest.raises(VLMError) as error:
        own_bands.stage_before(replace(here, model="gemma-3-4b"))
    assert "no stage before tuning" in one_sentence(error.value)
