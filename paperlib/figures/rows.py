"""From curves to rows of a table and from rows to what is drawn and shown: a figure holds the numbers of its table."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from paperlib.stats.interval import Interval
from paperlib.stats.words import written


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


def select(rows: Iterable[Mapping], **wanted: object) -> list[dict]:
    """The rows whose columns have these values."""
    return [dict(row) for row in rows if all(row[column] == value for column, value in wanted.items())]


def split(rows: Iterable[Mapping], column: str) -> dict[str, list[Mapping]]:
    """The rows by what they have in a column, in order of appearance."""
    found: dict[str, list[Mapping]] = {}
    for row in rows:
        found.setdefault(row[column], []).append(row)
    return found


def curves_of(
    rows: Iterable[Mapping], by: str = "series", x: str = "depth", y: str = "share"
) -> dict[str, tuple[list, list]]:
    """Columns ``x`` and ``y`` for each value of column ``by``, in order of appearance."""
    return {label: ([row[x] for row in part], [row[y] for row in part]) for label, part in split(rows, by).items()}


def lines_of(
    rows: Iterable[Mapping],
    by: str = "stage",
    x: str = "depth",
    y: str = "value",
    scale: float = 1.0,
    looks: Mapping[str, Mapping] | None = None,
    **wanted: object,
) -> list[dict]:
    """Lines for `figures.curves.layer_curves`: one for each value of column ``by``, in order of appearance.

    scale: from the unit of column ``y`` to that of the axis, 100 from shares to percent. looks: more keys of a line
    ("colour", "dash"), by its label. wanted: columns and the value that they must have. A line has limits where its
    column ``y`` holds intervals, and a gap where it holds None.
    Raises ValueError if no row is left, or if a line has some intervals and some plain numbers.
    """
    found = []
    for label, (places, values) in curves_of(select(rows, **wanted), by, x, y).items():
        kinds = {isinstance(value, Interval) for value in values if value is not None}
        if len(kinds) > 1:
            raise ValueError(f"The line {label!r} has intervals at some places only: give all or none.")
        parts: Mapping[str, Sequence] = {"y": values}
        if True in kinds:
            ends = zip(*[(None,) * 3 if value is None else value[:3] for value in values], strict=True)
            parts = dict(zip(("y", "low", "high"), ends, strict=True))
        scaled = {key: [None if v is None else scale * v for v in part] for key, part in parts.items()}
        found.append({"label": label, "x": places} | scaled | dict((looks or {}).get(label, {})))
    if not found:
        raise ValueError(f"No row has {wanted}: choose values that the table holds.")
    return found


def frame(rows: Sequence[Mapping], formats: str | Mapping[str, str] = ".3g", index: int = 1) -> pd.DataFrame:
    """Rows as a table to look at, as `paperlib.figures.notebook.Notebook.show` shows them."""
    specs = dict.fromkeys(rows[0], formats) if isinstance(formats, str) else formats
    shown = [{column: written(value, specs.get(column, ".3g")) for column, value in row.items()} for row in rows]
    return pd.DataFrame(shown).set_index(list(rows[0])[:index])
