"""Distances among N points, compared exactly at the price of float32, in blocks.

Squared distances come from one product of matrices, |a|^2 + |b|^2 - 2ab, of centred points: fast, but where |a - b| is
small beside |a| the difference cancels. Each is therefore kept as an interval that holds the true value, and every
comparison that the intervals leave open is decided by the difference of the two points as they came, in float64.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike

BLOCK = 2**21  # entries of a block of distances
KEPT = 2**23  # entries of a table of products that is kept: N of 2,896 at most, 32 MB in float32
PAIRS = 2**17  # coordinates of single pairs that are looked at together: few enough for a processor's cache


class GeometryError(ValueError):
    """The points can't be measured as asked; the message is one sentence that says what to do."""


@dataclass(frozen=True, eq=False)
class Points:
    """Points x [N, D] as they came, but in float32 or float64; their device is that of all results.

    kept: inner products of the centred points [N, N] and their squared lengths [N], or None. They are computed once and
    serve all passes where the table is small (`KEPT`); elsewhere each pass computes them in blocks and drops them, so
    that memory never grows with N squared.
    unit: the power of two by which coordinates are multiplied before products, so that squares neither overflow nor
    vanish, whatever unit the points came in.
    """

    x: torch.Tensor
    kept: tuple[torch.Tensor, torch.Tensor] | None = None
    unit: float = 1.0

    @staticmethod
    def of(x: torch.Tensor | ArrayLike, keep: bool = True) -> Points:
        """The rows of an array or tensor. Raises GeometryError as `as_points`."""
        x = as_points(x)
        unit = unit_of(x)
        if not keep or len(x) ** 2 > KEPT:
            return Points(x, unit=unit)
        y, products = centred(x * unit), x.new_empty(len(x), len(x))
        with full_precision(y):
            for start in range(0, len(x), 256):  # on one side of the diagonal, and mirrored
                product = y[start : start + 256] @ y[start:].T
                products[start : start + 256, start:], products[start:, start : start + 256] = product, product.T
        return Points(x, (products, squared_lengths(y)), unit)

    def __len__(self) -> int:
        return len(self.x)

    def subset(self, rows: torch.Tensor) -> Points:
        """Some of the points; products kept stay centred on the mean of all, which changes no distance."""
        return Points(self.x[rows], self.kept and (self.kept[0][rows][:, rows], self.kept[1][rows]), self.unit)

    @cached_property
    def copies(self) -> torch.Tensor:
        """[N] distances up to which a row may be a copy of another one that was rounded otherwise: 4 eps |x|."""
        length = torch.linalg.vector_norm(self.x * self.unit, dim=1, dtype=torch.float64)
        return 4 * self.precision / self.unit * length

    @cached_property
    def ties(self) -> torch.Tensor:
        """[N] differences between distances that rounding of the coordinates can make: 2 eps max |x_d|.

        Less than `copies`, because roundings point in all directions and only their part along a distance changes it.
        """
        return 2 * self.precision * self.x.abs().amax(1).double()

    @cached_property
    def precision(self) -> float:
        """Eps of the type that coordinates were rounded to: that of float32 for its values in float64, too."""
        return torch.finfo(rounded_to(self.x)).eps

    def bounds(self, rows: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """For some rows, block by block: the rows [B], and lower and upper bounds of their squared distances to all
        points [B, N] each, in `unit`s, infinite at the row itself.

        A sum of D products is off by some sqrt(D) eps |a||b| (Higham & Mary 2019, SIAM J. Sci. Comput. 41, A2815). The
        bounds allow twice that, and 24 eps for centring and small D: twice the largest error seen in trials. What
        underflows beside one huge row is allowed for as well.
        """
        if self.kept is None:
            y = centred(self.x * self.unit)
            length = squared_lengths(y).to(self.x.dtype)
        else:
            products, length = self.kept[0], self.kept[1].to(self.x.dtype)
        share = (24 + self.x.shape[1] ** 0.5) * torch.finfo(self.x.dtype).eps
        least = 4 * self.x.shape[1] * torch.finfo(self.x.dtype).tiny
        for block in blocks(rows, len(self)):
            with full_precision(self.x):
                product = y[block] @ y.T if self.kept is None else products[block]
            total = length[block, None] + length
            middle = total.sub(product, alpha=2)
            error = total.mul_(share).add_(least)
            low, high = middle - error, middle.add_(error)
            yield block, low.scatter_(1, block[:, None], torch.inf), high.scatter_(1, block[:, None], torch.inf)

    def exact(self, i: torch.Tensor, j: torch.Tensor) -> torch.Tensor:
        """[P] squared distances between points i [P] and j [P], in `unit`s, from their differences in float64."""
        step = max(1, PAIRS // self.x.shape[1])
        pairs = zip(i.split(step), j.split(step), strict=True)
        return torch.cat([((self.x[a].double() - self.x[b].double()) * self.unit).square().sum(1) for a, b in pairs])

    def ranks(self, targets: torch.Tensor) -> torch.Tensor:
        """[N, M] ranks of the points targets[i] [N, M] among all by distance from point i: the nearest has rank 1.

        Points at equal distance share the mean of their ranks. Closer points are counted and nothing is sorted, so that
        ranks run to N - 1 at no cost in memory. No target may be its own point.
        """
        result = torch.empty(targets.shape, dtype=torch.float64, device=self.x.device)
        for rows, low, high in self.bounds(torch.arange(len(self), device=self.x.device)):
            for m, target in enumerate(targets[rows].T[:, :, None]):  # [B, 1]
                nearest, farthest = low.gather(1, target), high.gather(1, target)
                closer = (high < nearest).sum(1, dtype=torch.int32)
                possible = (low <= farthest).sum(1, dtype=torch.int32)
                result[rows, m] = 1 + closer.double()
                at = (possible - closer > 1).nonzero().flatten()  # rows where more than the target itself is open
                pairs = ((low[at] <= farthest[at]) & (high[at] >= nearest[at])).scatter_(1, target[at], False)
                row, other = pairs.nonzero(as_tuple=True)
                truth, i = self.exact(rows[at], target[at, 0])[row], rows[at][row]
                more, tie = self.exact(i, other) - truth, 1e-12 * truth
                result[:, m].index_add_(0, i, (more < -tie).double() + 0.5 * (more.abs() <= tie))
        return result


def as_points(x: torch.Tensor | ArrayLike) -> torch.Tensor:
    """X [N, D], a tensor or an array, on its device: float32 and float64 as they are, half precision as float32
    (nothing may be computed in less), and integers as float64.

    Raises GeometryError for another shape, fewer than two rows, NaN or infinite values, or rows that are all equal.
    """
    if not isinstance(x, torch.Tensor):
        try:
            x = np.asarray(x)
        except (ValueError, TypeError, RuntimeError) as error:  # rows of unequal length, or tensors on a GPU
            raise GeometryError("Points must be one table of numbers [N, D]: give all rows the same length.") from error
        if x.dtype.kind not in "biuf":
            raise GeometryError(f"Points must be numbers, got an array of {x.dtype}: pass floats [N, D].")
        exotic = x.dtype.itemsize > 8 or not x.dtype.isnative  # torch has neither long doubles nor swapped bytes
        x = torch.tensor(np.ascontiguousarray(x, float if exotic else None))
    if x.is_complex() or x.ndim != 2 or len(x) < 2 or x.shape[1] < 1:
        raise GeometryError(
            f"Points must be real numbers [N, D] with at least two rows, got {x.dtype} of shape "
            f"{list(x.shape)}: pass one row per example."
        )
    x = x.detach().float() if x.is_floating_point() and x.dtype != torch.float64 else x.detach().double()
    if not x.sum().isfinite() and (bad := int((~x.isfinite()).any(1).sum())):  # the sum is quick, and may overflow
        raise GeometryError(
            f"{bad} of {len(x)} rows hold NaN or infinite values: drop them, or capture the states in float32."
        )
    if (x[0] == x[1]).all() and (x == x[0]).all():
        raise GeometryError("All rows are equal, so there is nothing to measure: take another layer or position.")
    return x


def unit_of(x: torch.Tensor) -> float:
    """1 for usual values x, whose squares and their products are safe; elsewhere the power of two that brings the
    largest to about 1, as far as their type has it.
    """
    exponent, most = math.frexp(float(x.abs().amax()))[1], 120 if x.dtype == torch.float32 else 1000
    return 1.0 if abs(exponent) <= 20 else 2.0 ** -max(-most, min(most, exponent))


def rounded_to(x: torch.Tensor) -> torch.dtype:
    """float32 if that holds all values x, which may have been cast since, and else float64."""
    return torch.float32 if x.dtype == torch.float32 or bool((x == x.float()).all()) else torch.float64


def centred(x: torch.Tensor) -> torch.Tensor:
    """X [N, D] less its mean."""
    x = x - x.mean(0)
    return x - x.mean(0)  # what rounding left of a large mean


def blocks(rows: torch.Tensor, width: int) -> tuple[torch.Tensor, ...]:
    """Rows in parts that make blocks of a table `width` entries wide."""
    return rows.split(max(1, BLOCK // width))


@contextlib.contextmanager
def full_precision(x: torch.Tensor) -> Iterator[None]:
    """Products of float32 matrices in float32, whatever faster mode (TF32, bfloat16, autocast) is set outside."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(x.device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def squared_lengths(y: torch.Tensor) -> torch.Tensor:
    """[N] float64, of the rows of y [N, D]."""
    return torch.linalg.vector_norm(y, dim=1, dtype=torch.float64).square()


def paired(x: torch.Tensor, y: torch.Tensor, orders: torch.Tensor | None) -> torch.Tensor:
    """The orders [M, N], or the one that leaves rows as they are, on the device of the points.

    Raises GeometryError if x and y can't be paired.
    """
    if len(x) != len(y) or x.device != y.device:
        raise GeometryError(
            f"Row i of both must be example i on the same device, got {len(x)} rows on {x.device} and "
            f"{len(y)} on {y.device}."
        )
    return torch.arange(len(x), device=x.device)[None] if orders is None else orders.to(x.device)
