"""Figures that explain rather than measure: what a packed conversation may attend to, and how sure a model is."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from paperlib import style
from paperlib.style import GREY, PAGE, SERIES, SMALL, figure


@figure
def packed_mask(data: dict) -> Figure:
    """Which token may attend to which in a packed conversation: the picture is shared, turns don't see each other.

    data: {"turns": [label, ..], "branch": [0 for the front, t for a token of turn t, ..]}, without padding.
    """
    branch = np.asarray(data["branch"])
    n, turns = len(branch), len(data["turns"])
    row, column = branch[:, None], branch[None, :]
    seen = np.tril(np.ones((n, n), bool)) & ((row == column) | (column == 0))
    shade = np.where(seen, np.where(column == 0, 1, 1 + row), 0)
    colours = ["white", "#A8D5F2", *(SERIES[t % len(SERIES)][0] for t in range(turns))]
    fig = plt.figure(figsize=(PAGE, 3.0))
    ax = fig.add_axes((0.07, 0.15, 0.36, 0.84))  # square, with room for the turns on its right
    ax.imshow(shade, cmap=ListedColormap(colours), vmin=0, vmax=turns + 1, interpolation="nearest")
    for t, label in enumerate(["template and picture", *data["turns"]]):
        here = np.flatnonzero(branch == t)
        ax.annotate(style.wrap(label, 260), (n, here.mean()), (6, 0), textcoords="offset points", va="center",
                    fontsize=SMALL, annotation_clip=False, parse_math=False)
        ax.axhline(here[-1] + 0.5, color=GREY, linewidth=0.4)
    ax.set(xlabel="position attended to (token)", ylabel="attending position (token)")
    return fig


@figure
def choice_probabilities(data: dict) -> Figure:
    """How a model's probability is spread over the choices of single questions, by stage of tuning.

    data: {"questions": [{"question", "answer", "choices": [..], "stages": {stage: [p, ..]}}, ..]}, each p in [0, 1].
    """
    questions = data["questions"]
    widths = [len(q["choices"]) for q in questions]
    fig, axes = plt.subplots(1, len(questions), figsize=(PAGE, 2.3), layout="constrained", sharey=True, squeeze=False,
                             width_ratios=[max(3, w) for w in widths])
    for ax, q in zip(axes[0], questions):
        step = 0.8 / len(q["stages"])
        for s, (stage, values) in enumerate(q["stages"].items()):
            x = np.arange(len(values)) + step * (s - (len(q["stages"]) - 1) / 2)
            ax.bar(x, 100 * np.asarray(values), step, color=SERIES[s][0], label=style.plain(stage))
        ax.set_xticks(range(len(q["choices"])), [style.plain(c) for c in q["choices"]], rotation=40, ha="right",
                      rotation_mode="anchor")
        for tick, choice in zip(ax.get_xticklabels(), q["choices"]):
            tick.set_fontweight("bold" if choice == q["answer"] else "normal")
        limit = 72 * PAGE * 0.9 * max(3, len(q["choices"])) / sum(max(3, w) for w in widths)
        ax.set_title(style.wrap(q["question"], limit), fontsize=SMALL)
    axes[0, 0].set(ylabel="probability (%)", ylim=(0, 100))
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, [*labels], loc="outside upper left", ncols=4, title="model; the true answer is bold",
               title_fontsize=SMALL, alignment="left", borderaxespad=0.2)
    return fig


@figure
def lens_grid(data: dict) -> Figure:
    """What each image token would say if the model stopped at a layer: its likeliest word, on its place in the picture.

    data: {"picture": what `to_dict` of a `Scene` or `Chart` gives, "panels": [{"title", "words": [[word, ..], ..]
    rows of places from the top}], "credit": str}.
    """
    from paperlib.figures import picture_of  # here: that module imports this one

    pixels, panels = np.asarray(picture_of(data["picture"]).render()), data["panels"]
    fig, axes = plt.subplots(1, len(panels), figsize=(PAGE, PAGE / len(panels) + 0.45), layout="constrained",
                             squeeze=False)
    for ax, panel in zip(axes[0], panels):
        ax.imshow(pixels, alpha=0.45)
        rows, (height, width) = panel["words"], pixels.shape[:2]
        for i, row in enumerate(rows):
            for j, word in enumerate(row):
                ax.text((j + 0.5) * width / len(row), (i + 0.5) * height / len(rows), style.plain(word), ha="center",
                        va="center", fontsize=SMALL, parse_math=False)
            ax.axhline(i * height / len(rows) - 0.5, color=GREY, linewidth=0.4)
        for j in range(len(rows[0])):
            ax.axvline(j * width / len(rows[0]) - 0.5, color=GREY, linewidth=0.4)
        ax.set(title=panel["title"], xticks=[], yticks=[])
    fig.supxlabel(data["credit"], fontsize=SMALL, color=GREY, x=0.01, ha="left")
    return fig
