"""The band that measurements at stage 1 predict: profiles over depth, rescaled, and the windows that they favour."""

from collections.abc import Mapping, Sequence

import numpy as np

from paperlib.figures.rows import select
from paperlib.stats.bootstrap import Interval
from paperlib.tuning.bands import band_scores, choose_band

GEOMETRY, PROBES = "neighbourhood overlap of pictures and captions", "probes at the answer position, mean"


def profile(rows: Sequence[Mapping], value: str, blocks: int, **wanted: str) -> np.ndarray:
    """A quantity at what each block returns, with the ends of its interval, [3, blocks].

    rows: each with a relative "depth" and an `Interval` under ``value``; those that match ``wanted`` count. Between the
    depths that were measured, all three are interpolated. Raises ValueError if no row matches.
    """
    found = {row["depth"]: row[value][:3] for row in select(rows, **wanted)}
    if not found:
        raise ValueError(f"The table has no rows with {wanted}: run the notebook that writes it again.")
    depths, at = sorted(found), np.arange(1, blocks + 1) / blocks
    return np.array([np.interp(at, depths, [found[d][i] for d in depths]) for i in range(3)])


def rescaled(curve: np.ndarray) -> np.ndarray | None:
    """A profile [3, blocks] on the scale on which its values run from 0 to 1.

    None for values that are all the same, which favour no window.
    """
    low, spread = curve[0].min(), np.ptp(curve[0])
    return (curve - low) / spread if spread > 0 else None


def predictors(geometry: np.ndarray, probes: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The profiles by which a band is chosen, [3, blocks] each, without those that are flat.

    Each probe is rescaled by itself, so that all count alike; of the probes it is the mean, with the lowest and the
    highest probe as its ends.
    """
    scaled = [s[0] for s in map(rescaled, probes.values()) if s is not None]
    mean = np.array([np.mean(scaled, axis=0), np.min(scaled, axis=0), np.max(scaled, axis=0)]) if scaled else None
    flat = mean is None or np.ptp(mean[0]) == 0
    found = {GEOMETRY: rescaled(geometry), PROBES: None if flat else mean}
    return {name: curve for name, curve in found.items() if curve is not None}


def profile_rows(profiles: Mapping[str, np.ndarray], n: int) -> list[dict]:
    """The profiles as rows of a table: profile, relative depth of the centre of a block, value with its ends."""
    return [
        {"profile": name, "depth": (block + 0.5) / curve.shape[1], "value": _interval(curve[:, block], n)}
        for name, curve in profiles.items()
        for block in range(curve.shape[1])
    ]


def predicted(profiles: Mapping[str, np.ndarray], size: int) -> tuple[tuple[int, ...], np.ndarray]:
    """The band of ``size`` blocks that the profiles choose, and the score of each window by its first block. Both are
    empty if no profile is left.
    """
    if not profiles:
        return (), np.array([])
    curves = [curve[0] for curve in profiles.values()]
    return choose_band(curves, size), band_scores(curves, size)


def nearly_best(scores: np.ndarray, within: float = 0.05) -> tuple[int, int]:
    """The lowest and the highest first block of the windows whose score lies so near to the best."""
    near = np.flatnonzero(scores > scores.max() - within)
    return int(near.min()), int(near.max())


def _interval(ends: np.ndarray, n: int) -> Interval:
    value, low, high = ends.tolist()
    return Interval(value, low, high, n)
