"""Models made of parts of others: the LLM before tuning, or a connector of stage 1, put into a tuned model.

`shared` makes a second model that holds the same weights in the same memory. Parts are then put in by name, and every
difference is checked: a graft that fits only in part would be another model than the one that it is called. What
remains to be known of the pair is returned in sentences (`graft_checks` compares configurations).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from paperlib.models.graft_checks import changed_settings, check_architecture, check_names, check_settings, check_shapes
from paperlib.models.input_checks import VLMError
from paperlib.models.parts import connector, tied, vision_parameters, vision_tower
from paperlib.models.unwrapping import base_model
from paperlib.stats.words import listed

# Beginnings of a connector's keys: in LLaVA's own file, and in whole models of transformers.
LLAVA_KEYS = {"model.mm_projector.0.": "linear_1.", "model.mm_projector.2.": "linear_2."}
USUAL_KEYS = LLAVA_KEYS | dict.fromkeys(
    ("model.multi_modal_projector.", "multi_modal_projector.", "model.connector."), ""
)
WORDS, NORM = "embed_tokens.weight", "norm."


def shared(model: Any) -> Any:
    """A second model with the same weights in the same memory. Its modules are its own: hooks and grafts stay apart."""
    return copy.deepcopy(model, {id(parameter): parameter for parameter in model.parameters()})


@torch.no_grad()
def share_equal(model: Any, other: Any) -> int:
    """Let a model hold the other's parameters wherever both have equal numbers under the same name.

    Returns how many bytes are held once instead of twice.
    """
    theirs, saved = dict(base_model(other).named_parameters(remove_duplicate=False)), 0
    for name, own in list(base_model(model).named_parameters(remove_duplicate=False)):
        there = theirs.get(name)
        if there is None or there is own or (own.shape, own.dtype) != (there.shape, there.dtype):
            continue
        if torch.equal(own, there.to(own.device)):
            put(base_model(model), name, there)
            saved += own.numel() * own.element_size()
    return saved


@torch.no_grad()
def graft_llm(model: Any, llm: Any, name: str) -> list[str]:
    """Put another LLM's blocks, norm, word embeddings and head into a model, by name, without copying.

    llm: a causal language model of transformers. name: how messages call it. Returns a sentence for each thing that
    could not be taken over, and for what tuning changed beside the blocks. Rows of the vocabulary that one side lacks
    stay as they are in ``model``; a tied head fills one that is not. Raises VLMError for another architecture, for
    blocks of other names or shapes, and for a head of its own where the tuned model has none.
    """
    base, what = base_model(model), f"The LLM {name}"
    own, theirs = base.get_decoder(), llm.get_decoder()
    mine, found = dict(own.named_parameters()), dict(theirs.named_parameters())
    check_architecture(base.config.get_text_config(), llm.config.get_text_config(), what)
    check_names(set(mine), set(found), what)
    check_shapes({k: v for k, v in mine.items() if k != WORDS}, found, what)
    check_settings(base.config.get_text_config(), llm.config.get_text_config(), what)
    said = changed_settings(base.config.get_text_config(), llm.config.get_text_config(), what)
    head, words = base.get_output_embeddings(), found[WORDS]
    scores = words if tied(llm) else llm.get_output_embeddings().weight
    if tied(base) and not tied(llm):
        raise VLMError(
            f"{what} has a head of its own, and the tuned model's is tied to its word embeddings: give the LLM that it "
            f"was tuned from."
        )
    fresh = {WORDS: _rows(mine[WORDS], words, what, said)}
    fresh |= {key: _as(found[key], mine[key]) for key in mine if key != WORDS}
    fresh_head = fresh[WORDS] if tied(base) else _rows(head.weight, scores, f"The head of {name}")
    said += _beside(mine | {"head": head.weight}, fresh | {"head": fresh_head}, tied(llm))
    if tied(llm) and not tied(base):
        said.append(f"{what} scores words with its word embeddings; tuning gave the head weights of its own.")
    for key, parameter in fresh.items():
        put(own, key, parameter)
    head.weight = fresh_head
    return said


@torch.no_grad()
def graft_connector(model: Any, tensors: Mapping[str, torch.Tensor], keys: Mapping[str, str] | None, name: str) -> None:
    """Put a connector's weights into a model, by name.

    keys: {beginning of a key in the file: what stands in its place in the model's connector}; `USUAL_KEYS` if empty.
    Raises VLMError for keys that are missing or left over, for other shapes, and for numbers that are not finite.
    """
    part, renamed, keys = connector(model), dict[str, torch.Tensor](), keys or USUAL_KEYS
    for key, tensor in tensors.items():
        beginning = next((b for b in sorted(keys, key=len, reverse=True) if key.startswith(b)), None)
        renamed[key if beginning is None else keys[beginning] + key[len(beginning) :]] = tensor
    own, what = dict(part.named_parameters()), f"The connector {name}"
    check_names(set(own), set(renamed), what)
    check_shapes(own, renamed, what)
    if not all(tensor.isfinite().all() for tensor in renamed.values()):
        raise VLMError(f"{what} holds numbers that are not finite: fetch its file again.")
    for key, tensor in renamed.items():
        put(part, key, _as(tensor, own[key]))


def randomized(model: Any, seed: int = 0) -> Any:
    """A control of the same shape: random LLM and connector (transformers' initialisation), the tower's own weights.

    The tower's memory is shared.
    """
    base = base_model(model)
    usual = torch.get_default_dtype()
    torch.manual_seed(seed)
    try:
        torch.set_default_dtype(base.dtype)
        fresh = type(base)(copy.deepcopy(base.config))
    finally:
        torch.set_default_dtype(usual)
    tower = vision_tower(fresh)
    for name, parameter in vision_parameters(base):
        put(tower, name, parameter)
    for buffer, own in zip(vision_tower(base).buffers(), tower.buffers(), strict=True):
        own.copy_(buffer)  # running statistics of a convolutional tower
    spread = getattr(base.config.get_text_config(), "initializer_range", 0.02)
    for weight in connector(fresh).parameters():
        if weight.ndim > 1 and not weight.any():  # Gemma's starts at zero, which is no random map but none
            nn.init.normal_(weight, std=spread)
    fresh.generation_config = base.generation_config
    return fresh.eval()


def put(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
    """Put a parameter in the place of the one of that name."""
    path, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(path), leaf, parameter)


def _as(tensor: torch.Tensor, own: torch.Tensor) -> nn.Parameter:
    """A parameter of the own one's type; where it lies stays as it is, for `placement` moves whole models."""
    return nn.Parameter(tensor.detach().to(own.dtype), requires_grad=False)


def _rows(own: torch.Tensor, other: torch.Tensor, what: str, said: list[str] | None = None) -> nn.Parameter:
    """The other's rows as far as both have them, and the own ones beyond."""
    if own.shape[1] != other.shape[1]:
        raise VLMError(
            f"{what} has vectors of {other.shape[1]} numbers, but the tuned model's have {own.shape[1]}: give the LLM "
            f"that it was tuned from."
        )
    both, surplus = min(len(own), len(other)), abs(len(own) - len(other))
    if said is not None and len(own) > both:
        said.append(f"{what} lacks {surplus} rows of the vocabulary, which stay as they are in the tuned model.")
    if said is not None and len(other) > both:
        said.append(f"{what} has {surplus} rows of the vocabulary more than the tuned model, which are left out.")
    rows = other.detach()[:both].to(own.dtype)
    rest = own.detach()[both:].to(rows.device)
    return nn.Parameter(torch.cat([rows, rest]) if len(rest) else rows, requires_grad=False)


def _beside(tuned: Mapping[str, torch.Tensor], before: Mapping[str, torch.Tensor], headless: bool) -> list[str]:
    """What tuning changed of the LLM beside its blocks, which a transplant of blocks leaves as it is.

    headless: whether the LLM before had no head of its own that could change.
    """
    names = {WORDS: "the word embeddings"} | ({} if headless else {"head": "the head"})
    names |= {key: "the final norm" for key in tuned if key.startswith(NORM)}
    parts = [called for key, called in names.items() if not torch.equal(tuned[key].to(before[key].device), before[key])]
    return [f"Beside the blocks, tuning changed {listed(list(dict.fromkeys(parts)))}."] if parts else []
