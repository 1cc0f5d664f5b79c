"""From a curve over depth to a sentence: at which depths its interval lies above or below a level."""

from collections.abc import Mapping, Sequence

from paperlib.stats.bootstrap import Interval
from paperlib.stats.words import listed, written

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
    """On which side of a level the intervals lie: "is clearly above 0 at 0.43 to 0.60, and not told from it at 0.90".

    shown: the level as the sentence shows it. Depths without an estimate are left out. Where none has one, there is no
    gap, and the sentence says so.
    """
    known = [(depth, estimate) for depth, estimate in zip(depths, estimates, strict=True) if estimate is not None]
    if not known:
        return f"is not reported, since {NO_GAP}"
    at = [depth for depth, _ in known]
    sides = {
        "clearly above": [e.low > level for _, e in known],
        "clearly below": [e.high < level for _, e in known],
        "equal to": [e.low == e.high == level for _, e in known],
    }
    sides["not told from"] = [not any(side) for side in zip(*sides.values(), strict=True)]
    found = {side: chosen for side, chosen in sides.items() if any(chosen)}
    if len(found) == 1:
        return f"is {next(iter(found))} {shown} at every depth tried"
    parts = [
        f"{side} {'it' if i else shown} at {depths_where(at, chosen)}" for i, (side, chosen) in enumerate(found.items())
    ]
    return f"is {', '.join(parts[:-1])}, and {parts[-1]}"


def against_levels(depths: Sequence[float], estimates: Sequence[Interval | None], levels: Mapping[float, str]) -> str:
    """`against_level` for several levels, shown as the mapping says: "is clearly ..; it is clearly ..".

    Where there is no gap, this is said once.
    """
    said = [against_level(depths, estimates, level, shown) for level, shown in levels.items()]
    return "; it ".join(dict.fromkeys(said))


def described(
    name: str,
    depths: Sequence[float],
    estimates: Sequence[Interval | None],
    spec: str = ".0%",
    unit: str = "",
    level: float = 0.0,
    shown: str = "0",
) -> str:
    """A sentence on a curve: `against_level`, and its largest estimate with its depth.

    spec, unit: how the largest estimate is written, ".0%" or "+.1f" and " points".
    """
    said = f"{name} {against_level(depths, estimates, level, shown)}"
    known = [(estimate, depth) for estimate, depth in zip(estimates, depths, strict=True) if estimate is not None]
    if not known:
        return f"{said}."
    estimate, depth = max(known, key=lambda pair: pair[0].value)
    return f"{said}; its largest estimate is {format(estimate, spec)}{unit}, at {depth:.2f}."


def amount(estimate: Interval | None, spec: str = ".0%") -> str:
    """An estimate with its interval: "18 % [-22, 40]"; without one, "an unknown share (no gap)"."""
    return written(estimate, spec, none="an unknown share (no gap)")
