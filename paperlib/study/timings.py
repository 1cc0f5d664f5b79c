"""How long executed notebooks took, from papermill's own metadata, and peak memory, from Snakemake's.

python -m paperlib.study.timings runs/mini/*.ipynb        # prints the table
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd


class TimingError(ValueError):
    """A notebook holds no timing; the message is one sentence that says what to do."""


class Timing(NamedTuple):
    """Duration of an executed notebook and of its slowest cell [s]; peak memory [MB], NaN if unknown."""

    notebook: str
    seconds: float
    slowest: float
    memory: float


def read_timing(path: Path | str) -> Timing:
    """Timing of a notebook that papermill executed; memory from Snakemake's <stem>.tsv beside it.

    Memory is NaN without that file, and for a run too short to be sampled. Raises TimingError if papermill did not
    execute the notebook to its end.
    """
    path = Path(path)
    notebook = json.loads(path.read_text(encoding="utf-8"))
    seconds = _duration(notebook)
    if seconds is None:
        raise TimingError(f"{path.name} holds no papermill duration: execute it to the end with papermill.")
    cells = [_duration(cell) or 0.0 for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return Timing(path.stem, seconds, max(cells, default=0.0), _memory(path.with_suffix(".tsv")))


def table(timings: Sequence[Timing]) -> str:
    """The timings as a Markdown table with a last row for all notebooks together."""
    each = pd.DataFrame(timings)
    rows = pd.DataFrame([*timings, Timing("all", each.seconds.sum(), each.slowest.max(), each.memory.max())])
    shown = {
        "notebook": rows.notebook,
        "time": rows.seconds.map(clock),
        "slowest cell": rows.slowest.map(clock),
        "peak memory": rows.memory.map("{:,.0f} MB".format).where(rows.memory.notna(), "-"),
    }
    align = ("left", "right", "right", "right")
    return pd.DataFrame(shown).to_markdown(index=False, colalign=align, disable_numparse=True) + "\n"


def clock(seconds: float) -> str:
    """Seconds as "3.2 s", "4 min 05 s" or "1 h 02 min"."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{round(seconds / 60) // 60} h {round(seconds / 60) % 60:02d} min"


def _duration(part: dict) -> float | None:
    """Seconds that papermill wrote in the metadata of a notebook or a cell."""
    return part["metadata"].get("papermill", {}).get("duration")


def _memory(path: Path) -> float:
    """max_rss [MB] of a Snakemake benchmark file."""
    if not path.is_file() or not path.stat().st_size:
        return float("nan")
    column = pd.read_csv(path, sep="\t", na_values="-")["max_rss"]  # "NA" or "-" where no sample was taken
    return float(column.iloc[0]) if len(column) else float("nan")


if __name__ == "__main__":
    try:
        print(table([read_timing(path) for path in sys.argv[1:]]), end="")
    except (TimingError, OSError) as error:
        sys.exit(f"paperlib.study.timings: {error}")
