"""Bands of a study's model that were tuned here on instructions: where they are, writing them, loading them.

A run of `scaled_training` leaves a checkpoint. `write_band` makes of its weights what loads later: adapters (with
LoRA), or a whole model as `save_pretrained` writes it. Both begin at the model's stage before tuning.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoConfig

from paperlib.models.adapter_files import RECORD, is_adapter_folder
from paperlib.models.adapters import apply_adapter, made_for, save_adapter
from paperlib.models.fetching import open_vlm, place_of
from paperlib.models.grafting import put, share_equal, shared
from paperlib.models.input_checks import VLMError
from paperlib.models.lineages import Source, lineage_of
from paperlib.models.parts import check_sees, connector
from paperlib.models.vlm import VLM
from paperlib.study.results import data_digest, provenance, read_json, write_json
from paperlib.study.study import Study
from paperlib.tuning.arms import config_of_built
from paperlib.tuning.scaled_checkpoints import STATE, WEIGHTS, newest
from paperlib.tuning.scaled_config import ScaledConfig
from paperlib.tuning.stages import BEFORE_ONLY, STAGE_1, make_stage, stage_names, start_of, trained_folder
from paperlib.tuning.train_config import TrainingError
from paperlib.tuning.trained_parts import choose

HOW = {"lora": "LoRA here", "full": "all weights here"}


def arm_name(band: str, method: str) -> str:
    """How a band that was tuned here is called beside those that others tuned."""
    return f"{band}, {HOW[method]}"


def band_folder(study: Study, band: str, method: str) -> Path:
    """Where a band is written. Its checkpoints are beside it, in the folder with ".training" behind the name."""
    return trained_folder(study) / "instructed" / f"{band.replace(':', '-to-')}-{method}"


def full_of(arm: str, arms: Iterable[str], usual: str) -> str:
    """The arm of full tuning beside which an arm stands: one that was tuned here in the same way, or the usual one."""
    mine = next((arm_name(usual, method) for method, how in HOW.items() if arm.endswith(f", {how}")), usual)
    return mine if mine in arms and mine != arm else usual


def own_bands(study: Study) -> dict[str, Path]:
    """{name of the arm: folder} of the bands that are finished."""
    place = trained_folder(study) / "instructed"
    folders = sorted(path.parent for path in place.glob(f"*/{RECORD}")) if place.is_dir() else []
    return {str(read_json(folder / RECORD).get("arm", folder.name)): folder for folder in folders}


def text_config(study: Study) -> Any:
    """The configuration of the LLM of a study's model, without its weights. Raises VLMError if it cannot be read."""
    lineage = lineage_of(study.model)
    if lineage.tuned is None:
        return config_of_built(study.model)
    place, options = place_of(lineage.tuned)
    return AutoConfig.from_pretrained(place, subfolder=lineage.tuned.folder or "", **options).get_text_config()


def stage_before(study: Study) -> str:
    """The name of the stage before tuning. Raises VLMError for a model that has none."""
    lineage = lineage_of(study.model)
    found = next((name for name in stage_names(lineage) if name in (STAGE_1, BEFORE_ONLY)), None)
    if found is None:
        raise VLMError(
            f"{lineage.name} has no stage before tuning, so no band of it can be tuned: name its LLM (llm) in a "
            f"lineage of your own."
        )
    return found


def start_model(study: Study) -> VLM:
    """A fresh model of the stage before tuning, on the CPU, in the study's precision. Errors are `stages.load_stage`'s.

    It shares no weights with another model that is in use.
    """
    return make_stage(study, lineage_of(study.model), stage_before(study))[0]


def start_name(study: Study) -> str:
    """Digest of what the stage before tuning is made of; a band that began elsewhere is another one."""
    lineage = lineage_of(study.model)
    if lineage.built:
        return start_of(study)
    parts = (lineage.tuned, lineage.llm, lineage.connector)
    return data_digest([part and dataclasses.asdict(part) for part in parts])


def checkpoint_folder(folder: Path) -> Path:
    """Where the checkpoints of a band's training are."""
    return folder.with_name(f"{folder.name}.training")


def is_finished(folder: Path, config: ScaledConfig, start: str, data: str) -> bool:
    """Whether a band is there. Raises TrainingError for one that was made otherwise: nothing is overwritten."""
    if not (folder / RECORD).is_file():
        return False
    record = read_json(folder / RECORD)
    if (record.get("recipe"), record.get("start"), record.get("data")) != (config.recipe(), start, data):
        raise TrainingError(
            f"The band in {folder.parent.name}/{folder.name} was tuned with other settings, on other data or from "
            f"another model: remove that folder to tune it again, or give the settings that it was made with."
        )
    return True


def write_band(study: Study, band: str, config: ScaledConfig) -> Path:
    """Make a band of the checkpoint at its end; -> its folder. The checkpoints are removed.

    Raises TrainingError if training has not ended, AdapterError or OSError if it cannot be written.
    """
    folder = band_folder(study, band, config.method)
    path = newest(checkpoint_folder(folder))
    state = {} if path is None else json.loads((path / STATE).read_text(encoding="utf-8"))
    if path is None or len(state["losses"]) < config.steps:
        raise TrainingError(f"The band {band} is not trained to its end: run it again, which goes on.")
    vlm = start_model(study)
    before = made_for(vlm.model) if config.method == "lora" and not config.connector else None
    put_weights(vlm, config, path)
    record = provenance(
        study,
        state["seconds"],
        state["rows"],
        arm=arm_name(band, config.method),
        supervised_tokens=state["tokens"],
        loss=state["losses"],
        **{key: state[key] for key in ("recipe", "start", "data", "data_seed", "refused", "precision", "processes")},
    )
    if config.method == "lora":
        save_adapter(folder, vlm.model, record, before)
    else:
        save_whole(folder, vlm, record)
    shutil.rmtree(checkpoint_folder(folder))
    return folder


def load_own(name: str, folder: Path, before: VLM, *alike: VLM) -> VLM:
    """A band that was tuned here. With adapters it shares all but what was tuned with ``before``, the stage before.

    alike: other models whose equal weights a whole model shares. Raises AdapterError for damaged adapters or those of
    another model, SourceError for a whole model that cannot be opened.
    """
    if is_adapter_folder(folder):
        recipe = read_json(folder / RECORD)["recipe"]
        model = shared(before.model)
        for part in (connector(model), *(model.get_decoder().layers[i] for i in recipe["layers"])):
            for key, parameter in list(part.named_parameters()):
                put(part, key, nn.Parameter(parameter.detach().clone(), requires_grad=False))
        apply_adapter(model, folder)
    else:
        model = open_vlm(Source(str(folder)), before.base.dtype, before.base.config._attn_implementation)
        check_sees(model, folder.name)
        for other in (before, *alike):
            share_equal(model, other.model)
    return VLM(f"{before.name}, then {name}", model.eval(), before.processor)


@torch.no_grad()
def put_weights(vlm: VLM, config: ScaledConfig, checkpoint: Path) -> None:
    """Put what was trained into a fresh model of where training began. With LoRA, it becomes a PeftModel."""
    weights = load_file(checkpoint / WEIGHTS)
    parameters = choose(vlm, config.method, config.layers, config.connector, config.rank, config.seed)
    for name, parameter in parameters.items():
        parameter.copy_(weights[name])


def save_whole(folder: Path, vlm: VLM, record: dict[str, Any]) -> None:
    """A whole model's folder, written beside and then renamed, with the record of how it was made."""
    scratch = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
    shutil.rmtree(folder, ignore_errors=True)  # without a record
    try:
        vlm.base.save_pretrained(scratch)
        vlm.processor.save_pretrained(scratch)
        write_json(scratch / RECORD, record)
        os.replace(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
