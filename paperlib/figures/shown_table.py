"""Rows of a table as a notebook shows them: intervals in one column, with a number of digits."""

from collections.abc import Iterable, Mapping

import pandas as pd

from paperlib.stats.bootstrap import Interval


def shown(rows: Iterable[Mapping], specs: Mapping[str, str] | None = None) -> pd.DataFrame:
    """A data frame without numbered rows; the first column names them.

    specs: format by column, as `Interval` and numbers take it; without one, intervals show three digits that count.
    None is shown as a dash.
    """
    frame = pd.DataFrame([{c: _cell(value, (specs or {}).get(c, "")) for c, value in row.items()} for row in rows])
    return frame.set_index(frame.columns[0])


def _cell(value: object, spec: str) -> object:
    if value is None:
        return "–"
    return format(value, spec) if spec or isinstance(value, Interval) else value
