"""A model before and after tuning: what the connector alone changes, and how far each block's weights moved."""

import copy

import torch

from paperlib.models.parts import connector
from paperlib.models.vlm import VLM


def with_connector(vlm: VLM, other: VLM) -> VLM:
    """A copy of a model behind the connector of another: it tells what tuning changed in the connector alone."""
    made = VLM(f"{vlm.name}, connector of {other.name}", copy.deepcopy(vlm.model), vlm.processor)
    connector(made.model).load_state_dict(connector(other.model).state_dict())
    return made


@torch.no_grad()
def weight_changes(before: VLM, after: VLM) -> list[float]:
    """Of each block, the Frobenius norm of what tuning added to its matrices, over that of the matrices before.

    Raises ValueError for models whose blocks are not alike.
    """
    found = []
    for old, new in zip(before.layers, after.layers, strict=True):
        pairs = [(a, b) for a, b in zip(new.parameters(), old.parameters(), strict=True) if a.ndim > 1]
        squares = torch.tensor([[(a - b).square().sum(), b.square().sum()] for a, b in pairs]).sum(0)
        found.append(float((squares[0] / squares[1]).sqrt()))
    return found
