"""Whether the parts of two models fit together: architecture, names and shapes, each refused in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from paperlib.models.input_checks import VLMError

# The text model of a family -> the LLM that it was made of; others keep their LLM's own name.
LLM_OF = {"qwen2_vl": "qwen2", "qwen2_5_vl": "qwen2", "qwen3_vl": "qwen3"}
# Settings that change what equal weights compute. Those in the first line leave no trace in a shape.
MUST_AGREE = ("num_attention_heads", "num_key_value_heads", "head_dim", "hidden_act", "hidden_activation")
WORTH_SAYING = ("rms_norm_eps", "rope_theta")


def architecture(config: Any) -> str:
    """The name of an LLM's architecture: "llama", "qwen2", whether alone or as the text model of a family."""
    name = str(config.model_type).removesuffix("_text")
    return LLM_OF.get(name, name)


def check_architecture(tuned: Any, before: Any, what: str) -> None:
    """Raises VLMError unless two text configurations are of one architecture."""
    mine, theirs = architecture(tuned), architecture(before)
    if mine != theirs:
        raise VLMError(f"{what} is a {theirs}, but the tuned model's is a {mine}: give the LLM that it was tuned from.")


def check_settings(tuned: Any, before: Any, what: str) -> None:
    """Raises VLMError unless two text configurations have equal heads and activations."""
    for name in MUST_AGREE:
        one, other = (getattr(config, name, None) for config in (tuned, before))
        if one is not None and other is not None and one != other:
            raise VLMError(
                f"{what} has {name} {other}, but the tuned model has {one}: give the LLM that it was tuned from."
            )


def changed_settings(tuned: Any, before: Any, what: str) -> list[str]:
    """A sentence for each setting that tuning changed and that weights alone do not carry."""
    found = []
    for name in WORTH_SAYING:
        one, other = (_setting(config, name) for config in (tuned, before))
        if one is not None and other is not None and one != other:
            found.append(f"{what} was trained with {name} {other:g}; every stage here has the tuned model's, {one:g}.")
    return found


def check_names(mine: set[str], found: set[str], what: str) -> None:
    """Raises VLMError unless both sides have the same names."""
    lacking, surplus = sorted(mine - found), sorted(found - mine)
    if lacking or surplus:
        parts = [f"lacks {name}" for name in lacking[:1]] + [f"holds {name}" for name in surplus[:1]]
        raise VLMError(
            f"{what} does not fit the tuned model: it {' and '.join(parts)} ({len(lacking)} names lacking, "
            f"{len(surplus)} too many); give the one that the model was tuned from, or its `keys` in the lineage."
        )


def check_shapes(mine: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor], what: str) -> None:
    """Raises VLMError unless all of ``mine`` have their shape in ``found``."""
    for key, own in mine.items():
        if own.shape != found[key].shape:
            raise VLMError(
                f"{what} has {key} of shape {tuple(found[key].shape)}, but the tuned model has {tuple(own.shape)}: "
                f"give the one that the model was tuned from."
            )


def _setting(config: Any, name: str) -> float | None:
    value = getattr(config, name, None)
    if value is None and name == "rope_theta":
        value = (getattr(config, "rope_parameters", None) or {}).get(name)
    return float(value) if isinstance(value, (int, float)) else None
