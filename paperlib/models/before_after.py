"""A model before and after tuning: what the connector alone changes, and how far each block's weights moved."""

import torch
from torch import nn

from paperlib.models.grafting import put, shared
from paperlib.models.parts import connector
from paperlib.models.vlm import VLM


def with_connector(vlm: VLM, other: VLM) -> VLM:
    """A model behind the connector of another: what tuning changed in the connector alone. Memory is shared."""
    made = VLM(f"{vlm.name}, connector of {other.name}", shared(vlm.model), vlm.processor)
    _take(connector(made.model), connector(other.model))
    return _beside(vlm, made)


def with_blocks(vlm: VLM, other: VLM) -> VLM:
    """A model with the decoder blocks of another; all else is its own. Memory is shared.

    Raises ValueError for models whose blocks are not alike.
    """
    made = VLM(f"{vlm.name}, blocks of {other.name}", shared(vlm.model), vlm.processor)
    _take(made.layers, other.layers)
    return _beside(vlm, made)


def _beside(vlm: VLM, made: VLM) -> VLM:
    """Made of a model whose weights may wait on the CPU, a model may have to wait too."""
    if vlm.placement is not None:
        vlm.placement.add(made)
    return made


def _take(own: nn.Module, other: nn.Module) -> None:
    """Put another module's parameters in the place of the own ones, by name."""
    mine, theirs = dict(own.named_parameters()), dict(other.named_parameters())
    if {name: p.shape for name, p in mine.items()} != {name: p.shape for name, p in theirs.items()}:
        raise ValueError("The two models are not alike: their parameters have other names or shapes.")
    for name, parameter in theirs.items():
        put(own, name, parameter)


@torch.no_grad()
def weight_changes(before: VLM, after: VLM) -> list[float]:
    """Of each block, the Frobenius norm of what tuning added to its matrices, over that of the matrices before.

    Raises ValueError for models whose blocks are not alike.
    """
    found = []
    for old, new in zip(before.layers, after.layers, strict=True):
        pairs = [(a, b.to(a.device)) for a, b in zip(new.parameters(), old.parameters(), strict=True) if a.ndim > 1]
        squares = torch.tensor([[(a - b).square().sum(), b.square().sum()] for a, b in pairs]).sum(0)
        found.append(float((squares[0] / squares[1]).sqrt()))
    return found
