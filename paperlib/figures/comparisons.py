"""Figures that compare ways of tuning: shares of a baseline, benchmarks by way, and gain against cost."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from paperlib.figures import style
from paperlib.figures.style import BLUE, COLUMN, FAINT, GREY, PAGE, SERIES, SMALL, figure


@figure
def shares(data: dict) -> Figure:
    """A row for each way of tuning, in it a dot with its interval for each measure, beside lines to compare with.

    data: {"xlabel": str, "rows": [name, ..], "series": {measure: {row: [value, low, high]}},
    "marks": [[x, label], ..]}. A measure may lack rows.
    """
    rows, series = data["rows"], data["series"]
    fig, ax = plt.subplots(figsize=(PAGE, (0.1 * len(series) + 0.1) * len(rows) + 0.75), layout="constrained")
    step = 0.7 / len(series)
    for s, (name, values) in enumerate(series.items()):
        colour, marker = SERIES[s % len(SERIES)]
        here = [row for row in rows if row in values]
        y = np.array([rows.index(row) for row in here]) + step * (s - (len(series) - 1) / 2)
        value, low, high = np.array([values[row][:3] for row in here], float).reshape(-1, 3).T
        ax.hlines(y, low, high, color=colour, linewidth=1.1, zorder=2)
        ax.plot(
            value,
            y,
            marker,
            color=colour,
            markersize=3.8,
            markeredgecolor="white",
            markeredgewidth=0.4,
            label=style.plain(name),
            zorder=3,
        )
    for y in range(0, len(rows), 2):
        ax.axhspan(y - 0.5, y + 0.5, color=FAINT, linewidth=0, zorder=0)
    for i, (x, label) in enumerate(data.get("marks", ())):
        ax.axvline(x, color=GREY, linewidth=0.9, linestyle=(":", "--", "-.")[i % 3], zorder=1, label=style.plain(label))
    ax.set(xlabel=data["xlabel"], ylim=(len(rows) - 0.5, -0.5))
    ax.set_xlim(left=min(0, ax.get_xlim()[0]))
    ax.set_yticks(range(len(rows)), [style.plain(row) for row in rows])
    ax.tick_params(axis="y", length=0)
    fig.legend(*ax.get_legend_handles_labels(), loc="outside lower left", ncols=4, handlelength=1.2, columnspacing=1.2)
    return fig


@figure
def benchmark_map(data: dict) -> Figure:
    """A table of numbers in colours, one row for each way of tuning and one column for each benchmark.

    data: {"rows": [name, ..], "columns": [name, ..], "panels": [{"title", "value": label of the colours, "values": rows
    of numbers or None, "centre": the value that is white, optional}]}. Panels stand below each other.
    """
    panels, rows, columns = data["panels"], data["rows"], data["columns"]
    fig, axes = plt.subplots(
        len(panels),
        1,
        figsize=(PAGE, len(panels) * (0.2 * len(rows) + 0.35) + 0.75),
        layout="constrained",
        squeeze=False,
        sharex=True,
    )
    for ax, panel in zip(axes[:, 0], panels):
        values = np.array([[np.nan if v is None else v for v in row] for row in panel["values"]], float)
        if "centre" in panel:
            reach = max(1e-9, np.nanmax(np.abs(values - panel["centre"])))
            look = {"cmap": "RdBu", "vmin": panel["centre"] - reach, "vmax": panel["centre"] + reach}
        else:
            look = {"cmap": "viridis", "vmin": np.nanmin(values), "vmax": np.nanmax(values)}
        image = ax.imshow(values, aspect="auto", **look)
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                r, g, b, _ = image.cmap(image.norm(value))
                dark = 0.299 * r + 0.587 * g + 0.114 * b < 0.55
                ax.text(
                    j, i, f"{value:.0f}", ha="center", va="center", fontsize=SMALL, color="white" if dark else "black"
                )
        ax.set_yticks(range(len(rows)), [style.plain(row) for row in rows])
        ax.set_xticks(
            range(len(columns)), [style.plain(c) for c in columns], rotation=40, ha="right", rotation_mode="anchor"
        )
        ax.tick_params(length=0)
        ax.set_title(style.plain(panel["title"]))
        ends = [image.norm.vmin, image.norm.vmax]
        fig.colorbar(image, ax=ax, pad=0.01, fraction=0.04, ticks=ends, format="%.0f").set_label(panel["value"])
    return fig


@figure
def pareto(data: dict) -> Figure:
    """What is gained against what it costs: a point with intervals for each way, and a line through those that no other
    way beats in both.

    data: {"xlabel", "ylabel", "points": [{"label", "x": [value, low, high], "y": [value, low, high]}, ..], "marks":
    [[y, label], ..] horizontal lines, optional}; less x and more y is better.
    """
    points = data["points"]
    fig, ax = plt.subplots(figsize=(PAGE, 3.0), layout="constrained")
    for i, point in enumerate(points):
        colour, marker = SERIES[i % len(SERIES)]
        (x, *dx), (y, *dy) = point["x"], point["y"]
        ax.hlines(y, *dx, color=colour, linewidth=0.9)
        ax.vlines(x, *dy, color=colour, linewidth=0.9)
        ax.plot(
            x,
            y,
            marker,
            color=colour,
            markersize=5,
            label=style.plain(point["label"]),
            zorder=3,
            fillstyle="full" if i < len(SERIES) else "none",
        )
    where = sorted((p["x"][0], p["y"][0]) for p in points)
    best = [(x, y) for x, y in where if not any(a <= x and b >= y and (a, b) != (x, y) for a, b in where)]
    ax.plot(*zip(*best), color=BLUE, linewidth=0.8, linestyle="--", zorder=1, label="beaten by none in both")
    for i, (y, label) in enumerate(data.get("marks", ())):
        ax.axhline(y, color=GREY, linewidth=0.9, linestyle=(":", "--", "-.")[i % 3], zorder=1, label=style.plain(label))
    ax.set(xlabel=data["xlabel"], ylabel=data["ylabel"])
    fig.legend(*ax.get_legend_handles_labels(), loc="outside right upper", handlelength=1.6)
    return fig


TALL = 10  # kinds of question in one column of a dot plot


@figure
def accuracy_by_model(data: dict) -> Figure:
    """Accuracy of each model on each kind of question, with intervals, beside chance.

    data: {"chance": {kind: p}, "models": {model: {kind: [value, low, high, n]}}}, all in [0, 1]; "level", the
    confidence level of the intervals, is 0.95 if it isn't given.
    """
    return _dots(data["chance"], data["models"], data.get("level", 0.95))


@figure
def controls(data: dict) -> Figure:
    """Accuracy of one model by what it is shown: its own picture, another one, grey, nothing.

    data: as for `accuracy_by_model`, with "conditions" in place of "models".
    """
    return _dots(data["chance"], data["conditions"], data.get("level", 0.95))


def _dots(chance: dict, series: dict, level: float) -> Figure:
    """A horizontal dot plot: a row for each kind, in it a dot with its interval for each series.

    Up to `TALL` kinds stand in one column; more are split over two.
    """
    kinds = list(dict.fromkeys(kind for values in series.values() for kind in values))
    panels = 1 if len(kinds) <= TALL else 2
    rows = -(-len(kinds) // panels)
    size = COLUMN if panels == 1 else PAGE
    # The legend takes as many columns as the width allows.
    widest = max(style.width(name, style.font()) for name in (*series, "chance")) + 26
    columns = min(len(series) + 1, int((size * 72 - 10) // widest))
    height = (0.11 * len(series) + 0.1) * rows + 0.55 + 0.16 * -(-(len(series) + 1) // columns)
    fig, axes = plt.subplots(1, panels, figsize=(size, height), layout="constrained", squeeze=False)
    for panel, ax in enumerate(axes[0]):
        part = kinds[panel * rows : (panel + 1) * rows]
        _dot_panel(ax, part, rows, chance, series)
        ax.set_xlabel(f"accuracy (%), {100 * level:g} % intervals")
    shown = {label: handle for ax in axes[0] for handle, label in zip(*ax.get_legend_handles_labels())}
    fig.legend(
        shown.values(),
        shown.keys(),
        loc="outside upper left",
        ncols=columns,
        handlelength=1.2,
        columnspacing=1.2,
        borderaxespad=0.2,
    )
    return fig


def _dot_panel(ax, kinds: list[str], rows: int, chance: dict, series: dict) -> None:
    step = 0.72 / len(series)
    for s, (name, values) in enumerate(series.items()):
        colour, marker = SERIES[s % len(SERIES)]
        here = [kind for kind in kinds if kind in values]
        y = np.array([kinds.index(kind) for kind in here]) + step * (s - (len(series) - 1) / 2)
        value, low, high = 100 * np.array([values[kind][:3] for kind in here]).reshape(-1, 3).T
        ax.hlines(y, low, high, color=colour, linewidth=1.1, zorder=2, clip_on=False)
        ax.plot(
            value,
            y,
            marker,
            color=colour,
            markersize=3.6,
            markeredgecolor="white",
            markeredgewidth=0.4,
            label=style.plain(name),
            zorder=3,
            clip_on=False,
        )
    for y, kind in enumerate(kinds):
        if y % 2 == 0:
            ax.axhspan(y - 0.5, y + 0.5, color=FAINT, linewidth=0, zorder=0)
        counts = sorted({values[kind][3] for values in series.values() if kind in values})
        text = "n = " + "–".join(f"{n:,}" for n in dict.fromkeys([counts[0], counts[-1]]))
        ax.annotate(
            text,
            (1, y),
            (6, 0),
            ("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
            color=GREY,
            annotation_clip=False,
        )
    if known := [y for y, kind in enumerate(kinds) if kind in chance]:
        ends = [y - 0.46 for y in known], [y + 0.46 for y in known]
        ax.vlines(
            [100 * chance[kinds[y]] for y in known],
            *ends,
            color=GREY,
            linestyle=":",
            linewidth=1.1,
            label="chance",
            zorder=1,
        )
    ax.set(xlim=(0, 100), ylim=(rows - 0.5, -0.5))
    ax.set_yticks(range(len(kinds)), [style.plain(kind) for kind in kinds])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
