"""What tuning leaves behind, as files: the connector's weights and, after stage 2, a peft LoRA adapter of the LLM.

A folder holds ``connector.safetensors``, ``provenance.json`` and, with LoRA, peft's own ``adapter_config.json`` and
``adapter_model.safetensors``; plain peft can load the latter. Weights are stored in float16 to stay small. Where the
connector was frozen, ``made_for.json`` stands in its place and says, by digest, which connector and LLM must be there.
Where image tokens enter above block 0, ``entry.json`` says so, and the model is given that entry (`paperlib.entry`).
"""

import hashlib
import json
import re
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn

from . import entry
from .results import write_json

# peft asks transformers for an attribute by its old name; readers can do nothing about it.
warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)

PROJECTIONS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
               "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")


class AdapterError(RuntimeError):
    """Adapters are missing, damaged or made for another model; the message says which and what to do."""


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
    found = {name.removesuffix(".lora_A.default").removeprefix("base_model.model.")
             for name, _ in tuned.named_modules() if name.endswith(".lora_A.default")}
    if found != wanted:
        raise AdapterError(f"LoRA reached {len(found)} modules instead of the {len(wanted)} asked for: this model's "
                           f"decoder blocks lack some of {', '.join(PROJECTIONS)}.")
    return tuned


def made_for(model: nn.Module) -> dict[str, str]:
    """The connector and the decoder's blocks of a model without adapters, each by the sha256 of its weights in float16.

    Embeddings are left out: that of the image token is made when a model is assembled, and never read.
    """
    return {"connector": _digest(connector(model)), "llm": _digest(model.get_decoder().layers)}


def save_adapter(folder: Path, model: nn.Module, provenance: dict, frozen: dict[str, str] | None = None) -> Path:
    """Write connector, LoRA (if the model is a PeftModel) and provenance into ``folder``.

    frozen: `made_for` of the model before it was tuned, if its connector was frozen; it is written in its place.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lora = isinstance(model, PeftModel)
    base = model.get_base_model() if lora else model
    for name in ("connector.safetensors", "made_for.json"):
        (folder / name).unlink(missing_ok=True)
    if frozen:
        write_json(folder / "made_for.json", frozen)
    else:
        weights = {k: v.detach().half().contiguous().cpu() for k, v in connector(base).state_dict().items()}
        save_file(weights, folder / "connector.safetensors", metadata={"format": "pt"})
    if lora:
        model.save_pretrained(folder)
        path = folder / "adapter_model.safetensors"
        save_file({k: v.half() for k, v in load_file(path).items()}, path, metadata={"format": "pt"})
        # peft records where the base model lay on the machine that trained; it means nothing anywhere else.
        config = json.loads((folder / "adapter_config.json").read_text())
        write_json(folder / "adapter_config.json", {**config, "base_model_name_or_path": "mini-base"})
        (folder / "README.md").unlink(missing_ok=True)
    else:  # what an earlier run left here must not be taken for this one's
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            (folder / name).unlink(missing_ok=True)
    entry.save(folder, entry.entered(base))
    write_json(folder / "provenance.json", provenance)
    return folder


def apply_adapter(model: nn.Module, folder: Path) -> None:
    """Load a folder's connector into ``model`` and merge its LoRA, if any, into the LLM's weights, in place.

    Raises AdapterError if the folder is not there, unreadable, made for a model of another shape, or (if the connector
    was frozen) for another connector or LLM; ``model`` is then as it was.
    """
    if (folder / "made_for.json").is_file():
        wanted, here = json.loads((folder / "made_for.json").read_text()), made_for(model)
        for part in ("connector", "llm"):
            if wanted.get(part) != here[part]:
                raise AdapterError(f"The adapters in {folder.name} were made for another {part} than this model's: "
                                   f"load the model that they were tuned from, the mini model's stage 1, or tune "
                                   f"them again.")
    elif not (folder / "connector.safetensors").is_file():
        raise AdapterError(f"There are no adapters in {folder.name}: take data/adapters from the repository again, or "
                           f"train them with retrain=true in notebook 01 (bands of notebook 05: make reference).")
    try:
        bridge = connector(model).state_dict()
        if (folder / "connector.safetensors").is_file():
            bridge = {k: v.float() for k, v in load_file(folder / "connector.safetensors").items()}
        if _shapes(bridge) != _shapes(connector(model).state_dict()):
            raise ValueError("another connector")
        lora = (folder / "adapter_model.safetensors").is_file()
        if lora:
            _check_lora(model, folder)
        connector(model).load_state_dict(bridge)
        if lora:
            dtype = next(model.parameters()).dtype
            PeftModel.from_pretrained(model, folder, torch_device="cpu").merge_and_unload()
            model.to(dtype)
            model.requires_grad_(True)  # peft froze it; autocast rounds only such weights once instead of at each use
        entry.load(folder, model)
    except Exception as error:  # safetensors, peft and torch each have their own way to say the same
        raise AdapterError(f"The adapters in {folder.name} cannot be loaded into this model ({type(error).__name__}): "
                           f"they are damaged or made for another model.") from error


def _check_lora(model: nn.Module, folder: Path) -> None:
    """Raise an error unless a folder's LoRA fits ``model`` exactly, before anything is changed: peft overlooks matrices
    that are missing or too many, and leaves its own layers in the model when a shape is wrong."""
    config = LoraConfig.from_pretrained(folder)
    wanted = {}
    for name, module in model.named_modules():
        if re.fullmatch(config.target_modules, name):
            rows, columns = module.weight.shape
            wanted[f"base_model.model.{name}.lora_A.weight"] = (config.r, columns)
            wanted[f"base_model.model.{name}.lora_B.weight"] = (rows, config.r)
    if _shapes(load_file(folder / "adapter_model.safetensors")) != wanted:
        raise ValueError("another LLM")


def _shapes(weights: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in weights.items()}


def _digest(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().half().contiguous().cpu().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
