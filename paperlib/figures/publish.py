"""Figures from results alone: saved, and drawn again without a model or torch. `DRAW` has the functions that draw them.

`save_figure` writes `name.pdf`, `name.png` and `name.json`. The JSON holds the numbers drawn, the names of the tables
of results that they came from, and their provenance, so that

    python -m paperlib.figures.publish figures/mini/*.json

draws the figures again, byte for byte with the same matplotlib, and they can be restyled without a model.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from paperlib.figures import (
    comparisons,
    curves,
    diagrams,
    dotplots,
    ledger_plot,
    style,
)  # but for the last, they register in DRAW
from paperlib.figures.style import DRAW
from paperlib.stats.tables import table_path
from paperlib.study.results import ResultError, plain, provenance, read_result, result_bytes, write_whole
from paperlib.study.study import Study

__all__ = ["DRAW", "comparisons", "curves", "diagrams", "dotplots", "ledger_plot", "publish", "redraw", "save_figure"]

# Dates and version stamps would make every run a change.
STAMPS = {"pdf": {"CreationDate": None, "Producer": None, "Creator": None}, "png": {"Software": None}}


def save_figure(
    fig: Figure, folder: Path, name: str, figure: str, data: dict, provenance: dict, results: Sequence[str] = ()
) -> Path:
    """Write folder/name.pdf, .png and, with the numbers and their provenance, .json; returns the JSON's path.

    Args:
        fig: what `DRAW[figure](data)` returned.
        folder: where to; it is made if it is missing.
        name: the file name without its ending, such as "01_accuracy".
        figure: the name of the function that draws it, a key of `DRAW`.
        data: the numbers drawn, as JSON can hold them.
        provenance: what made them (`paperlib.study.results.provenance`).
        results: names of the tables that the numbers came from, such as "01_accuracy".

    Raises:
        ValueError: an unknown `figure`, or data that JSON can't hold.
        ResultError: the files can't be written; those of before are unchanged.
    """
    if figure not in DRAW:
        raise ValueError(f"There is no figure {figure!r}: choose one of {', '.join(DRAW)}.")
    path = Path(folder) / f"{name}.json"
    sources = {"results": list(results)} if results else {}
    numbers = result_bytes({"figure": figure, "drawn": data} | sources, provenance)
    write_whole(_images(fig, path) | {path: numbers})
    return path


def publish(
    study: Study, name: str, figure: str, data: dict, seconds: float, n: int, results: Sequence[str] = (), **extra: Any
) -> Figure:
    """Draw a figure, save it among the study's figures with its provenance, and return it for the notebook to show.

    seconds: what computing the numbers took; n: examples behind them; results: names of the tables that they came from;
    extra: more provenance. Raises ResultError if this run has no such table.
    """
    for table in results:
        if not table_path(study, table).is_file():
            raise ResultError(f"There is no table {table!r} in results/{study.run}/: write it before the figure.")
    data = plain(data)
    fig = DRAW[figure](data)
    save_figure(fig, study.figures, name, figure, data, provenance(study, seconds, n, **extra), results)
    return fig


def redraw(path: Path | str) -> Figure:
    """Draw a figure from its JSON, write its PDF and PNG anew beside it, and return it.

    Raises:
        paperlib.study.results.ResultError: the file is missing, damaged, or holds no figure.
    """
    data = read_result(path)["data"]
    if not isinstance(data, dict) or data.get("figure") not in DRAW:
        raise ResultError(f"{Path(path).name} holds no figure: pass a JSON file that save_figure wrote.")
    fig = DRAW[data["figure"]](data["drawn"])
    write_whole(_images(fig, Path(path)))
    return fig


def _images(fig: Figure, path: Path) -> dict[Path, bytes]:
    """PDF and PNG of a figure, by the paths beside its JSON where they go."""
    files = {}
    for ending, metadata in STAMPS.items():
        buffer = io.BytesIO()
        with style.in_style():
            fig.savefig(buffer, format=ending, metadata=metadata, dpi=style.STYLE["savefig.dpi"])
        files[path.with_suffix(f".{ending}")] = buffer.getvalue()
    return files


def main(files: list[str]) -> None:
    """Redraw the figures of the JSON files named on the command line."""
    if not files:
        sys.exit("Name the JSON files of the figures to draw, such as figures/mini/*.json.")
    matplotlib.use("Agg")
    for file in files:
        try:
            redraw(file)
        except ResultError as error:
            sys.exit(str(error))
        print(f"drew {Path(file).with_suffix('')}.pdf and .png")


if __name__ == "__main__":
    main(sys.argv[1:])
