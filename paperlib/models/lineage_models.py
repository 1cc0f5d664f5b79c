"""The models of a lineage that was tuned elsewhere: tuned, untrained, before tuning, and tuned in a band alone.

They are made from the tuned model, so that all share what they have in common: the vision tower always, and whatever
else no graft has replaced (`models.grafting`).
"""

from __future__ import annotations

from typing import Any

import torch

from paperlib.models.fetching import open_llm, open_tensors, open_vlm, place_of
from paperlib.models.grafting import LLAVA_KEYS, graft_connector, graft_llm, randomized, shared
from paperlib.models.input_checks import VLMError
from paperlib.models.lineages import Lineage
from paperlib.models.processors import load_processor
from paperlib.models.vlm import VLM

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def weights_dtype(lineage: Lineage, dtype: str, device: torch.device | str) -> torch.dtype:
    """In which precision weights are held. "auto": bfloat16 on a GPU for what was tuned elsewhere, else float32."""
    if dtype != "auto":
        return PRECISIONS[dtype]
    elsewhere = lineage.built is None and torch.device(device).type != "cpu"
    return torch.bfloat16 if elsewhere else torch.float32


def tuned_model(lineage: Lineage, dtype: torch.dtype, attention: str | None = None) -> VLM:
    """The tuned model with its processor, on the CPU. Raises VLMError if it cannot be opened or sees no pictures."""
    source = lineage.tuned
    if source is None:
        raise VLMError(f"The lineage {lineage.name!r} names no tuned model: give it `tuned`.")
    model = open_vlm(source, dtype, attention)
    if getattr(model.config, "image_token_id", None) is None:
        raise VLMError(
            f"{type(model).__name__} of {source.repo!r} has no image tokens (config.image_token_id): choose a model "
            f"that reads pictures as tokens among words."
        )
    place, options = place_of(source)
    return VLM(f"{lineage.name} tuned", model, load_processor(place, **options))


def untrained_model(lineage: Lineage, tuned: VLM, seed: int = 0) -> VLM:
    """Random LLM and connector behind the tuned model's vision tower."""
    return VLM(f"{lineage.name} untrained", randomized(tuned.model, seed).eval(), tuned.processor)


def model_before(lineage: Lineage, tuned: VLM, stage: str) -> tuple[VLM, list[str]]:
    """The tuned model with the LLM before tuning and, where one is published, the connector of stage 1.

    Returns it with a sentence for each thing that could not be taken over. Raises VLMError for a lineage that names no
    LLM, and as `grafting` does.
    """
    if lineage.llm is None:
        raise VLMError(f"The lineage {lineage.name!r} names no LLM before tuning: give it `llm`.")
    model = shared(tuned.model)
    said = graft_llm(model, open_llm(lineage.llm, tuned.base.dtype), lineage.llm.repo)
    if lineage.connector is not None:
        keys = lineage.connector.keys or LLAVA_KEYS
        graft_connector(model, open_tensors(lineage.connector), keys, lineage.connector.repo)
    return VLM(f"{lineage.name} {stage}", model.eval(), tuned.processor), said


def band_model(lineage: Lineage, blocks: str, tuned: VLM) -> VLM:
    """A checkpoint of the lineage that was tuned in a band alone, by its name. Raises VLMError for others."""
    if blocks not in lineage.bands:
        there = ", ".join(lineage.bands) or "none"
        raise VLMError(f"The lineage {lineage.name!r} has no band {blocks!r}: those that are published: {there}.")
    model: Any = open_vlm(lineage.bands[blocks], tuned.base.dtype)
    return VLM(f"{lineage.name} {blocks}", model, tuned.processor)
