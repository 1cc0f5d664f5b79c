"""Models made of parts of others: the LLM before tuning, or a connector of stage 1, put into a tuned model.

`shared` makes a second model that holds the same weights in the same memory. Parts are then put in by name, and every
difference is checked: a graft that fits only in part would be another model than the one that it is called.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from paperlib.models.input_checks import VLMError
from paperlib.models.parts import connector, tied, vision_parameters, vision_tower
from paperlib.models.unwrapping import base_model

# LLaVA's own name for the two layers of its connector, and transformers'.
LLAVA_KEYS = {"model.mm_projector.0.": "linear_1.", "model.mm_projector.2.": "linear_2."}


def shared(model: Any) -> Any:
    """A second model with the same weights in the same memory. Its modules are its own: hooks and grafts stay apart."""
    return copy.deepcopy(model, {id(parameter): parameter for parameter in model.parameters()})


def graft_llm(model: Any, llm: Any, name: str) -> list[str]:
    """Put another LLM's blocks, norm, word embeddings and head into a model, by name, without copying.

    llm: a causal language model of transformers. name: how messages call it. Returns a sentence for each thing that
    could not be taken over: rows of the vocabulary that one side lacks stay as they are in ``model``. Raises VLMError
    for blocks of other names or shapes, and for a head that is tied on one side alone.
    """
    base, said = base_model(model), list[str]()
    own, theirs = base.get_decoder(), llm.get_decoder()
    if tied(base) != tied(llm):
        raise VLMError(
            f"The head of {name} is {'' if tied(llm) else 'not '}tied to its word embeddings and the tuned model's is "
            f"{'' if tied(base) else 'not '}: give the LLM that the model was tuned from."
        )
    words = "embed_tokens.weight"
    mine, found = dict(own.named_parameters()), dict(theirs.named_parameters())
    _check_names(set(mine), set(found), f"The LLM {name}")
    for key, parameter in mine.items():
        if key != words and parameter.shape != found[key].shape:
            raise VLMError(
                f"The LLM {name} has {key} of shape {tuple(found[key].shape)}, but the tuned model has "
                f"{tuple(parameter.shape)}: give the LLM that it was tuned from."
            )
    with torch.no_grad():
        for key in mine:
            if key != words:
                put(own, key, nn.Parameter(found[key].detach().to(mine[key]), requires_grad=False))
        rows = _rows(mine[words], found[words], f"The LLM {name}", said)
        put(own, words, rows)
        head = base.get_output_embeddings()
        if tied(llm):
            head.weight = rows
        else:
            head.weight = _rows(head.weight, llm.get_output_embeddings().weight, f"The head of {name}", [])
    return said


def graft_connector(model: Any, tensors: Mapping[str, torch.Tensor], keys: Mapping[str, str], name: str) -> None:
    """Put a connector's weights into a model, by name.

    keys: {beginning of a key in the file: what stands in its place in the model's connector}. Raises VLMError for keys
    that are missing or left over, and for other shapes.
    """
    part = connector(model)
    renamed = {}
    for key, tensor in tensors.items():
        beginning = next((b for b in sorted(keys, key=len, reverse=True) if key.startswith(b)), None)
        renamed[key if beginning is None else keys[beginning] + key[len(beginning) :]] = tensor
    own = part.state_dict()
    _check_names(set(own), set(renamed), f"The connector file {name}")
    for key, tensor in renamed.items():
        if tensor.shape != own[key].shape:
            raise VLMError(
                f"The connector file {name} has {key} of shape {tuple(tensor.shape)}, but the model has "
                f"{tuple(own[key].shape)}: give the file of this model's stage 1."
            )
        put(part, key, nn.Parameter(tensor.to(own[key]), requires_grad=False))


def randomized(model: Any, seed: int = 0) -> Any:
    """A control of the same shape: random LLM and connector (transformers' initialisation), the tower's own weights.

    The tower's memory is shared.
    """
    base = base_model(model)
    usual = torch.get_default_dtype()
    torch.manual_seed(seed)
    try:
        torch.set_default_dtype(base.dtype)
        fresh = type(base)(base.config)
    finally:
        torch.set_default_dtype(usual)
    trained = dict(vision_parameters(base))
    tower = vision_tower(fresh)
    for name, parameter in trained.items():
        put(tower, name, parameter)
    for buffer, own in zip(vision_tower(base).buffers(), tower.buffers(), strict=True):
        own.copy_(buffer)  # running statistics of a convolutional tower
    fresh.generation_config = base.generation_config
    return fresh


def put(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
    """Put a parameter in the place of the one of that name."""
    path, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(path), leaf, parameter)


def _rows(own: torch.Tensor, other: torch.Tensor, what: str, said: list[str]) -> nn.Parameter:
    """The other's rows as far as both have them, and the own ones beyond."""
    if own.shape[1] != other.shape[1]:
        raise VLMError(
            f"{what} has vectors of {other.shape[1]} numbers, but the tuned model's have {own.shape[1]}: give the LLM "
            f"that it was tuned from."
        )
    both = min(len(own), len(other))
    if len(own) > both:
        said.append(f"{what} lacks {len(own) - both} rows of the vocabulary, which stay as tuning left them.")
    if len(other) > both:
        said.append(
            f"{what} has {len(other) - both} rows of the vocabulary more than the tuned model; they are dropped."
        )
    if len(own) == both == len(other):
        return nn.Parameter(other.detach().to(own), requires_grad=False)
    return nn.Parameter(torch.cat([other[:both].to(own), own[both:]]).detach(), requires_grad=False)


def _check_names(mine: set[str], found: set[str], what: str) -> None:
    lacking, surplus = sorted(mine - found), sorted(found - mine)
    if lacking or surplus:
        parts = [f"lacks {lacking[0]}" for _ in lacking[:1]] + [f"holds {surplus[0]}" for _ in surplus[:1]]
        raise VLMError(
            f"{what} does not fit the tuned model: it {' and '.join(parts)} ({len(lacking)} names lacking, "
            f"{len(surplus)} too many); give the one that the model was tuned from."
        )
