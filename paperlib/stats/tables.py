"""Named tables of results: what a notebook found, apart from how a figure draws it.

A table is ``results/<run>/NN_name.json``: rows, the unit of each column that has one, n, seed and provenance. Figures,
verdicts and other notebooks read tables; nobody reads a figure's labels. An estimate with its interval stands in one
column as four numbers (`paperlib.stats.Interval`) and comes back as an `Interval`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from paperlib.stats.interval import Interval
from paperlib.study.checks import shown
from paperlib.study.results import ResultError, read_result, write_result
from paperlib.study.study import Study


def table_path(study: Study, name: str) -> Path:
    """results/<run>/<name>.json."""
    return study.results / f"{name}.json"


def write_table(
    study: Study, name: str, rows: Iterable[Mapping], units: Mapping[str, str], provenance: dict
) -> list[dict]:
    """Write rows under a name and return them as a list of dicts.

    units: the unit by column ("%", "nats", "points"); columns without a unit are left out.
    Raises ValueError for a name that is no file's, no rows, rows with other columns than the first, a unit of a
    column that is not there, a column of intervals and others, or values that JSON cannot hold.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[\w-]+", name):
        raise ValueError(f"A table's name is letters, digits, _ and -, and becomes a file's name: got {shown(name)}.")
    table = [dict(row) for row in rows]
    if not table:
        raise ValueError(f"The table {name!r} has no rows: write a table once there is something in it.")
    columns = list(table[0])
    for row in table:
        if set(row) != set(columns):
            raise ValueError(f"The rows of table {name!r} have different columns: {sorted(set(row) ^ set(columns))}.")
    if unknown := sorted(set(units) - set(columns)):
        raise ValueError(f"The table {name!r} has a unit for {unknown[0]!r}, which is none of its columns.")
    intervals = [c for c in columns if any(isinstance(row[c], Interval) for row in table)]
    for column in intervals:
        if others := [row[column] for row in table if not isinstance(row[column], Interval | None)]:
            raise ValueError(
                f"Column {column!r} of table {name!r} holds intervals and {shown(others[0])}: pass None where there is "
                f"no interval."
            )
    write_result(
        table_path(study, name),
        {
            "columns": columns,
            "units": dict(units),
            "intervals": intervals,
            "rows": [[row[c] for c in columns] for row in table],
        },
        provenance,
    )
    return table


def read_table(study: Study, name: str) -> list[dict]:
    """The rows of a table of this run. Raises ResultError if it is missing or damaged; the message says what to run."""
    return read_table_file(table_path(study, name))


def read_table_file(path: Path | str) -> list[dict]:
    """`read_table` for a path. Raises ResultError if the file is missing, damaged or no table."""
    data = read_result(path)["data"]
    if not isinstance(data, dict) or not {"columns", "rows", "intervals"} <= set(data):
        raise ResultError(f"{Path(path).name} holds no table: pass a file that write_table wrote.")
    rows = [dict(zip(data["columns"], row, strict=True)) for row in data["rows"]]
    for row in rows:
        for column in data["intervals"]:
            row[column] = None if row[column] is None else Interval(*row[column])
    return rows
