"""What a tuning trains: the connector or not, and LoRA matrices or all weights of a band; everything else is frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from paperlib.models.adapters import add_lora
from paperlib.models.parts import connector
from paperlib.models.vlm import VLM
from paperlib.tuning.train_config import TrainingError

METHODS = ("lora", "full")


def choose(
    vlm: VLM, method: str, layers: Sequence[int], with_connector: bool, rank: int, seed: int
) -> dict[str, nn.Parameter]:
    """Freeze everything but what is tuned, and return that by name. With LoRA, ``vlm.model`` becomes a PeftModel.

    method: "lora" or "full", for the blocks ``layers``. rank, seed: of the LoRA matrices. Raises TrainingError if
    anything else than what was asked for would be trained.
    """
    model: Any = vlm.model.requires_grad_(False)
    bridge = connector(model)
    if method == "full":
        for i in layers:
            vlm.layers[i].requires_grad_(True)
    elif layers:
        torch.manual_seed(seed)
        vlm.model = add_lora(model, rank, list(layers))
    bridge.requires_grad_(with_connector)
    parameters = {name: p for name, p in vlm.model.named_parameters() if p.requires_grad}
    _check(vlm, parameters, layers, with_connector)
    return parameters


def split(vlm: VLM, parameters: Mapping[str, nn.Parameter]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The connector's of these parameters, and the others, by name."""
    bridge = {id(p) for p in connector(vlm.model).parameters()}
    inside = {name: p for name, p in parameters.items() if id(p) in bridge}
    return inside, {name: p for name, p in parameters.items() if name not in inside}


def _check(vlm: VLM, parameters: Mapping[str, nn.Parameter], layers: Sequence[int], with_connector: bool) -> None:
    """Raise TrainingError unless the chosen blocks, the connector if asked for, and nothing else are trained."""
    bridge, rest = split(vlm, parameters)
    block = {id(p): i for i, layer in enumerate(vlm.layers) for p in layer.parameters()}
    blocks = {block[id(p)] for p in rest.values() if id(p) in block}
    others = {name for name, p in rest.items() if id(p) not in block} | ({"connector"} if bridge else set())
    if blocks != set(layers) or others != ({"connector"} if with_connector else set()):
        raise TrainingError(
            f"Training reached blocks {sorted(blocks)} and {sorted(others)} of {vlm.name!r} instead of "
            f"blocks {sorted(layers)}{' and the connector' if with_connector else ''} alone."
        )
