"""From a curve over depth to a sentence: at which depths its interval lies above or below a level."""

from collections.abc import Sequence

from paperlib.stats.bootstrap import Interval
from paperlib.stats.words import listed

NO_GAP = "there is no gap to share"


def depths_where(depths: Sequence[float], chosen: Sequence[bool]) -> str:
    """Depths in words, neighbours of the grid joined: "0.10 and 0.43 to 0.77". Empty if none is chosen.

    Raises ValueError for lengths that differ.
    """
    runs: list[list[float]] = []
    previous = False
    for depth, here in zip(depths, chosen, strict=True):
        if here and previous:
            runs[-1] = [runs[-1][0], depth]
        elif here:
            runs.append([depth])
        previous = here
    return listed([" to ".join(f"{end:.2f}" for end in run) for run in runs], none="")


def against_level(
    depths: Sequence[float], estimates: Sequence[Interval | None], level: float = 0.0, shown: str = "0"
) -> str:
    """On which side of a level the intervals lie: "is clearly above 0 at 0.43 to 0.60 and not told from 0 at 0.90".

    shown: the level as the sentence shows it. Depths without an estimate are left out. Where none has one, there is no
    gap, and the sentence says so.
    """
    known = [(depth, estimate) for depth, estimate in zip(depths, estimates, strict=True) if estimate is not None]
    if not known:
        return f"is not reported, since {NO_GAP}"
    at = [depth for depth, _ in known]
    sides = {
        f"clearly above {shown}": [e.low > level for _, e in known],
        f"clearly below {shown}": [e.high < level for _, e in known],
        f"not told from {shown}": [e.low <= level <= e.high for _, e in known],
    }
    parts = [
        f"{side} {'at every depth tried' if all(chosen) else f'at {depths_where(at, chosen)}'}"
        for side, chosen in sides.items()
        if any(chosen)
    ]
    return f"is {listed(parts)}"


def largest(depths: Sequence[float], estimates: Sequence[Interval | None], spec: str = "+.1f") -> str:
    """The largest estimate and where it is: "its largest estimate is +19.3 [+10.1, +32.6], at 0.60"."""
    known = [(depth, estimate) for depth, estimate in zip(depths, estimates, strict=True) if estimate is not None]
    if not known:
        return f"it has no estimate, since {NO_GAP}"
    depth, estimate = max(known, key=lambda pair: pair[1].value)
    return f"its largest estimate is {format(estimate, spec)}, at {depth:.2f}"
