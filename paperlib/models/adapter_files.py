"""Reading and checking a folder of adapters, without a model: every part that it mentions must be there and whole."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from safetensors.torch import load_file

CONNECTOR, MADE_FOR, ENTRY, RECORD = "connector.safetensors", "made_for.json", "entry.json", "provenance.json"
CONFIG, LORA = "adapter_config.json", "adapter_model.safetensors"
DIGESTS = "parts"  # in RECORD: sha256 of the other parts by name
OF_THE_FILE = {"auto_mapping", "base_model_name_or_path", "inference_mode", "peft_version", "revision"}
PARTS = (CONNECTOR, MADE_FOR, CONFIG, LORA, ENTRY)  # RECORD comes last: without it a folder is not finished


class AdapterError(RuntimeError):
    """Adapters are missing, damaged or made for another model. The message says which and what to do."""


@dataclass(frozen=True)
class Adapters:
    """The parts of a folder: tensors by name, JSON as it was written; None for parts that it does not have."""

    record: dict
    connector: dict[str, torch.Tensor] | None
    made_for: dict[str, str] | None
    config: Any  # a LoraConfig, or None
    lora: dict[str, torch.Tensor] | None
    entry: dict | None


def is_adapter_folder(folder: Path) -> bool:
    """Whether `adapters.save_adapter` wrote a folder, perhaps with parts missing. A whole model's folder is not one."""
    return not (folder / "config.json").is_file() and any(
        (folder / name).is_file() for name in (CONNECTOR, MADE_FOR, ENTRY, RECORD)
    )


def read_adapters(folder: Path) -> Adapters:
    """Read all parts of a folder; check them against each other and against its provenance.

    Raises AdapterError if parts are missing, unreadable, not finite, or do not belong together.
    """
    there = {name for name in (*PARTS, RECORD) if (folder / name).is_file()}
    if not there:
        raise AdapterError(f"There are no adapters in {folder.name}: {_remedy()}.")
    for name in (CONFIG, LORA):
        if name not in there and there & {CONFIG, LORA}:
            raise _broken(folder, name, "is missing, and its other half is there")
    if RECORD not in there:
        raise _broken(folder, RECORD, "is missing, which records how they were made")
    if len(there & {CONNECTOR, MADE_FOR}) != 1:
        raise _broken(folder, f"{CONNECTOR} or {MADE_FOR}", "must be there, and not both")
    made_for = _json(folder, MADE_FOR) if MADE_FOR in there else None
    if made_for is not None and (
        made_for.keys() != {"connector", "llm"} or not all(isinstance(v, str) for v in made_for.values())
    ):
        raise _broken(folder, MADE_FOR, "must name a connector and an llm")
    record = _json(folder, RECORD)
    parts = record.pop(DIGESTS, None)  # folders of earlier versions have none
    found = Adapters(
        record,
        _tensors(folder, CONNECTOR) if CONNECTOR in there else None,
        made_for,
        _lora_config(folder) if CONFIG in there else None,
        _tensors(folder, LORA) if LORA in there else None,
        _json(folder, ENTRY) if ENTRY in there else None,
    )
    if found.entry is not None and found.entry.keys() != {"enter", "scale"}:
        raise _broken(folder, ENTRY, "must hold 'enter' and 'scale'")
    _check_recipe(folder, found)
    if parts is not None and parts != digests(folder):
        raise _broken(folder, f"a part of what {RECORD} lists", "has changed since it was written")
    return found


def digests(folder: Path) -> dict[str, str]:
    """sha256 of each part of a folder but RECORD, by name."""
    there = [folder / name for name in PARTS if (folder / name).is_file()]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in there}


def _check_recipe(folder: Path, found: Adapters) -> None:
    """Raise AdapterError unless the parts are those that the recorded recipe, if any, leaves behind."""
    recipe = found.record.get("recipe")
    if recipe is None:
        return
    try:
        second, layers = recipe["stage"] == 2, recipe.get("layers")
        lora = second and recipe.get("method", "lora") == "lora" and layers != []
        bridge, rank, enter = recipe.get("connector", True), recipe.get("rank"), recipe.get("enter", 0)
        layers = None if layers is None else set(layers)
    except (AttributeError, KeyError, TypeError):
        raise _broken(folder, RECORD, "holds no valid recipe") from None
    for name, wanted, there in (
        (LORA, lora, found.lora),
        (CONNECTOR, bridge, found.connector),
        (ENTRY, bool(enter), found.entry),
    ):
        if bool(wanted) != (there is not None):
            raise _broken(folder, name, f"is {'missing' if wanted else 'there'}, which contradicts {RECORD}")
    if found.entry and found.entry["enter"] != enter:
        raise _broken(folder, ENTRY, f"names another block than {RECORD}")
    if lora and (
        found.config.r != rank
        or found.config.lora_alpha != 2 * rank
        or (layers is not None and _blocks(found.lora or {}) != layers)
    ):
        raise _broken(folder, CONFIG, f"has another rank, scale or band than {RECORD} says")


def _blocks(lora: dict[str, torch.Tensor]) -> set[int]:
    return {int(block) for name in lora for block in re.findall(r"\.layers\.(\d+)\.", name)}


def _lora_config(folder: Path) -> Any:
    found = _json(folder, CONFIG)
    try:
        if found["peft_type"] != "LORA" or not isinstance(found["target_modules"], str) or not found["lora_alpha"] > 0:
            raise ValueError("not a LoRA that save_adapter wrote")
        re.compile(found["target_modules"])
        if type(found["r"]) is not int:
            raise ValueError("no rank")
        config = LoraConfig.from_pretrained(str(folder))
        usual = LoraConfig(r=config.r, lora_alpha=config.lora_alpha, target_modules=config.target_modules).to_dict()
        others = {name for name, value in config.to_dict().items() if value != usual[name]} - OF_THE_FILE
        if others:  # another scale, another kind of matrices, modules that are left out
            raise ValueError(f"{min(others)} is set")
        return config
    except Exception as error:  # peft raises many kinds for a field that it does not know
        raise _broken(folder, CONFIG, "does not describe a LoRA of this project") from error


def _json(folder: Path, name: str) -> dict:
    try:
        found = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _broken(folder, name, "cannot be read") from error
    if not isinstance(found, dict):
        raise _broken(folder, name, "must hold a JSON object")
    return found


def _tensors(folder: Path, name: str) -> dict[str, torch.Tensor]:
    try:
        tensors = load_file(folder / name)
    except Exception as error:  # safetensors and the system raise different kinds
        raise _broken(folder, name, "cannot be read") from error
    if not tensors or not all(value.is_floating_point() and value.isfinite().all() for value in tensors.values()):
        raise _broken(folder, name, "must hold finite numbers only")
    return tensors


def _broken(folder: Path, name: str, what: str) -> AdapterError:
    return AdapterError(f"The adapters in {folder.name} cannot be used: {name} {what}; {_remedy()}.")


def _remedy() -> str:
    return (
        "take the folder from the repository again, or train it with retrain=true in notebook 01 (bands: make "
        "reference, or make bands)"
    )
