"""Rows of a results table as a table to look at: intervals and numbers as text, one row a line."""

from collections.abc import Mapping, Sequence

import pandas as pd

from paperlib.stats.bootstrap import Interval


def frame(
    rows: Sequence[Mapping], formats: Mapping[str, str] | None = None, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Rows as a table; the first column names the lines.

    formats: how a column's numbers and intervals are written, such as {"gains": ".1f"}; ".3g" where nothing is said. A
    value that does not exist is a dash. columns: only these, in this order.
    """
    names = list(rows[0]) if columns is None else list(columns)
    lines = [[written(row[c], (formats or {}).get(c, "")) for c in names] for row in rows]
    return pd.DataFrame(lines, columns=names).set_index(names[0])


def written(value: object, spec: str = "", none: str = "–") -> str:
    """A value as text: numbers and intervals as ``spec`` says, ``none`` for a value that does not exist."""
    if value is None:
        return none
    if isinstance(value, float | Interval):
        return format(value, spec or ".3g")
    return str(value)
