"""How large the states of tokens are, and how far they have turned from where they began, layer by layer."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from paperlib.stats.bootstrap import Interval, ratio_intervals


@dataclass(frozen=True)
class Scale:
    """One layer: mean Euclidean norm of a token's state, and its mean cosine to the same token at the first layer."""

    norm: Interval
    cosine: Interval


def token_scale(tokens: Sequence[torch.Tensor], groups: Sequence[str], seed: int = 0) -> list[Scale]:
    """tokens: [layers, tokens, D] for each example; groups: [N], resampled. One result a layer, means over tokens, then
    over examples. Raises ValueError if layers differ between examples, or examples and groups in number.
    """
    found = [
        ratio_intervals(rows.tolist(), torch.ones_like(rows[:1]).tolist(), groups, _ends(rows), seed=seed)
        for rows in (_mean_norms(tokens), _mean_cosines(tokens))
    ]
    return [Scale(*layer) for layer in zip(*found, strict=True)]


def norm_ratio(
    tokens: Sequence[torch.Tensor], others: Sequence[torch.Tensor], groups: Sequence[str], seed: int = 0
) -> list[Interval]:
    """Mean norm of the one over that of the other, layer by layer, paired by example. Shapes as in `token_scale`."""
    parts, wholes = _mean_norms(tokens), _mean_norms(others)
    return ratio_intervals(parts.tolist(), wholes.tolist(), groups, _ends(parts / wholes), seed=seed)


def _ends(rows: torch.Tensor) -> list[list[float]]:
    """Each layer's least and greatest value. Where no example differs (the cosine at the first layer), none can."""
    return torch.stack([rows.amin(1), rows.amax(1)], dim=1).tolist()


def _mean_norms(tokens: Sequence[torch.Tensor]) -> torch.Tensor:
    """[layers, N]"""
    return _stacked([part.double().norm(dim=-1).mean(1) for part in tokens])


def _mean_cosines(tokens: Sequence[torch.Tensor]) -> torch.Tensor:
    """[layers, N]"""
    return _stacked([torch.cosine_similarity(part.double(), part[:1].double(), dim=-1).mean(1) for part in tokens])


def _stacked(columns: list[torch.Tensor]) -> torch.Tensor:
    if len({len(column) for column in columns}) != 1:
        raise ValueError("Every example needs states of the same layers, [layers, tokens, width].")
    return torch.stack(columns, dim=1)
