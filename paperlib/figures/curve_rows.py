"""Rows of a table of curves: one row for each point, so that a figure is drawn from the table that is written."""

from collections.abc import Iterable, Mapping, Sequence

from paperlib.figures.curves import line
from paperlib.stats.bootstrap import Interval


def curve_rows(
    series: str, depths: Sequence[float], estimates: Sequence[Interval | None], column: str = "share", **labels: object
) -> list[dict]:
    """A row for each depth. column: the name of the estimates; labels: further columns, the same in every row.

    Raises ValueError unless there is one estimate, or None, for each depth.
    """
    return [
        {**labels, "series": series, "depth": depth, column: estimate}
        for depth, estimate in zip(depths, estimates, strict=True)
    ]


def curves(rows: Iterable[Mapping], column: str = "share") -> dict[str, tuple[list[float], list[Interval | None]]]:
    """Depths and estimates of each series, in order of appearance."""
    found: dict[str, tuple[list[float], list[Interval | None]]] = {}
    for row in rows:
        depths, estimates = found.setdefault(row["series"], ([], []))
        depths.append(row["depth"])
        estimates.append(row[column])
    return found


def lines(rows: Iterable[Mapping], column: str = "share", scale: float = 100.0) -> list[dict]:
    """A line of `curves.layer_curves` for each series. scale: from the column's unit to the axis."""
    return [line(name, depths, estimates, scale) for name, (depths, estimates) in curves(rows, column).items()]


def panel(
    title: str,
    ylabel: str,
    rows: Iterable[Mapping],
    n: int,
    column: str = "share",
    scale: float = 100.0,
    **more: object,
) -> dict:
    """A panel of `curves.layer_curves`: the lines of these rows, and one at 0. more: further keys of the panel."""
    return {"title": title, "ylabel": ylabel, "lines": lines(rows, column, scale), "n": n, "marks": [[0, ""]], **more}


def split(rows: Iterable[Mapping], column: str) -> dict[str, list[Mapping]]:
    """The rows by what they have in a column, in order of appearance."""
    found: dict[str, list[Mapping]] = {}
    for row in rows:
        found.setdefault(row[column], []).append(row)
    return found
