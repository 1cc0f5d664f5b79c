"""Figures that compare arms: benchmarks by arm, and gain against cost."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from paperlib.figures import style
from paperlib.figures.style import FAINT, GREEN, GREY, PAGE, PURPLE, SERIES, SMALL, VERMILION, figure


@figure
def benchmark_map(data: dict) -> Figure:
    """A table of numbers in colours, one row for each arm and one column for each benchmark.

    data: {"rows": [name, ..], "columns": [name, ..], "panels": [{"title", "value": label of the colours, "values": rows
    of numbers or None, "n": questions, optional, "centre": the value that is white, optional}]}. Panels stand
    below each other.
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
    for ax, panel in zip(axes[:, 0], panels, strict=True):
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
        ax.set_title(style.titled(panel))
        ends = [image.norm.vmin, image.norm.vmax]
        fig.colorbar(image, ax=ax, pad=0.01, fraction=0.04, ticks=ends, format="%.0f").set_label(panel["value"])
    return fig


@figure
def pareto(data: dict) -> Figure:
    """What is gained against what it costs: a point with intervals for each arm, and a line through those that no other
    arm beats in both.

    data: {"xlabel", "ylabel", "points": [{"label", "x": [value, low, high], "y": [value, low, high]}, ..], "marks":
    [[y, label], ..] horizontal lines, optional, "n": questions, optional}; less x and more y is better.
    """
    points = data["points"]
    look = style.looks(point["label"] for point in points)
    fig, ax = plt.subplots(figsize=(PAGE, 3.0), layout="constrained")
    for i, point in enumerate(points):
        colour, marker = look[point["label"]]
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
    ax.plot(
        *zip(*best, strict=True), color=GREY, linewidth=0.8, linestyle="--", zorder=1, label="beaten by none in both"
    )
    for i, (y, label) in enumerate(data.get("marks", ())):
        ax.axhline(y, color=GREY, linewidth=0.9, linestyle=(":", "--", "-.")[i % 3], zorder=1, label=style.plain(label))
    ax.set(xlabel=data["xlabel"], ylabel=data["ylabel"], title=style.titled(data))
    fig.legend(*ax.get_legend_handles_labels(), loc="outside right upper", handlelength=1.6)
    return fig


MANY = 4  # columns; with more, a page has no room for words
# Colours of what is decided; all else is open. Short words for many columns.
VERDICTS = {"supported": GREEN, "not supported": VERMILION, "contradictory": PURPLE}
SHORT = {
    "supported": "yes",
    "not supported": "no",
    "contradictory": "both",
    "inconclusive": "open",
    "precondition not met": "n/a",
}


@figure
def verdict_map(data: dict) -> Figure:
    """Verdicts by claim and method (rows) and by run (columns), in words and colours; a dash where a run has none.

    Many runs leave room for short words alone, which a line below the map explains.

    data: {"rows": [name, ..], "columns": [name, ..], "values": rows of words or None}.
    """
    rows, columns = data["rows"], data["columns"]
    words = SHORT if len(columns) > MANY else {}
    fig, ax = plt.subplots(figsize=(PAGE, 0.3 * len(rows) + 1.1), layout="constrained")
    for i, line in enumerate(data["values"]):
        for j, word in enumerate(line):
            ax.add_patch(
                plt.Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=VERDICTS.get(word, FAINT), edgecolor="white", lw=1.5)
            )
            shown = "–" if word is None else words.get(word, word).replace("precondition ", "precondition\n")
            colour = "white" if word in VERDICTS else "black"
            ax.text(j, i, shown, ha="center", va="center", fontsize=SMALL, color=colour, linespacing=0.9)
    if words:
        legend = "; ".join(f"{short}: {word}" for word, short in SHORT.items() if word != short)
        ax.set_xlabel(legend, fontsize=SMALL)
    ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    ax.set_yticks(range(len(rows)), [style.plain(row) for row in rows])
    ax.set_xticks(
        range(len(columns)), [style.plain(c) for c in columns], rotation=30, ha="right", rotation_mode="anchor"
    )
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return fig
