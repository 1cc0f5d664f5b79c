"""What tuning leaves behind, as files: the connector's weights and, after stage 2, a peft LoRA adapter of the LLM.

A folder holds ``connector.safetensors``, ``provenance.json`` and, with LoRA, peft's own ``adapter_config.json`` and
``adapter_model.safetensors``; plain peft can load the latter. Weights are stored in float16 to stay small. Where the
connector was frozen, ``made_for.json`` stands in its place and says, by digest, which connector and LLM must be there.
Where image tokens enter above block 0, ``entry.json`` says so, and the model is given that entry (`paperlib.models.late_entry`).
`paperlib.models.adapter_files` reads and checks them.
"""

import hashlib
import json
import os
import re
import shutil
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from paperlib.models import late_entry as entry
from paperlib.models.adapter_files import (
    CONFIG,
    CONNECTOR,
    LORA,
    MADE_FOR,
    PARTS,
    RECORD,
    AdapterError,
    Adapters,
    read_adapters,
)
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


def connector(model: nn.Module) -> nn.Module:
    """The module between vision tower and LLM."""
    return model.model.multi_modal_projector


def add_lora(model: nn.Module, rank: int, layers: list[int]) -> PeftModel:
    """LoRA (Hu et al., arXiv 2106.09685) on every projection of the given decoder blocks and nowhere else.

    peft's ``layers_to_transform`` would also take the same-numbered blocks of a vision tower, so the modules are
    named in full, and what was adapted is checked. alpha = 2 x rank, no dropout. Raises AdapterError otherwise.
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


def made_for(model: nn.Module) -> dict[str, str]:
    """The connector and the decoder's blocks of a model without adapters, each by the sha256 of its weights in float16.

    Embeddings are left out: that of the image token is made when a model is assembled, and never read.
    """
    return {
        "connector": _digest(connector(model).state_dict()),
        "llm": _digest(model.get_decoder().layers.state_dict()),
    }


def connector_digest(folder: Path) -> str:
    """`made_for` of the connector that a folder of adapters holds. Raises AdapterError as `apply_adapter` does, and if
    the folder holds none.
    """
    found = read_adapters(folder).connector
    if found is None:
        raise AdapterError(f"The adapters in {folder.name} left the connector as it was: take those of stage 1.")
    return _digest(found)


def save_adapter(folder: Path, model: nn.Module, provenance: dict, frozen: dict[str, str] | None = None) -> Path:
    """Write connector, LoRA if ``model`` is a PeftModel, and provenance; what the folder held of an earlier run goes.

    frozen: `made_for` of the model before it was tuned, if its connector was frozen; it is written in its place.
    All is written elsewhere first. Raises AdapterError if it cannot be, and the folder is then as it was.
    """
    folder = Path(folder).resolve()
    scratch = folder.with_name(f".{folder.name}.tmp")
    try:
        shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
        scratch.mkdir(parents=True)
        _write(scratch, model, provenance, frozen)
        folder.mkdir(exist_ok=True)
        (folder / RECORD).unlink(missing_ok=True)  # until all parts are in place, the folder is not whole
        for name in PARTS:
            if (scratch / name).is_file():
                os.replace(scratch / name, folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
        os.replace(scratch / RECORD, folder / RECORD)
    except (OSError, SafetensorError) as error:  # the latter is how safetensors tells of a full disk
        raise AdapterError(
            f"The adapters in {folder.name} cannot be written "
            f"({getattr(error, 'strerror', None) or str(error).strip().rstrip('.')}): make room on the "
            f"disk or let the folder be written to, and run it again."
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
        model.save_pretrained(folder)
        path = folder / LORA
        save_file({k: v.half() for k, v in load_file(path).items()}, path, metadata={"format": "pt"})
        # peft records where the base model lay on the machine that trained; it means nothing anywhere else.
        config = json.loads((folder / CONFIG).read_text())
        write_json(folder / CONFIG, {**config, "base_model_name_or_path": "mini-base"})
    entry.save(folder, entry.entered(base))
    write_json(folder / RECORD, provenance)


def apply_adapter(model: nn.Module, folder: Path) -> None:
    """Load a folder's connector into ``model`` and merge its LoRA, if any, into the LLM's weights, in place.

    Raises AdapterError if the folder is not there, lacks a part that it speaks of, is unreadable, made for a model of
    another shape, or (if the connector was frozen) for another connector or LLM; ``model`` is then as it was.
    """
    found = read_adapters(folder)
    here = made_for(model) if found.made_for else {}
    for part, digest in here.items():
        if found.made_for[part] != digest:
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
            model.requires_grad_(True)  # peft froze it; autocast rounds only such weights once instead of at each use
        entry.load(folder, model)
    except Exception as error:  # peft and torch each have their own way to say the same
        raise AdapterError(
            f"The adapters in {folder.name} cannot be loaded into this model ({type(error).__name__}): "
            f"they are damaged or made for another model."
        ) from error


def _check_lora(model: nn.Module, found: Adapters) -> None:
    """Raise an error unless a LoRA fits ``model`` exactly, before anything is changed: peft overlooks matrices that are
    missing or too many, and leaves its own layers in the model when a shape is wrong.
    """
    wanted = {}
    for name, module in model.named_modules():
        if re.fullmatch(found.config.target_modules, name):
            rows, columns = module.weight.shape
            wanted[f"base_model.model.{name}.lora_A.weight"] = (found.config.r, columns)
            wanted[f"base_model.model.{name}.lora_B.weight"] = (rows, found.config.r)
    if _shapes(found.lora) != wanted:
        raise ValueError("another LLM")


def _shapes(weights: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in weights.items()}


def _digest(weights: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(value.detach().half().contiguous().cpu().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
