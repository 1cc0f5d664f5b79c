"""Curves: over depth with their intervals, maps of one layered quantity against another, and training losses."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paperlib.figures import style
from paperlib.figures.style import COLUMN, GREY, PAGE, figure

DASHES = ("-", "--", ":", "-.")


@figure
def layer_curves(data: dict) -> Figure:
    """Panels of curves over depth, a band around each where it has an interval.

    data: {"xlabel": str, "panels": [{"title", "ylabel", "lines": [{"label", "x": [..], "y": [..], and if there is an
    interval "low": [..], "high": [..]; "colour": number of a series and "dash": number of a dash, both optional}],
    "marks": [[y, label], ..] horizontal lines (chance), "spans": [[from, to, label], ..] of x; optionally "n":
    examples; "xlabel": where it differs from the figure's; "share": false for a y range of its own; "yscale": "log" if
    y spans orders of magnitude}], "columns": int, "share": bool}.
    A line of the same label looks the same in every panel and stands once in the legend; one whose label is a stage has
    the stage's colour (`style.looks`), and further lines of that stage are dashed. Panels with equal "ylabel" share
    their y range, unless "share" is false.
    """
    panels = data["panels"]
    columns = min(data.get("columns", 3), len(panels))
    rows = -(-len(panels) // columns)
    labels = list(dict.fromkeys(line["label"] for panel in panels for line in panel["lines"]))
    size = COLUMN if columns == 1 else PAGE
    numbers = {line["label"]: line["colour"] for panel in panels for line in panel["lines"] if "colour" in line}
    look = style.looks(labels, numbers)
    stages = [style.stage_of(label) for label in labels]
    dashes = {
        label: stages[:i].count(stage) % len(DASHES) if (stage := stages[i]) else 0 for i, label in enumerate(labels)
    }
    named = {*labels, *(mark[-1] for panel in panels for key in ("marks", "spans") for mark in panel.get(key, ()))} - {
        ""
    }
    in_a_row = max(1, int((size * 72 - 10) // (max(style.width(label, style.font()) for label in named) + 30)))
    fig, axes = plt.subplots(
        rows,
        columns,
        figsize=(size, 1.75 * rows + 0.25 + 0.17 * -(-len(named) // in_a_row)),
        layout="constrained",
        squeeze=False,
    )
    shared: dict[str, list[Axes]] = {}
    for number, (ax, panel) in enumerate(zip(axes.flat, panels, strict=False)):
        for line in panel["lines"]:
            colour, _ = look[line["label"]]
            x, y = (_numbers(line[key]) for key in ("x", "y"))
            ax.plot(
                x,
                y,
                DASHES[line.get("dash", dashes[line["label"]])],
                color=colour,
                label=style.plain(line["label"]),
                marker="o" if len(x) < 16 else None,
                markersize=2.6,
            )
            if "low" in line:
                low, high = (_numbers(line[key]) for key in ("low", "high"))
                ax.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
        for y, label in panel.get("marks", ()):
            ax.axhline(y, color=GREY, linewidth=0.8, linestyle=":", label=style.plain(label) or None)
        for left, right, label in panel.get("spans", ()):
            ax.axvspan(left, right, color=GREY, alpha=0.12, linewidth=0, label=style.plain(label) or None)
        # The y label stands where it changes, the x label at the foot of every column.
        first = number % columns == 0 or panel["ylabel"] != panels[number - 1]["ylabel"]
        ax.set_title(style.wrap(style.titled(panel), 72 * size / columns - 60))
        ax.set_ylabel(style.wrap(panel["ylabel"], 95) if first else "")
        ax.set_yscale(panel.get("yscale", "linear"))
        last = number + columns >= len(panels) or "xlabel" in panel
        ax.set_xlabel(panel.get("xlabel", data["xlabel"]) if last else "")
        if panel.get("share", data.get("share", True)):
            shared.setdefault(panel["ylabel"], []).append(ax)
    for ax in axes.flat[len(panels) :]:
        ax.axis("off")
    for group in shared.values():
        limits = np.array([ax.get_ylim() for ax in group])
        for ax in group:
            ax.set_ylim(limits[:, 0].min(), limits[:, 1].max())
    fig.legend(
        *style.legend_entries(axes),
        loc="outside upper left",
        handlelength=2.2,
        columnspacing=1.2,
        borderaxespad=0.2,
        ncols=in_a_row,
    )
    return fig


@figure
def layer_maps(data: dict) -> Figure:
    """Maps of a quantity over two axes, usually layers: one panel a map, one colour scale for all.

    data: {"xlabel", "ylabel", "value": label of the colour scale, "maps": [{"title", "values": [row, ..], "n":
    examples, optional}], and optionally "x", "y": the axes' tick values, "diverging": whether 0 is the neutral middle,
    "ridge": whether the largest value of every row is marked, "yticks": names of the rows}. Row 0 is at the foot, as
    layers are counted.
    """
    maps, diverging = data["maps"], data.get("diverging", False)
    values = [np.array([_numbers(row) for row in m["values"]]) for m in maps]
    known = np.concatenate([v[np.isfinite(v)] for v in values])
    low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    low, high = (-max(-low, high), max(-low, high)) if diverging else (low, high)
    names = data.get("yticks")
    fig, axes = plt.subplots(
        1,
        len(maps),
        figsize=(PAGE if len(maps) > 1 else COLUMN, data.get("height", 2.6)),
        layout="constrained",
        squeeze=False,
        sharey=True,
    )
    for ax, m, v in zip(axes[0], maps, values, strict=True):
        x, y = (np.asarray(data.get(key, range(size))) for key, size in (("x", v.shape[1]), ("y", v.shape[0])))
        rows = np.arange(len(y)) if names else y
        colours = "RdBu_r" if diverging else "cividis"
        shown = ax.pcolormesh(x, rows, v, vmin=low, vmax=high, cmap=colours, shading="nearest", rasterized=True)
        if data.get("ridge"):
            ax.plot(
                x[np.nanargmax(v, axis=1)],
                rows,
                "o",
                color="white",
                markeredgecolor="black",
                markersize=2.4,
                markeredgewidth=0.4,
                label="largest in its row",
            )
        if names:
            ax.set_yticks(rows, [style.plain(name) for name in names])
        ax.set_title(style.wrap(style.titled(m), 72 * PAGE / max(2, len(maps)) - 40))
        ax.set_xlabel(data["xlabel"])
    axes[0, 0].set_ylabel(data["ylabel"])
    fig.colorbar(shown, ax=list(axes[0]), label=data["value"], shrink=0.9)
    if data.get("ridge"):
        fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper left", borderaxespad=0.2)
    return fig


@figure
def loss_curves(data: dict) -> Figure:
    """Training loss by step, one panel a stage: single steps, their running mean, and one standard deviation.

    data: {stage: {"step": [..], "loss": [..], "n": pictures, optional}}, losses in nats per supervised token.
    """
    fig, axes = plt.subplots(1, len(data), figsize=(PAGE, 2.3), layout="constrained", sharey=True, squeeze=False)
    look = style.looks(data)
    for ax, (stage, curve) in zip(axes[0], data.items(), strict=True):
        step, loss = np.asarray(curve["step"], float), np.asarray(curve["loss"], float)
        half = len(loss) // 40
        around = [loss[max(0, i - half) : i + half + 1] for i in range(len(loss))]
        mean, sd = (np.array([f(part) for part in around]) for f in (np.mean, np.std))
        colour, _ = look[stage]
        ax.plot(step, loss, ".", color=GREY, markersize=2.5, markeredgewidth=0, alpha=0.5, label="single step")
        ax.plot(step, mean, color=colour, label=f"mean of {2 * half + 1} steps")
        ax.fill_between(step, mean - sd, mean + sd, color=colour, alpha=0.2, linewidth=0, label="± 1 SD")
        ax.set(xlabel="step", title=style.titled({"title": stage} | {"n": curve.get("n")}))
        ax.legend(loc="upper right", handlelength=1.4).legend_handles[0].set(markersize=5, alpha=1)
    axes[0, 0].set_ylabel("loss (nats per token)")
    axes[0, 0].set_ylim(bottom=0)
    return fig


def _numbers(values: list) -> np.ndarray:
    """None, where a value does not exist, as NaN, which leaves a gap."""
    return np.array([np.nan if v is None else v for v in values], float)
