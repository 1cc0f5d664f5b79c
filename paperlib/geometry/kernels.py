"""Centred kernel alignment: how alike all pairwise similarities of two representations are."""

from __future__ import annotations

import torch

from paperlib.geometry.distances import BLOCK, GeometryError, Points, centred, full_precision, paired, squared_lengths
from paperlib.geometry.neighbors import Measured, points_of


def cka(x: Measured, y: Measured, unbiased: bool = True) -> float:
    """Linear centred kernel alignment, HSIC(x, y) / sqrt(HSIC(x, x) HSIC(y, y)) (Kornblith et al. 2019).

    unbiased: Song et al.'s (2012) estimator of HSIC, as in Nguyen et al. (2021): about 0 for independent x and y, and
    sometimes below. The biased one grows with D / N (0.62 for independent Gaussians at N = 2,500, D = 4,096). One
    massive dimension that x and y share drives either to 1: report it with `without_outliers` as well.
    Takes N x N products where `Points` has them in a table, and elsewhere D_x x D_y ones in blocks.
    Raises GeometryError as `as_points`, if x and y differ in N or device, or, if unbiased, for fewer than 4 rows or
    where HSIC(x, x) or HSIC(y, y) is no more than rounding, as for points that are all equally far apart.

    >>> import numpy as np
    >>> x, other = np.random.default_rng(0).normal(size=(2, 300, 50))
    >>> f"{cka(x, 3 * x + 1):.3f}, unrelated {cka(x, other):z.1f}, unrelated and biased {cka(x, other, False):.1f}"
    '1.000, unrelated 0.0, unrelated and biased 0.1'
    """
    return float(ckas(x, y, None, unbiased)[0])


def ckas(x: Measured, y: Measured, orders: torch.Tensor | None, unbiased: bool = True) -> torch.Tensor:
    """[M] values of `cka`, with row i of x beside row orders[m, i] of y; one value as rows are, without orders."""
    x, y = points_of(x), points_of(y)
    pairings = paired(x.x, y.x, orders)
    if unbiased and len(x) < 4:
        raise GeometryError(f"Unbiased CKA needs at least 4 rows, got {len(x)}.")
    others = [y] if orders is None else map(y.subset, pairings)
    own = [_hsic(z, z, unbiased) for z in (x, y)]
    for name, z, (value, terms) in zip("xy", (x, y), own, strict=True):
        if not value > terms * (24 + z.x.shape[1] ** 0.5) * torch.finfo(z.x.dtype).eps:  # as in `Points.bounds`
            raise GeometryError(
                f"HSIC({name}, {name}) is no more than rounding, so CKA isn't defined: the rows of {name} "
                f"are about equally far apart, or too few for their width, so measure more rows."
            )
    scale = own[0][0].sqrt() * own[1][0].sqrt()
    return torch.stack([_hsic(x, other, unbiased)[0] for other in others]) / scale


def _hsic(x: Points, y: Points, unbiased: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """HSIC of the linear kernels K and L of points in their `unit`, up to a factor that N alone decides, and the size
    of the terms that cancel in it.

    Diagonals p and q, row sums r and s, [N] each, and the sum over K_ij L_ij are all it takes. Where no kernels are
    kept that is |x^T y|^2 of the centred points, and rows sum to 0.
    """
    n = len(x)
    if x.kept and y.kept:
        (kernel, p), (other, q) = x.kept, y.kept
        step = max(1, BLOCK // n)
        blocks = zip(kernel.split(step), other.split(step), strict=True)
        total = torch.stack([(a * b).sum(dtype=torch.float64) for a, b in blocks]).sum()
        r, s = kernel.sum(1, dtype=torch.float64), other.sum(1, dtype=torch.float64)
    else:
        a, b = centred(x.x * x.unit), centred(y.x * y.unit)
        a, b = (z.to(torch.promote_types(a.dtype, b.dtype)) for z in (a, b))
        p, q = squared_lengths(a), squared_lengths(b)
        with full_precision(a):
            parts = a.split(max(1, BLOCK // b.shape[1]), dim=1)
            total = torch.stack([(part.T @ b).double().square().sum() for part in parts]).sum()
        r, s = torch.zeros_like(p), torch.zeros_like(q)
    if not unbiased:  # both kernels centred
        return total - 2 / n * (r @ s) + r.sum() * s.sum() / n**2, total
    r, s = r - p, s - q  # both diagonals removed
    return total - p @ q + r.sum() * s.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (r @ s), total + p @ q
