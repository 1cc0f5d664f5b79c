"""The models of a lineage that was tuned elsewhere: tuned, untrained, before tuning, and tuned in a band alone.

They are made from the tuned model, so that all share what they have in common: the vision tower always, and whatever
else no graft has replaced (`models.grafting`).
"""

from __future__ import annotations

import torch

from paperlib.models.fetching import open_llm, open_tensors, open_vlm
from paperlib.models.grafting import graft_connector, graft_llm, randomized, share_equal, shared
from paperlib.models.input_checks import VLMError
from paperlib.models.lineages import Lineage
from paperlib.models.loading import load_model, open_source
from paperlib.models.names import adapter_folder
from paperlib.models.parts import check_sees
from paperlib.models.precision import dtype_name, held_dtype
from paperlib.models.vlm import VLM


def weights_dtype(lineage: Lineage, dtype: str, device: torch.device | str) -> torch.dtype:
    """In which precision a lineage's weights are held; dtype: as `precision.held_dtype` takes it."""
    return held_dtype(dtype, device, lineage.built is not None)


def tuned_model(lineage: Lineage, dtype: torch.dtype, attention: str | None = None) -> VLM:
    """The tuned model with its processor, on the CPU. Raises VLMError if it cannot be opened or sees no pictures."""
    if lineage.tuned is None:
        raise VLMError(f"The lineage {lineage.name!r} names no tuned model: give it `tuned`.")
    if adapter_folder(lineage.tuned.repo) is not None:  # tuned here, and given by its folder
        opened = load_model(lineage.tuned.repo, 0, dtype_name(dtype), attention or "auto")
    else:
        opened = open_source(lineage.tuned, dtype, attention)
    return VLM(f"{lineage.name} tuned", *opened)


def untrained_model(lineage: Lineage, tuned: VLM, seed: int = 0) -> VLM:
    """Random LLM and connector behind the tuned model's vision tower."""
    return VLM(f"{lineage.name} untrained", randomized(tuned.model, seed), tuned.processor)


def model_before(lineage: Lineage, tuned: VLM, stage: str) -> tuple[VLM, list[str]]:
    """The tuned model with the LLM before tuning and, where one is published, the connector of stage 1.

    Returns it with a sentence for each thing that could not be taken over, or that differs beside blocks and connector.
    Raises VLMError for a lineage that names no LLM, and as `fetching` and `grafting` do.
    """
    if lineage.llm is None:
        raise VLMError(f"The lineage {lineage.name!r} names no LLM before tuning: give it `llm`.")
    model = shared(tuned.model)
    if lineage.connector is not None:  # first, for it is small: a file that does not fit is told before an LLM is read
        name = f"{lineage.connector.file} of {lineage.connector.repo}"
        graft_connector(model, open_tensors(lineage.connector), lineage.connector.keys, name)
    llm = open_llm(lineage.llm, tuned.base.dtype)
    said = graft_llm(model, llm, lineage.llm.repo)
    share_equal(model, tuned.model)  # what tuning left as it was
    return VLM(f"{lineage.name} {stage}", model.eval(), tuned.processor), said


def band_model(lineage: Lineage, blocks: str, tuned: VLM, alike: tuple[VLM, ...] = ()) -> VLM:
    """A checkpoint of the lineage that was tuned in a band alone, by its name.

    alike: models, beside the tuned one, with which it shares what is equal. Raises VLMError for a name that there is
    not, and as `fetching` does.
    """
    if blocks not in lineage.bands:
        there = ", ".join(map(repr, lineage.bands)) or "none"
        raise VLMError(f"The lineage {lineage.name!r} has no band {blocks!r}: those that are published: {there}.")
    source = lineage.bands[blocks]
    model = open_vlm(source, tuned.base.dtype, tuned.base.config._attn_implementation)
    check_sees(model, source.repo)
    for other in (tuned, *alike):
        share_equal(model, other.model)
    return VLM(f"{lineage.name} band {blocks}", model, tuned.processor)
