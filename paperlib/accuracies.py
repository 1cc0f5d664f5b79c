"""Figures of accuracies by kind of question: dots with their intervals, beside chance."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from paperlib import style
from paperlib.style import COLUMN, FAINT, GREY, PAGE, SERIES, SMALL, figure

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
    fig.legend(shown.values(), shown.keys(), loc="outside upper left", ncols=columns, handlelength=1.2,
               columnspacing=1.2, borderaxespad=0.2)
    return fig


def _dot_panel(ax, kinds: list[str], rows: int, chance: dict, series: dict) -> None:
    step = 0.72 / len(series)
    for s, (name, values) in enumerate(series.items()):
        colour, marker = SERIES[s % len(SERIES)]
        here = [kind for kind in kinds if kind in values]
        y = np.array([kinds.index(kind) for kind in here]) + step * (s - (len(series) - 1) / 2)
        value, low, high = 100 * np.array([values[kind][:3] for kind in here]).reshape(-1, 3).T
        ax.hlines(y, low, high, color=colour, linewidth=1.1, zorder=2, clip_on=False)
        ax.plot(value, y, marker, color=colour, markersize=3.6, markeredgecolor="white", markeredgewidth=0.4,
                label=style.plain(name), zorder=3, clip_on=False)
    for y, kind in enumerate(kinds):
        if y % 2 == 0:
            ax.axhspan(y - 0.5, y + 0.5, color=FAINT, linewidth=0, zorder=0)
        counts = sorted({values[kind][3] for values in series.values() if kind in values})
        text = "n = " + "–".join(f"{n:,}" for n in dict.fromkeys([counts[0], counts[-1]]))
        ax.annotate(text, (1, y), (6, 0), ("axes fraction", "data"), textcoords="offset points", va="center",
                    fontsize=SMALL, color=GREY, annotation_clip=False)
    if known := [y for y, kind in enumerate(kinds) if kind in chance]:
        ends = [y - 0.46 for y in known], [y + 0.46 for y in known]
        ax.vlines([100 * chance[kinds[y]] for y in known], *ends, color=GREY, linestyle=":", linewidth=1.1,
                  label="chance", zorder=1)
    ax.set(xlim=(0, 100), ylim=(rows - 0.5, -0.5))
    ax.set_yticks(range(len(kinds)), [style.plain(kind) for kind in kinds])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
