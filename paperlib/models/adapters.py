"""Saving and loading what tuning changes: the connector's weights and, after stage 2, a PEFT LoRA adapter of the LLM.

A folder holds ``connector.safetensors``, ``provenance.json`` and, with LoRA, PEFT's own ``adapter_config.json`` and
``adapter_model.safetensors``, which plain PEFT can load. Weights are stored in float16 to stay small. If the connector
was frozen, ``made_for.json`` takes its place and names, by digest, the connector and the LLM that the adapters need.
``entry.json`` records a late entry (`paperlib.models.late_entry`), which loading restores.
`paperlib.models.adapter_files` reads and checks the files.
"""

import hashlib
import json
import os
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from paperlib.models import late_entry as entry
from paperlib.models.adapter_files import (
    CONFIG,
    CONNECTOR,
    DIGESTS,
    LORA,
    MADE_FOR,
    PARTS,
    RECORD,
    AdapterError,
    Adapters,
    digests,
    read_adapters,
)
from paperlib.models.parts import connector
from paperlib.models.unwrapping import base_model
from paperlib.study.results import write_json

# peft asks transformers for an attribute by its old name; readers can do nothing about it.
warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)

PROJECTIONS = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)


def add_lora(model: Any, rank: int, layers: list[int]) -> PeftModel:
    """LoRA (Hu et al., arXiv 2106.09685) on every projection of the given decoder blocks and nowhere else.

    alpha = 2 x rank, no dropout. PEFT's ``layers_to_transform`` would also take the same-numbered blocks of a vision
    tower, so the modules are named in full, and a check compares what was adapted with that. Raises AdapterError if
    they differ.
    """
    prefix = next(name for name, module in model.named_modules() if module is model.get_decoder())
    wanted = {f"{prefix}.layers.{i}.{p}" for i in layers for p in PROJECTIONS}
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="|".join(re.escape(w) for w in sorted(wanted)))
    tuned = get_peft_model(model, config)
    found = {
        name.removesuffix(".lora_A.default").removeprefix("base_model.model.")
        for name, _ in tuned.named_modules()
        if name.endswith(".lora_A.default")
    }
    if found != wanted:
        raise AdapterError(
            f"LoRA reached {len(found)} modules instead of the {len(wanted)} asked for: this model's "
            f"decoder blocks lack some of {', '.join(PROJECTIONS)}."
        )
    return tuned


def made_for(model: Any) -> dict[str, str]:
    """sha256 of the connector's and of the decoder blocks' weights in float16, for a model without adapters.

    Embeddings are left out: that of the image token is never read, and assembling a model makes it anew.
    """
    return {
        "connector": _digest(connector(model).state_dict()),
        "llm": _digest(model.get_decoder().layers.state_dict()),
    }


def connector_digest(folder: Path) -> str:
    """`made_for` of the connector in a folder of adapters.

    Raises AdapterError as `apply_adapter` does, and if the folder holds no connector.
    """
    found = read_adapters(folder).connector
    if found is None:
        raise AdapterError(f"The adapters in {folder.name} hold no connector: take those of stage 1.")
    return _digest(found)


def save_adapter(folder: Path, model: nn.Module, provenance: dict, frozen: dict[str, str] | None = None) -> Path:
    """Write connector, LoRA (if ``model`` is a PeftModel) and provenance, in place of an earlier run's.

    frozen: if the connector was frozen, `made_for` of the model before tuning; it is written instead of the connector.
    Everything is written to a temporary folder first. Raises AdapterError if it cannot be written, and ``folder`` is
    then as it was.
    """
    folder = Path(folder).resolve()
    scratch = folder.with_name(f".{folder.name}.tmp")
    try:
        shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
        scratch.mkdir(parents=True)
        _write(scratch, model, provenance, frozen)
        folder.mkdir(exist_ok=True)
        (folder / RECORD).unlink(missing_ok=True)  # without it the folder is not finished
        for name in PARTS:
            if (scratch / name).is_file():
                os.replace(scratch / name, folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
        os.replace(scratch / RECORD, folder / RECORD)
    except (OSError, SafetensorError) as error:  # safetensors raises its own on a full disk
        raise AdapterError(
            f"The adapters in {folder.name} cannot be written "
            f"({getattr(error, 'strerror', None) or str(error).strip().rstrip('.')}): free disk "
            f"space or give write access, and run it again."
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _write(folder: Path, model: nn.Module, provenance: dict, frozen: dict[str, str] | None) -> None:
    base = base_model(model)
    if frozen:
        write_json(folder / MADE_FOR, frozen)
    else:
        weights = {k: v.detach().half().contiguous().cpu() for k, v in connector(base).state_dict().items()}
        save_file(weights, folder / CONNECTOR, metadata={"format": "pt"})
    if isinstance(model, PeftModel):
        model.save_pretrained(str(folder))
        path = folder / LORA
        save_file({k: v.half() for k, v in load_file(path).items()}, path, metadata={"format": "pt"})
        # peft records the path of the base model on the machine that trained, which means nothing elsewhere.
        config = json.loads((folder / CONFIG).read_text())
        write_json(folder / CONFIG, {**config, "base_model_name_or_path": "mini-base"})
    entry.save(folder, entry.entry_of(base))
    write_json(folder / RECORD, provenance | {DIGESTS: digests(folder)})


def apply_adapter(model: Any, folder: Path) -> None:
    """Load a folder's connector into ``model`` and merge its LoRA, if any, into the LLM's weights, in place.

    Raises AdapterError if the folder is missing, incomplete, unreadable, made for a model of another shape, or (if the
    connector was frozen) made for another connector or LLM; ``model`` is then as it was.
    """
    found = read_adapters(folder)
    needed = found.made_for or {}
    here = made_for(model) if needed else {}
    for part, digest in needed.items():
        if here[part] != digest:
            raise AdapterError(
                f"The adapters in {folder.name} were made for another {part} than this model's: load the "
                f"model that they were tuned from, the mini model's stage 1, or tune them again."
            )
    try:
        bridge = connector(model).state_dict()
        if found.connector is not None:
            if _shapes(found.connector) != _shapes(bridge):
                raise ValueError("another connector")
            bridge = {k: v.float() for k, v in found.connector.items()}
        if found.lora is not None:
            _check_lora(model, found)
        if found.entry is not None:
            entry.check(model, found.entry["enter"], found.entry["scale"])
        connector(model).load_state_dict(bridge)
        if found.lora is not None:
            dtype = next(model.parameters()).dtype
            PeftModel.from_pretrained(model, folder, torch_device="cpu").merge_and_unload()
            model.to(dtype)
            model.requires_grad_(True)  # peft froze it, and autocast would round frozen weights at each use
        entry.load(folder, model)
    except Exception as error:  # peft and torch raise different kinds
        raise AdapterError(
            f"The adapters in {folder.name} cannot be loaded into this model ({type(error).__name__}): "
            f"they are damaged or made for another model."
        ) from error


def _check_lora(model: Any, found: Adapters) -> None:
    """Raise ValueError unless a LoRA fits ``model`` exactly, before anything is changed.

    peft overlooks missing and surplus matrices, and leaves its own layers in the model if a shape is wrong.
    """
    lora, wanted = found.lora or {}, {}
    for name, module in model.named_modules():
        if re.fullmatch(found.config.target_modules, name):
            rows, columns = module.weight.shape
            wanted[f"base_model.model.{name}.lora_A.weight"] = (found.config.r, columns)
            wanted[f"base_model.model.{name}.lora_B.weight"] = (rows, found.config.r)
    if _shapes(lora) != wanted:
        raise ValueError("another LLM")


def _shapes(weights: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in weights.items()}


def _digest(weights: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(value.detach().half().contiguous().cpu().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
