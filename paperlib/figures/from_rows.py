"""Rows of a table as curves of a figure, and as a table to look at: figures draw what is written, and nothing else."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from paperlib.stats.bootstrap import Interval


def lines_of(
    rows: Iterable[Mapping],
    by: str = "stage",
    x: str = "depth",
    y: str = "value",
    looks: Mapping[str, Mapping] | None = None,
    **wanted: object,
) -> list[dict]:
    """Curves for `figures.curves.layer_curves`: one for each value of column ``by``, in order of appearance.

    wanted: columns and the value that they must have. looks: more keys of a curve ("colour", "dash"), by its label. A
    curve has limits where its column ``y`` holds intervals.
    Raises ValueError if no row is left, or if a curve has some intervals and some plain numbers.
    """
    parts: dict[str, list[Mapping]] = {}
    for row in rows:
        if all(row[column] == value for column, value in wanted.items()):
            parts.setdefault(row[by], []).append(row)
    if not parts:
        raise ValueError(f"No row has {wanted}: choose values that the table holds.")
    found = []
    for label, part in parts.items():
        values = [row[y] for row in part]
        kinds = {isinstance(value, Interval) for value in values}
        if len(kinds) > 1:
            raise ValueError(f"The curve {label!r} has intervals at some places only: give all or none.")
        curve = {"label": label, "x": [row[x] for row in part], "y": values}
        if kinds == {True}:
            curve |= {"y": [v.value for v in values], "low": [v.low for v in values], "high": [v.high for v in values]}
        found.append(curve | dict((looks or {}).get(label, {})))
    return found


def frame(rows: Iterable[Mapping], index: Sequence[str], spec: str = ".2f") -> pd.DataFrame:
    """Rows as a table to look at: intervals and decimals in a format, what does not exist as an empty cell.

    index: the columns that name a row.
    """
    shown = [{column: _shown(value, spec) for column, value in row.items()} for row in rows]
    return pd.DataFrame(shown).set_index(list(index))


def _shown(value: object, spec: str) -> object:
    if value is None:
        return ""
    return format(value, spec) if isinstance(value, Interval | float) else value
