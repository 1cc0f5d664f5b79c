"""How far states move on their way through the blocks: their direction beside that of layer 0, and their size."""

from collections.abc import Sequence

import torch

from paperlib.geometry.subsampling import subsample_interval
from paperlib.stats.bootstrap import Interval


def cosine_to_input(states: torch.Tensor, layers: Sequence[int], n: int = 20, seed: int = 0) -> list[Interval]:
    """The mean cosine of each example's state at some layers with its state at layer 0. states: [N, L + 1, D]."""
    cosines = torch.nn.functional.cosine_similarity(states[:, layers], states[:, :1], dim=-1)  # [N, layers]
    return [subsample_interval(lambda part: float(part.mean()), column, n=n, seed=seed) for column in cosines.T]


def growth(states: torch.Tensor, layer: int, n: int = 20, seed: int = 0) -> Interval:
    """The mean length of states at a layer over their mean length at layer 0. states: [N, L + 1, D]."""
    lengths = states[:, [0, layer]].norm(dim=-1)  # [N, 2]
    return subsample_interval(lambda part: float(part[:, 1].mean() / part[:, 0].mean()), lengths, n=n, seed=seed)
