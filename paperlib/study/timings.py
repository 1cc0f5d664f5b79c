"""How long executed notebooks took, from papermill's own metadata, and peak memory, from Snakemake's.

python -m paperlib.study.timings runs/mini/*.ipynb        # prints the table
"""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import dataclass
from pathlib import Path


class TimingError(ValueError):
    """A notebook holds no timing; the message is one sentence that says what to do."""


@dataclass(frozen=True)
class Timing:
    """Duration of an executed notebook and of its slowest cell [s]; peak memory [MB], None if unknown."""

    notebook: str
    seconds: float
    cells: int
    slowest: float
    memory: float | None


def read_timing(path: Path | str) -> Timing:
    """Timing of a notebook that papermill executed; memory from Snakemake's <stem>.tsv beside it.

    Raises TimingError if papermill did not execute it to the end.
    """
    path = Path(path)
    notebook = json.loads(path.read_text(encoding="utf-8"))
    seconds = notebook["metadata"].get("papermill", {}).get("duration")
    if seconds is None:
        raise TimingError(f"{path.name} holds no papermill duration: execute it to the end with papermill.")
    cells = [
        cell["metadata"].get("papermill", {}).get("duration") or 0.0
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]
    memory = _memory(path.with_suffix(".tsv"))
    return Timing(path.stem, float(seconds), len(cells), max(cells, default=0.0), memory)


def table(timings: list[Timing]) -> str:
    """The timings as a Markdown table with a last row for all notebooks together."""
    rows = [("notebook", "time", "slowest cell", "peak memory")]
    rows += [(t.notebook, clock(t.seconds), clock(t.slowest), _megabytes(t.memory)) for t in timings]
    slowest = max((t.slowest for t in timings), default=0.0)
    memory = max((t.memory for t in timings if t.memory is not None), default=None)
    rows += [("all", clock(sum(t.seconds for t in timings)), clock(slowest), _megabytes(memory))]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    padded = [[row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))] for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in padded]
    rule = "|" + "|".join(["-" * (widths[0] + 2)] + ["-" * (w + 1) + ":" for w in widths[1:]]) + "|"
    return "\n".join([lines[0], rule, *lines[1:]]) + "\n"


def clock(seconds: float) -> str:
    """Seconds as "3.2 s", "4 min 05 s" or "1 h 02 min"."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{round(seconds / 60) // 60} h {round(seconds / 60) % 60:02d} min"


def _megabytes(memory: float | None) -> str:
    return "-" if memory is None else f"{memory:,.0f} MB"


def _memory(path: Path) -> float | None:
    """max_rss [MB] of a Snakemake benchmark file; None without one, or for a run too short to sample."""
    if not path.is_file():
        return None
    with open(path, newline="", encoding="utf-8") as stream:
        row = next(csv.DictReader(stream, delimiter="\t"), {})
    try:
        return float(row["max_rss"])
    except (KeyError, ValueError):  # Snakemake writes "NA" or "-" where it took no sample
        return None


if __name__ == "__main__":
    try:
        print(table([read_timing(path) for path in sys.argv[1:]]), end="")
    except (TimingError, OSError) as error:
        sys.exit(f"paperlib.study.timings: {error}")
