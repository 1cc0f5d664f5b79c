"""Named tables of results: what a notebook found, apart from how a figure draws it.

A table is ``results/<run>/NN_name.json``: rows, the unit of each column that has one, n, seed and provenance. Figures,
verdicts and other notebooks read tables; nobody reads a figure's labels. An estimate with its interval stands in one
column as four numbers (`paperlib.stats.Interval`) and comes back as an `Interval`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from paperlib.stats.interval import Interval
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
    Raises ValueError for no rows, rows with other columns than the first, a unit of a column that is not there, or
    values that JSON cannot hold.
    """
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
