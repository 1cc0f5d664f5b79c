"""How far apart image states and text states lie in each layer."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike

from paperlib.probes.logistic import standardise
from paperlib.probes.probing import probe
from paperlib.probes.state_checks import check_states, pick_device
from paperlib.stats.accuracy import Interval
from paperlib.stats.bootstrap import group_intervals
from paperlib.stats.permutation import control_labels, permutation_p
from paperlib.study.checks import seeded, whole


@dataclass(frozen=True)
class Separability:
    """One layer. ``p`` is that of the silhouette, corrected over layers by the maximum."""

    layer: int
    accuracy: Interval
    silhouette: Interval
    null: float  # 95th percentile of the silhouettes of shuffled modalities
    p: float


def separability(
    images: ArrayLike | torch.Tensor,
    texts: ArrayLike | torch.Tensor,
    image_groups: ArrayLike,
    text_groups: ArrayLike,
    folds: int = 5,
    l2: float = 0.03,
    permutations: int = 199,
    seed: int = 0,
    device: str = "auto",
) -> list[Separability]:
    """How well a layer tells image states and text states apart: by a linear probe, and by a silhouette.

    The probe is `probing.probe`, with folds by group. The silhouette (Rousseeuw 1987) runs from -1 to 1 and is 0 if an
    example is as far from its own modality as from the other. Distances are Euclidean on states standardised by
    dimension, so that no massive dimension decides. The null shuffles modalities; states of one group and modality stay
    together. The interval resamples groups at fixed distances.

    Args:
        images: [N, L+1, D].
        texts: [M, L+1, D].
        image_groups: [N], the scene.
        text_groups: [M], the scene.
        folds: as in `probe`.
        l2: as in `probe`.
        permutations: shuffles for the null of the silhouette.
        seed: of folds, shuffles and intervals.
        device: "auto" takes a GPU if there is one.

    Raises ValueError as `probe` does, and for fewer than one permutation.
    """
    permutations = whole(permutations, "permutations", 1, 10**5)
    sides = check_states({"images": images, "texts": texts})
    states = torch.cat(list(sides.values()))
    groups = np.concatenate([np.asarray(image_groups), np.asarray(text_groups)])
    modality = np.repeat([0, 1], [len(side) for side in sides.values()])
    probes = probe(states, modality, groups, folds, l2, controls=0, seed=seed, device=device)

    rng, where = seeded(seed), pick_device(device)
    blocks = np.unique(groups, return_inverse=True)[1] * 2 + modality
    shuffled = [control_labels(modality, blocks, rng) for _ in range(permutations)]
    shuffles = torch.from_numpy(np.stack([modality, *shuffled])).to(where)  # [1 + R, N + M]
    scores = [
        silhouettes(standardise(states[:, layer].to(where)), shuffles).cpu().numpy() for layer in range(states.shape[1])
    ]
    means = np.stack([score.mean(axis=1) for score in scores], axis=1)  # [1 + R, L+1]
    p, null = permutation_p(means[0], means[1:]), np.quantile(means[1:], 0.95, axis=0)
    intervals = group_intervals(np.stack([score[0] for score in scores]), groups, (-1, 1), seed=seed)
    return [
        Separability(i, result.accuracy, intervals[i], float(null[i]), float(p[i])) for i, result in enumerate(probes)
    ]


def silhouettes(features: torch.Tensor, sides: torch.Tensor) -> torch.Tensor:
    """The silhouette of each example, [R, N], under each of R labellings ``sides`` [R, N] with 0 and 1.

    features: [N, D]. The silhouette is 0 for an example that is alone on its side, and if all states are equal.
    """
    distance = torch.cdist(features, features)  # [N, N]
    to_one = sides.to(distance) @ distance  # [R, N], summed over examples called 1
    to_zero = distance.sum(0) - to_one
    n_one = sides.sum(1, keepdim=True)
    n_zero, one = sides.shape[1] - n_one, sides == 1
    n_own = torch.where(one, n_one, n_zero)
    within = torch.where(one, to_one, to_zero) / (n_own - 1)  # the distance to itself is 0
    across = torch.where(one, to_zero, to_one) / torch.where(one, n_zero, n_one)
    return torch.where(n_own > 1, (across - within) / torch.maximum(across, within).clamp(min=1e-30), 0)
