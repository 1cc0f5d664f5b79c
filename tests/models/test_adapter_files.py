"""Folders of adapters as files: which are taken for one, and what is shipped. Damage is in test_adapters.py."""

import shutil

import pytest
import torch
from safetensors.torch import load_file
from small_models import one_sentence, tiny_vlm

from paperlib.models.adapter_files import AdapterError, is_adapter_folder, read_adapters
from paperlib.models.adapters import PROJECTIONS, add_lora, save_adapter
from paperlib.models.vlm import load_vlm
from paperlib.study.study import CODE_ROOT

SHIPPED = sorted(path.parent for path in (CODE_ROOT / "data" / "adapters").glob("*/connector.safetensors"))


def test_all_parts_are_read(tmp_path):
    tuned = add_lora(tiny_vlm().model, 2, [1, 3])
    found = read_adapters(save_adapter(tmp_path / "made", tuned, {"seed": 8}))
    assert found.record == {"seed": 8} and found.made_for is None and found.entry is None
    assert found.config.r == 2 and len(found.lora) == 2 * 2 * len(PROJECTIONS)
    bridge = tuned.get_base_model().model.multi_modal_projector.state_dict()
    assert all(torch.equal(value, bridge[name].half()) for name, value in found.connector.items())
    assert found.connector.keys() == bridge.keys()


@pytest.mark.parametrize("left", ["connector.safetensors", "made_for.json", "entry.json", "provenance.json"])
def test_a_folder_that_lost_parts_is_still_one_of_adapters(left, tmp_path):
    """So that `load_vlm` tells what it lacks, instead of taking it for a whole model."""
    (tmp_path / left).write_text("")
    assert is_adapter_folder(tmp_path)
    with pytest.raises(AdapterError) as error:
        load_vlm(str(tmp_path), "cpu")
    one_sentence(error.value)
    (tmp_path / "config.json").write_text("{}")
    assert not is_adapter_folder(tmp_path)


@pytest.mark.assets
@pytest.mark.parametrize(
    "part",
    [
        "adapter_model.safetensors",
        "adapter_config.json",
        "connector.safetensors",
        "provenance.json",
        "both halves of LoRA",
    ],
)
def test_a_copy_of_the_shipped_adapters_without_a_part_is_refused(part, tmp_path):
    folder = shutil.copytree(CODE_ROOT / "data" / "adapters" / "mini-tuned", tmp_path / "mini-tuned")
    read_adapters(folder)
    parts = ["adapter_model.safetensors", "adapter_config.json"] if part.startswith("both") else [part]
    for name in parts:
        (folder / name).unlink()
    with pytest.raises(AdapterError) as error:
        read_adapters(folder)
    assert "mini-tuned" in one_sentence(error.value) and parts[0] in str(error.value)


# ---------------------------------------------------------------- what is shipped


@pytest.mark.assets
@pytest.mark.parametrize("part", ["adapter_model.safetensors", "connector.safetensors"])
def test_shipped_weights_with_zeros_in_them_are_refused(part, tmp_path):
    folder = shutil.copytree(CODE_ROOT / "data" / "adapters" / "mini-tuned", tmp_path / "mini-tuned")
    with (folder / part).open("r+b") as file:
        file.seek(90_000)
        file.write(bytes(4096))
    with pytest.raises(AdapterError, match="has changed since"):
        read_adapters(folder)


@pytest.mark.assets
@pytest.mark.parametrize("folder", SHIPPED, ids=lambda path: path.name)
def test_shipped_adapters_are_sound(folder):
    """float16, finite, and for projections of the LLM; test_recipe loads them."""
    for file in folder.glob("*.safetensors"):
        for name, value in load_file(file).items():
            assert value.dtype == torch.float16 and torch.isfinite(value).all(), name
    if (folder / "adapter_config.json").is_file():
        names = {
            name.removeprefix("base_model.model.").rsplit(".lora_", 1)[0]
            for name in load_file(folder / "adapter_model.safetensors")
        }
        assert all("language_model.layers." in name and name.endswith(PROJECTIONS) for name in names)


def test_shipped_adapters_are_within_twenty_megabytes():
    assert sum(path.stat().st_size for folder in SHIPPED for path in folder.iterdir()) <= 20e6
