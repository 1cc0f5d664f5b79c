"""Dot plots: estimates as dots with their intervals, a row for each thing compared and a colour for each series.

`dots` is the general one: votes by method, losses by kind, costs by arm. `accuracy_by_model`, `controls` and `shares`
are dot plots of fixed form.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paperlib.figures import style
from paperlib.figures.style import COLUMN, FAINT, GREY, PAGE, SMALL, figure

TALL = 10  # kinds of question in one column of a figure of accuracies
MARKS = (":", "--", "-.")


@figure
def dots(data: dict) -> Figure:
    """Panels of rows, in each row a dot with its interval for each series.

    data: {"xlabel": str, "panels": [{"title", "series": {label: {row: [value, low, high, n] or None}}; optionally
    "rows": their order, "n": examples, "marks": [[x, label], ..] vertical lines, "chance": {row: x}, "xlabel": in place
    of the figure's, "share": false for an x range of its own}]; optionally "columns": int, "scale": factor of all
    values (100 for percent), "share": whether panels of equal xlabel share their x range, "counts": whether n stands
    at each row}. An estimate may also be [value, low, high], or [value] where there is no interval. A series may lack
    rows.
    """
    return _dots(data)


def _dots(data: dict) -> Figure:
    panels, scale = data["panels"], data.get("scale", 1)
    columns = min(data.get("columns", 2), len(panels))
    rows = [panel.get("rows") or _rows(panel["series"].values()) for panel in panels]
    look = style.looks(label for panel in panels for label in panel["series"])
    marks = list(dict.fromkeys(label for panel in panels for _, label in panel.get("marks", ())))
    lines = [list(range(start, min(start + columns, len(panels)))) for start in range(0, len(panels), columns)]
    tallest = [max(len(rows[i]) for i in line) for line in lines]
    step = 0.11 * max(len(panel["series"]) for panel in panels) + 0.1
    heights = [step * tall + 0.55 for tall in tallest]
    fig, axes, legend = _page(PAGE, heights, columns, _names(panels, look))
    shared: dict[str, list[Axes]] = {}
    for i, (ax, panel) in enumerate(zip(axes.flat, panels, strict=False)):
        _draw(ax, rows[i], panel["series"], look, scale, tallest[i // columns])
        _chance(ax, rows[i], panel.get("chance", {}), scale)
        if data.get("counts", False):
            _counts(ax, rows[i], panel["series"])
        for x, label in panel.get("marks", ()):
            dash = MARKS[marks.index(label) % len(MARKS)]
            ax.axvline(x, color=GREY, linewidth=0.9, linestyle=dash, zorder=1, label=style.plain(label) or None)
        if i % columns and rows[i] == rows[i - 1]:
            ax.set_yticklabels([])
        xlabel = panel.get("xlabel", data["xlabel"])
        ax.set_title(style.wrap(style.titled(panel), 72 * PAGE / columns - 60))
        ax.set_xlabel(xlabel)
        if panel.get("share", data.get("share", True)):
            shared.setdefault(xlabel, []).append(ax)
    for ax in axes.flat[len(panels) :]:
        ax.axis("off")
    for group in shared.values():
        limits = np.array([ax.get_xlim() for ax in group])
        for ax in group:
            ax.set_xlim(limits[:, 0].min(), limits[:, 1].max())
    legend()
    return fig


def by_series(
    rows: Iterable[Mapping], series: str, row: str, value: str
) -> dict[str, dict[str, Sequence[float] | None]]:
    """The "series" of a panel of `dots` from the rows of a table (`paperlib.stats.tables`).

    series, row, value: the columns that name the series, that name the row, and that hold the estimate.
    Raises ValueError if two rows of the table would be one dot.
    """
    found: dict[str, dict[str, Sequence[float] | None]] = {}
    for entry in rows:
        place = found.setdefault(entry[series], {})
        if entry[row] in place:
            raise ValueError(f"Two rows give {value!r} of {entry[series]!r} at {entry[row]!r}: pass one of them.")
        place[entry[row]] = entry[value]
    return found


@figure
def shares(data: dict) -> Figure:
    """One panel of `dots` that begins at 0: shares of a baseline, beside lines to compare with.

    data: {"xlabel": str, "rows": [name, ..], "series": {measure: {row: [value, low, high]}},
    "marks": [[x, label], ..], "n": examples, optional}. A measure may lack rows.
    """
    panel = {key: data[key] for key in ("rows", "series", "marks", "n") if key in data}
    fig = _dots({"xlabel": data["xlabel"], "panels": [panel]})
    ax = fig.axes[0]
    ax.set_xlim(left=min(0, ax.get_xlim()[0]))
    return fig


@figure
def accuracy_by_model(data: dict) -> Figure:
    """Accuracy of each model on each kind of question, with intervals, beside chance.

    data: {"chance": {kind: p}, "models": {model: {kind: [value, low, high, n]}}}, all in [0, 1]; "level", the
    confidence level of the intervals, is 0.95 if it isn't given.
    """
    return _accuracies(data["chance"], data["models"], data.get("level", 0.95))


@figure
def controls(data: dict) -> Figure:
    """Accuracy of one model by what it is shown: its own picture, another one, grey, nothing.

    data: as for `accuracy_by_model`, with "conditions" in place of "models".
    """
    return _accuracies(data["chance"], data["conditions"], data.get("level", 0.95))


def _accuracies(chance: dict, series: dict, level: float) -> Figure:
    """Up to `TALL` kinds stand in one column; more are split over two, and the columns are equally tall."""
    kinds = _rows(series.values())
    columns = 1 if len(kinds) <= TALL else 2
    rows = -(-len(kinds) // columns)
    look = style.looks(series)
    height = (0.11 * len(series) + 0.1) * rows + 0.45
    fig, axes, legend = _page(COLUMN if columns == 1 else PAGE, [height], columns, [*series, "chance"])
    for column, ax in enumerate(axes[0]):
        part = kinds[column * rows : (column + 1) * rows]
        _draw(ax, part, series, look, 100, rows)
        _chance(ax, part, chance, 100)
        _counts(ax, part, series)
        ax.set(xlim=(0, 100), xlabel=f"accuracy (%), {100 * level:g} % intervals")
        ax.spines["left"].set_visible(False)
    legend()
    return fig


def _page(
    size: float, heights: Sequence[float], columns: int, names: Sequence[str]
) -> tuple[Figure, np.ndarray, Callable]:
    """A figure with a row of axes for each height, room for a legend of these names, and what writes that legend."""
    widest = max(style.width(style.plain(name), style.font()) for name in names) + 26
    in_a_row = max(1, min(len(names), int((size * 72 - 10) // widest)))
    fig, axes = plt.subplots(
        len(heights),
        columns,
        figsize=(size, sum(heights) + 0.1 + 0.16 * -(-len(names) // in_a_row)),
        height_ratios=heights,
        layout="constrained",
        squeeze=False,
    )

    def legend() -> None:
        place: dict[str, Any] = {"loc": "outside upper left", "ncols": in_a_row, "borderaxespad": 0.2}
        fig.legend(*style.legend_entries(axes), handlelength=1.4, columnspacing=1.2, **place)

    return fig, axes, legend


def _rows(series: Iterable[Mapping]) -> list[str]:
    return list(dict.fromkeys(row for values in series for row in values))


def _names(panels: Sequence[Mapping], look: Mapping) -> list[str]:
    """What the legend of `dots` holds."""
    marks = [mark[1] for panel in panels for mark in panel.get("marks", ()) if mark[1]]
    return list(dict.fromkeys([*look, *marks, *["chance" for panel in panels if panel.get("chance")]]))


def _draw(ax: Axes, rows: Sequence[str], series: Mapping, look: Mapping, scale: float, tall: int) -> None:
    """The dots and intervals of one panel; ``tall`` rows of room, so that panels beside each other have equal rows."""
    step = 0.72 / len(series)
    for s, (label, values) in enumerate(series.items()):
        colour, marker = look[label]
        here = [name for name in rows if values.get(name) is not None]
        y = np.array([rows.index(name) for name in here]) + step * (s - (len(series) - 1) / 2)
        value, low, high = scale * np.array([_ends(values[name]) for name in here], float).reshape(-1, 3).T
        ax.hlines(y, low, high, color=colour, linewidth=1.1, zorder=2, clip_on=False)
        edge: dict[str, Any] = {"markersize": 3.6, "markeredgecolor": "white", "markeredgewidth": 0.4}
        ax.plot(value, y, marker, color=colour, label=style.plain(label), zorder=3, clip_on=False, **edge)
    for row in range(0, len(rows), 2):
        ax.axhspan(row - 0.5, row + 0.5, color=FAINT, linewidth=0, zorder=0)
    ax.set_ylim(tall - 0.5, -0.5)
    ax.set_yticks(range(len(rows)), [style.plain(row) for row in rows])
    ax.tick_params(axis="y", length=0)


def _ends(estimate: Sequence[float]) -> list[float]:
    value, low, high = estimate[:3] if len(estimate) > 1 else [estimate[0]] * 3
    return [value, low, high]


def _chance(ax: Axes, rows: Sequence[str], chance: Mapping[str, float], scale: float) -> None:
    if known := [y for y, row in enumerate(rows) if row in chance]:
        x, ends = [scale * chance[rows[y]] for y in known], ([y - 0.46 for y in known], [y + 0.46 for y in known])
        ax.vlines(x, *ends, color=GREY, linestyle=":", linewidth=1.1, label="chance", zorder=1)


def _counts(ax: Axes, rows: Sequence[str], series: Mapping) -> None:
    """The n at the right of each row; from the smallest to the largest where the series differ."""
    for y, row in enumerate(rows):
        counts = sorted({v[3] for values in series.values() if (v := values.get(row)) is not None and len(v) > 3})
        if counts:
            text = "n = " + "–".join(f"{n:,}" for n in dict.fromkeys([counts[0], counts[-1]]))
            at: dict[str, Any] = {
                "xycoords": ("axes fraction", "data"),
                "textcoords": "offset points",
                "annotation_clip": False,
            }
            ax.annotate(text, (1, y), (6, 0), va="center", fontsize=SMALL, color=GREY, **at)
