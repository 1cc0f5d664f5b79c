"""The ledger of claims as one figure: every condition of every rule, as a dot with its interval, method by method."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from paperlib.figures import style
from paperlib.figures.comparisons import VERDICTS
from paperlib.figures.style import FAINT, GREY, PAGE, SMALL, figure

# Of each state of a condition: the colour of the verdict that it speaks for, and a marker for those who see no colour.
LOOKS = {"for": (VERDICTS["supported"], "o"), "open": (GREY, "s"), "against": (VERDICTS["not supported"], "D")}
ROW = 0.155  # inches


@figure
def ledger(data: dict) -> Figure:
    """A dot with its interval for each condition, in groups by claim and method, each with its verdict.

    data: {"xlabel": str, "groups": [{"claim", "method", "verdict", "rows": [{"condition", "seen",
    "margin": [value, low, high], "stands": "for", "open" or "against"}]}]}. What was seen stands at the right.
    """
    lines = sum(1 + len(group["rows"]) for group in data["groups"])
    fig, ax = plt.subplots(figsize=(PAGE, ROW * lines + 0.8), layout="constrained")
    labels, y = [], 0
    for group in data["groups"]:
        ax.axhspan(y - 0.5, y + 0.5, color=FAINT, linewidth=0, zorder=0)
        head = f"{group['claim']}, {group['method']}: {group['verdict']}"
        ax.text(0.01, y, style.plain(head), transform=ax.get_yaxis_transform(), va="center", fontsize=SMALL,
                color=VERDICTS.get(group["verdict"], "black"), fontweight="bold")  # fmt: skip
        for row in group["rows"]:
            y += 1
            colour, marker = LOOKS[row["stands"]]
            value, low, high = row["margin"][:3]
            ax.hlines(y, low, high, color=colour, linewidth=1.1, zorder=2)
            ax.plot(value, y, marker, color=colour, markersize=3.6, markeredgecolor="white", markeredgewidth=0.4)
            ax.text(1.01, y, row["seen"], transform=ax.get_yaxis_transform(), va="center", fontsize=SMALL)
            labels.append((y, style.plain(row["condition"])))
        y += 1
    ax.axvline(0, color=GREY, linestyle=":", linewidth=0.9, zorder=1)
    ax.set_yticks([at for at, _ in labels], [label for _, label in labels])
    ax.set(ylim=(y - 0.5, -0.5), xlabel=data["xlabel"])
    ax.tick_params(axis="y", length=0)
    handles = [plt.Line2D([], [], color=colour, marker=marker, linewidth=1.1, markersize=3.6, label=stands)
               for stands, (colour, marker) in LOOKS.items()]  # fmt: skip
    fig.legend(handles=handles, loc="outside upper left", ncols=len(handles), handlelength=1.4)
    return fig
