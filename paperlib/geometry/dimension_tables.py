"""Intrinsic dimensions with their intervals, as tables hold them: by scale, by layer, and the phase of a profile."""

import math
from collections.abc import Sequence

import numpy as np

from paperlib.geometry.calibration import calibrated
from paperlib.geometry.dimension import Dimension
from paperlib.geometry.phases import phase
from paperlib.geometry.subsampling import jackknife
from paperlib.stats.bootstrap import Interval

READ = ("depth", "peak", "rise", "width")  # of a phase


def scale_rows(cloud: str, found: Sequence[Dimension], n: int) -> list[dict]:
    """Rows {cloud, k, dimension} of `dimension.dimension_by_scale`; intervals are two errors of the estimator wide, on
    either side, which is too narrow at large k (`dimension.intrinsic_dimension`).
    """
    return [
        {"cloud": cloud, "k": d.k, "dimension": Interval(d.value, d.value - 2 * d.error, d.value + 2 * d.error, n)}
        for d in found
    ]


def dimension_intervals(profile: np.ndarray, total: int, share: float = 0.8) -> list[Interval]:
    """The dimension at each layer of a profile [1 + n, layers] of `phases.profiles`, from ``total`` points."""
    return [jackknife(values, total, share) for values in profile.T]


def read_phase(x: Sequence[float], profile: np.ndarray, total: int, share: float = 0.8) -> dict[str, Interval]:
    """depth, peak, rise and width of the phase (`phases.phase`) in a profile [1 + n, layers], read draw by draw."""
    read = [phase(x, row) for row in profile]
    return {what: jackknife([getattr(p, what) for p in read], total, share) for what in READ}


def phase_change(
    x: Sequence[float], after: np.ndarray, before: np.ndarray, total: int, share: float = 0.8, level: float = 0.95
) -> dict[str, Interval]:
    """How depth, peak, rise and width differ between two profiles: after minus before, paired draw by draw."""
    pairs = [(phase(x, a), phase(x, b)) for a, b in zip(after, before, strict=True)]
    return {
        what: jackknife([getattr(a, what) - getattr(b, what) for a, b in pairs], total, share, level) for what in READ
    }


def gaussian_like(value: float, n: int, k: int = 16) -> float | None:
    """`calibration.calibrated`, or None where the reading lies beyond the table."""
    found = calibrated(value, n, k)
    return found if math.isfinite(found) else None
