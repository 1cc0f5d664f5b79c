"""From rows of a table to what is drawn and shown, so that a figure holds the numbers of its table and no others."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from paperlib.figures.curves import line
from paperlib.stats.bootstrap import Interval
from paperlib.stats.phrases import scaled


def select(rows: Iterable[Mapping], **wanted: object) -> list[dict]:
    """The rows whose columns have these values."""
    return [dict(row) for row in rows if all(row[column] == value for column, value in wanted.items())]


def curves(
    rows: Iterable[Mapping], value: str = "accuracy", by: str = "stage", scale: float = 100.0, **look: int
) -> list[dict]:
    """A line of `paperlib.figures.curves.layer_curves` for each entry of the column ``by``, over the column "depth".

    value: a column of intervals; where it is None there is a gap. look: as `paperlib.figures.curves.line` takes it.
    """
    named: dict[str, list[Mapping]] = {}
    for row in rows:
        named.setdefault(row[by], []).append(row)
    return [
        line(name, [row["depth"] for row in part], [row[value] for row in part], scale, **look)
        for name, part in named.items()
    ]


def probe_panel(rows: Sequence[Mapping], title: str) -> dict:
    """A panel of `paperlib.figures.curves.layer_curves`: accuracy by stage, the control task and the majority baseline.

    rows: of one probe at one place, as `paperlib.probes.task_probes.rows_of` makes them, with a column "stage".
    """
    controlled = [{**row, "stage": "control task (shuffled labels)"} for row in rows if row["control"] is not None]
    return {
        "title": title,
        "ylabel": "accuracy (%)",
        "lines": curves(rows) + curves(controlled, "control", colour=6, dash=2),
        "marks": [[100 * rows[0]["chance"], "majority baseline"]],
        "n": rows[0]["accuracy"].n,
    }


def frame(
    rows: Iterable[Mapping], index: str | list[str], spec: str = ".0%", points: Sequence[str] = (), digits: int = 2
) -> pd.DataFrame:
    """Rows as a table to look at: intervals printed as ``spec`` says, floats rounded, None as a dash.

    points: columns with differences of shares, printed in points.
    """
    shown = [{k: _shown(v, "points" if k in points else spec, digits) for k, v in row.items()} for row in rows]
    return pd.DataFrame(shown).set_index(index)


def _shown(value: object, spec: str, digits: int) -> object:
    if isinstance(value, Interval):
        return format(scaled(value), "+.0f") if spec == "points" else format(value, spec)
    if isinstance(value, float):
        return round(value, digits)
    return "–" if value is None else value
