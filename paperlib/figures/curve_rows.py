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


def lines(rows: Iterable[Mapping], column: str = "share", scale: float = 100.0) -> list[dict]:
    """A line of `curves.layer_curves` for each series, in order of appearance. scale: from column to axis."""
    series: dict[str, list[Mapping]] = {}
    for row in rows:
        series.setdefault(row["series"], []).append(row)
    return [
        line(name, [row["depth"] for row in part], [row[column] for row in part], scale)
        for name, part in series.items()
    ]


def examples_behind(rows: Iterable[Mapping], column: str = "share") -> int | None:
    """The n of the estimates, for a panel's "n"; the largest where they differ, None where there is no estimate."""
    return max((row[column].n for row in rows if row[column] is not None), default=None)
