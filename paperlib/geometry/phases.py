"""Reading an intrinsic-dimension profile: where the abstraction phase peaks, how high, and how wide it is.

The abstraction phase of a transformer is the range of depth in which the intrinsic dimension of its representations
rises to a peak and falls again (Cheng et al. 2024, arXiv 2405.15471). The reading rule, stated before any number:

- the **peak** is the interior layer of the largest dimension, and its relative depth is what is compared;
- the **peak's dimension** is that dimension; it is compared as it is, and not as a ratio to an end, which moves too;
- the **rise** is by how much it exceeds the larger of the profile's two ends: above 0, there is a hump;
- the **width** is the share of depth around the peak at which the dimension stays at or above half way between the
  larger of the two ends and the peak; 0 if there is no hump.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paperlib.geometry.dimension import intrinsic_dimension
from paperlib.geometry.neighbors import GeometryError, Neighbors
from paperlib.geometry.subsampling import subsampled


@dataclass(frozen=True)
class Phase:
    """depth of the peak in [0, 1]; its dimension; its rise above both ends; width as a share of depth, see above."""

    depth: float
    peak: float
    rise: float
    width: float


def phase(depth: Sequence[float], dimension: Sequence[float]) -> Phase:
    """Read a profile: relative depths ascending, and the dimension at each.

    Where the profile crosses half height between two layers, the crossing is interpolated. Raises GeometryError for
    fewer than three layers.
    """
    x, d = np.asarray(depth, float), np.asarray(dimension, float)
    if len(x) != len(d) or len(x) < 3:
        raise GeometryError(
            f"A phase is read from a dimension at each of three layers or more, got {len(x)} depths and "
            f"{len(d)} dimensions."
        )
    peak = 1 + int(d[1:-1].argmax())
    ends = max(d[0], d[-1])
    if d[peak] <= ends:
        return Phase(float(x[peak]), float(d[peak]), float(d[peak] - ends), 0.0)
    half = (d[peak] + ends) / 2
    left = next(i for i in range(peak, -1, -1) if d[i] < half)
    right = next(i for i in range(peak, len(d)) if d[i] < half)
    start = np.interp(half, d[[left, left + 1]], x[[left, left + 1]])
    stop = np.interp(half, d[[right, right - 1]], x[[right, right - 1]])
    return Phase(float(x[peak]), float(d[peak]), float(d[peak] - ends), float(stop - start))


def profiles(
    searched: dict[str, Sequence[Neighbors]], k: int = 16, n: int = 20, share: float = 0.8, seed: int = 0
) -> dict[str, np.ndarray]:
    """GRIDE's dimension of every layer of every named series, {name: [1 + n, layers]}.

    Row 0 is from all N points, rows 1 to n from share x N of them without replacement, the same for all series and
    layers, so that what is computed from two series can be compared draw by draw (`subsampling.jackknife`). Raises
    GeometryError as `dimension.intrinsic_dimension` and `subsampling.subsampled`, or if series differ in N.
    """
    counts = {len(layer) for layers in searched.values() for layer in layers}
    if len(counts) != 1:
        raise GeometryError(f"Series must have the same number of points in every layer, got {sorted(counts)}.")

    def dimension(layer: Neighbors) -> float:
        return intrinsic_dimension(layer, "gride", k).value

    return {
        name: np.stack([subsampled(dimension, layer, n=n, share=share, seed=seed) for layer in layers], axis=1)
        for name, layers in searched.items()
    }
