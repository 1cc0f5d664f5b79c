"""Nearest neighbours of N points, searched once and shared by every metric of a layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Integral
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike

from paperlib.geometry.distances import BLOCK, GeometryError, Points, as_points, blocks, rounded_to
from paperlib.study.checks import shown

SPARE = 16  # candidates beyond k, so that rounding can't keep a true neighbour out
TOLERANCE = 1e-3  # widest interval of a squared distance, as a share of it, that is returned unrefined


@dataclass(frozen=True, eq=False)
class Neighbors:
    """Points with their K nearest neighbours, nearest first, a point itself left out: those of a search in float64.

    indices: [N, K] int64. distances: [N, K] float64, in the unit of the points.
    metric: "euclidean", or "cosine" for Euclidean distances between rows scaled to length 1.
    """

    points: Points
    indices: torch.Tensor
    distances: torch.Tensor
    metric: str = "euclidean"

    @staticmethod
    def of(x: torch.Tensor | ArrayLike, k: int = 64, metric: str = "euclidean", keep: bool = False) -> Neighbors:
        """Search the k nearest neighbours of each row of x [N, D], a tensor or an array.

        metric "cosine" orders neighbours by the angle between rows as they are, not centred. Rows at equal distance
        come in no particular order. keep holds on to the table of products where `Points` has one (4 N^2 bytes a
        layer), so that Information Imbalance and CKA need not compute it again.
        Raises GeometryError as `as_points`, for k outside 1 .. N - 1, another metric, or, with "cosine", rows of zeros.
        """
        if metric not in ("euclidean", "cosine"):
            raise GeometryError(f"metric must be 'euclidean' or 'cosine', got {metric!r}.")
        points = Points.of(x if metric == "euclidean" else _unit_rows(as_points(x)))
        k = _check_k(k, len(points))
        indices, distances = _search(points, torch.arange(len(points), device=points.x.device), k)
        return Neighbors(points if keep else replace(points, kept=None), indices, distances, metric)

    def __len__(self) -> int:
        return len(self.points)

    def nearest(self, k: int) -> torch.Tensor:
        """[N, k] indices. Raises GeometryError for more than were searched."""
        k = _check_k(k, len(self))
        if k > self.indices.shape[1]:
            raise GeometryError(
                f"Only {self.indices.shape[1]} neighbours were searched and {k} are needed: search "
                f"deeper with Neighbors.of(x, k={k})."
            )
        return self.indices[:, :k]

    def tied(self, k: int) -> torch.Tensor:
        """[N] whether neighbours k and k + 1 are equally far from a point within rounding (`Points.ties`), so that
        which of them is among the k nearest isn't defined. Lists that end at k are searched again, one deeper.
        """
        k = _check_k(k, len(self))
        if k == len(self) - 1:
            return torch.zeros(len(self), dtype=torch.bool, device=self.indices.device)
        deeper = self.distances
        if deeper.shape[1] == k:
            deeper = _search(self.points, torch.arange(len(self), device=self.indices.device), k + 1)[1]
        return deeper[:, k] - deeper[:, k - 1] <= self.points.ties

    def subset(self, rows: torch.Tensor | np.ndarray) -> Neighbors:
        """The neighbours within some of the points, rows [n] of distinct indices, taken from the lists at hand.

        A list keeps about K n / N of its entries. The new lists are as long as nearly all rows can fill
        (three standard deviations below that mean); the few rows that fall short are searched again.
        Raises GeometryError where that leaves no neighbour.
        """
        rows = torch.as_tensor(rows, device=self.indices.device)
        n, others, k = len(rows), len(self) - 1, self.indices.shape[1]
        share = (n - 1) / others
        variance = k * share * (1 - share) * (others - k) / max(1, others - 1)  # hypergeometric
        depth = int(k * share - 3 * variance**0.5 + 1e-9)
        if depth < 1:
            raise GeometryError(
                f"{k} neighbours are too few to measure {n} of {len(self)} points: search deeper or take more points."
            )
        place = torch.full((len(self),), -1, device=rows.device)
        place[rows] = torch.arange(n, device=rows.device)
        indices = place[self.indices[rows]]  # [n, K], -1 outside the subset
        inside = indices >= 0
        count = inside.cumsum(1)
        kept, short = inside & (count <= depth), (count[:, -1] < depth).nonzero().flatten()
        kept[short] = torch.arange(k, device=rows.device) < depth  # as many as elsewhere, to be replaced below
        indices, distances = indices[kept].view(n, depth), self.distances[rows][kept].view(n, depth)
        points = self.points.subset(rows)
        if len(short):
            indices[short], distances[short] = _search(points, short, depth)
        return Neighbors(points, indices, distances, self.metric)


# What a metric measures: points [N, D] as a tensor or an array, or neighbours that were searched before.
Measured: TypeAlias = Neighbors | torch.Tensor | ArrayLike


def points_of(x: Measured) -> Points:
    """The points of an array, or of neighbours, with a table of products if it is small.

    Raises GeometryError as `as_points`, or for neighbours by cosine.
    """
    if not isinstance(x, Neighbors):
        return Points.of(x)
    points = searched(x, 1).points
    return points if points.kept else Points.of(points.x)


def searched(x: Measured, k: int, metric: str = "euclidean") -> Neighbors:
    """X itself if it is `Neighbors`, which may be deeper than k, or those of the points x [N, D].

    Raises GeometryError as `Neighbors.of`, or for neighbours by the other metric.
    """
    if not isinstance(x, Neighbors):
        return Neighbors.of(x, k, metric)
    if x.metric != metric:
        raise GeometryError(
            f"This metric needs {metric} neighbours and these are {x.metric}: search them with "
            f"Neighbors.of(x, k, metric={metric!r})."
        )
    return x


def _unit_rows(x: torch.Tensor) -> torch.Tensor:
    largest = x.abs().amax(1, keepdim=True).double()
    if (largest == 0).any():
        raise GeometryError(
            f"{int((largest == 0).sum())} rows are all zeros and have no direction: drop them, or use "
            f"metric 'euclidean'."
        )
    unit = torch.cat(
        [
            part / part.norm(dim=1, keepdim=True)
            for part in (  # in float64, so that copies stay copies
                part.double() / most
                for part, most in zip(blocks(x, x.shape[1]), blocks(largest, x.shape[1]), strict=True)
            )
        ]
    )
    unit = unit.to(rounded_to(x))
    if (unit == unit[0]).all():
        raise GeometryError("All rows point in one direction, so cosines tell nothing: use metric 'euclidean'.")
    return unit


def _check_k(k: int, n: int) -> int:
    if isinstance(k, bool) or not isinstance(k, Integral) or not 1 <= k < n:
        raise GeometryError(
            f"k must be a whole number from 1 to N - 1 = {n - 1}, got {shown(k)}: a point has no more "
            f"neighbours than that."
        )
    return int(k)


def _search(points: Points, rows: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices and distances [R, k] of the k nearest to rows [R]; distances in float64, in the unit of the points."""
    found = []
    for block, low, high in points.bounds(rows):
        index, square, settled = _candidates(points, block, low, high, k)
        if not settled.all():
            index[~settled], square[~settled] = _search_exactly(points, block[~settled], k)
        found.append((index, square))
    indices, squares = zip(*found, strict=True)
    return torch.cat(indices), torch.cat(squares).sqrt() / points.unit


def _candidates(
    points: Points, rows: torch.Tensor, low: torch.Tensor, high: torch.Tensor, k: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`_search` for one block, but squared distances in units, and whether each row's answer is certain [B]."""
    low, index = low.topk(min(k + SPARE, len(points) - 1), largest=False)  # [B, C], by lower bound
    high = high.gather(1, index)
    floor = low[:, -1].clone() if low.shape[1] < len(points) - 1 else torch.inf  # nothing else can be nearer than this
    unsure = high - low > TOLERANCE * high
    unsure[:, 1:] |= high.cummax(1).values[:, :-1] >= low[:, 1:]
    unsure[:, :-1] |= high[:, :-1] >= low[:, 1:]
    square, upper = ((low + high) / 2).double(), high.double()
    i, c = unsure.nonzero(as_tuple=True)
    square[i, c] = upper[i, c] = points.exact(rows[i], index[i, c])
    square, order = square.sort(dim=1)
    settled = upper.gather(1, order)[:, k - 1] <= floor
    return index.gather(1, order)[:, :k], square[:, :k], settled


def _search_exactly(points: Points, rows: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The same from differences in float64 alone: slow, for rows with more near-ties than there is room to spare."""
    x, unit = points.x, points.unit
    own, step = x[rows].double() * unit, max(1, BLOCK // x.shape[1])
    direct = "donot_use_mm_for_euclid_dist"
    distance = torch.cat([torch.cdist(own, part.double() * unit, compute_mode=direct) for part in x.split(step)], dim=1)
    distance, index = distance.scatter_(1, rows[:, None], torch.inf).topk(k, largest=False)
    return index, distance.square()
