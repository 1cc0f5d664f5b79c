"""Which captions lie nearest to a picture: pictures at one layer, captions at another.

Pictures and captions lie in different regions, so each point cloud is centred at its own mean first, and what is left
is compared by its direction (cosine).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from paperlib.geometry.distances import GeometryError, as_points


@dataclass(frozen=True, eq=False)
class Ranking:
    """For each picture, all captions from the nearest to the farthest.

    order: [N, N] indices of captions. rank: [N] the place of a picture's own caption, 1 for the nearest.
    """

    order: torch.Tensor
    rank: torch.Tensor

    def found(self, k: int) -> float:
        """The share of pictures whose own caption is among the k nearest; chance is k / N."""
        return float((self.rank <= k).double().mean())


def nearest_captions(pictures: torch.Tensor, captions: torch.Tensor) -> Ranking:
    """Rank captions [N, D] for each of the pictures [N, D]; row i of both is of one scene.

    Raises GeometryError for clouds of other shapes, as `distances.as_points` does, and for one whose points all are its
    mean.

    >>> pictures = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    >>> nearest_captions(pictures, 2 * pictures + 5).rank.tolist()
    [1, 1, 1, 1, 1, 1, 1, 1, 1]
    """
    pictures, captions = as_points(pictures).double(), as_points(captions).double()
    if pictures.shape != captions.shape:
        raise GeometryError(
            f"Pictures {tuple(pictures.shape)} and captions {tuple(captions.shape)} must have the same shape, "
            f"one row for each scene."
        )
    cosines = _directions(pictures) @ _directions(captions).T
    order = cosines.argsort(dim=1, descending=True, stable=True)
    own = torch.arange(len(order), device=order.device)[:, None]
    return Ranking(order, (order == own).double().argmax(1) + 1)


def _directions(points: torch.Tensor) -> torch.Tensor:
    centred = points - points.mean(0)
    length = centred.norm(dim=1, keepdim=True)
    if not (length > 0).any():
        raise GeometryError("All points are equal, so none lies nearer than another: give points that differ.")
    return centred / length.clamp_min(torch.finfo(length.dtype).tiny)
