"""Figures that explain rather than measure: pictures with their captions, a prompt as the model reads it, what a packed
conversation may attend to, and how sure a model is.
"""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from paperlib.figures import style
from paperlib.figures.style import GREY, PAGE, SERIES, SMALL, figure

if TYPE_CHECKING:
    from paperlib.tasks.charts import Chart
    from paperlib.tasks.scenes import Scene

ROLES = {"template": "#DDDDDD", "image": "#A8D5F2", "question": "#F7CF7A", "answer": "#8FD3BC"}
RIGHT = {"fontweight": "bold", "bbox": {"facecolor": "white", "edgecolor": "black", "linewidth": 0.6, "pad": 1.5}}


@figure
def scene_gallery(data: dict) -> Figure:
    """Pictures with their captions, and the credit that the pictures' licence asks for.

    data: {"pictures": [what `to_dict` of a `Scene` or `Chart` gives], "captions": [..], "credit": str}.
    """
    pictures, n = data["pictures"], len(data["pictures"])
    if n == 0 or n != len(data["captions"]):
        raise ValueError(f"A gallery needs a caption for each picture, got {len(data['captions'])} for {n}.")
    columns, cell, margin, line = min(4, n), PAGE * 72 / 4, 4.0, 9.5  # points
    side = cell - 2 * margin
    captions = [style.wrap(caption, side) for caption in data["captions"]]
    credit = style.wrap(data["credit"], columns * cell - 2 * margin)
    rows = [range(i, min(i + columns, n)) for i in range(0, n, columns)]
    heights = [cell + margin + line * max(captions[i].count("\n") + 1 for i in row) for row in rows]
    fig, ax = style.page(columns * cell, sum(heights) + line * (credit.count("\n") + 1) + margin)
    words: dict[str, Any] = {"va": "top", "fontsize": SMALL, "linespacing": 1.15, "parse_math": False}
    top = 0.0
    for row, height in zip(rows, heights, strict=True):
        for column, i in enumerate(row):
            image = picture_of(pictures[i]).render()
            left, below = column * cell + margin, top + margin + side
            scale = side / max(image.size)
            box = (left, left + scale * image.width, below, below - scale * image.height)
            ax.imshow(np.asarray(image), extent=box, aspect="auto")
            ax.text(left, below + margin, captions[i], **words)
        top += height
    ax.text(margin, top, credit, color=GREY, **words)
    return fig


def picture_of(stored: dict) -> "Scene | Chart":
    """The `Scene` or `Chart` that a figure's data hold as what its `to_dict` gave."""
    from paperlib.tasks.charts import Chart  # here, so that drawing numbers needs no pictures' assets
    from paperlib.tasks.scenes import Scene

    return Chart.from_dict(stored) if "bars" in stored else Scene.from_dict(stored)


@figure
def token_map(data: dict) -> Figure:
    """A prompt as the model reads it: one box a token, coloured by its role; equal neighbours share a box.

    data: {"tokens": [[text, role], ..]}, role one of template, image, question, answer.
    """
    roles = [role for _, role in data["tokens"]]
    if unknown := set(roles) - set(ROLES):
        raise ValueError(f"There is no role {min(unknown)!r}: choose among {', '.join(ROLES)}.")
    pad, gap, line, limit, mono = 3.0, 2.0, 17.0, PAGE * 72 - 1, style.font(7.5, "DejaVu Sans Mono")
    boxes, x, y = [], 1.0, 22.0
    for (text, role), run in groupby(map(tuple, data["tokens"])):
        count = len(list(run))
        shown = style.visible(text, mono) + (f" × {count}" if count > 1 else "")
        box = style.width(shown, mono) + 2 * pad
        if x > 1 and x + box > limit:
            x, y = 1.0, y + line
        boxes.append((x, y, box, shown, role))
        x += box + gap
    fig, ax = style.page(PAGE * 72, y + line)

    def rounded(x: float, y: float, width: float, height: float, role: str) -> None:
        shape = "round,pad=0,rounding_size=2"
        ax.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=shape, lw=0, facecolor=ROLES[role]))

    x = 1.0
    for role in filter(roles.count, ROLES):
        label = f"{role} ({roles.count(role)})"
        rounded(x, 4, 8, 8, role)
        ax.text(x + 12, 8.5, label, va="center", fontsize=SMALL)
        x += 26 + style.width(label, style.font())
    for x, y, box, text, role in boxes:
        rounded(x, y, box, line - 3, role)
        ax.text(x + pad, y + (line - 3) / 2 + 0.5, text, va="center", fontproperties=mono, parse_math=False)
    return fig


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
        ax.annotate(
            style.wrap(label, 260),
            (n, here.mean()),
            (6, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
            annotation_clip=False,
            parse_math=False,
        )
        ax.axhline(here[-1] + 0.5, color=GREY, linewidth=0.4)
    ax.set(xlabel="position attended to (token)", ylabel="attending position (token)")
    return fig


@figure
def choice_probabilities(data: dict) -> Figure:
    """How a model's probability is spread over the choices of single questions, by stage of tuning.

    data: {"questions": [{"question", "answer", "choices": [..], "stages": {stage: [p, ..]}, "n": examples,
    optional}, ..]}, each p in [0, 1].
    """
    questions = data["questions"]
    widths = [len(q["choices"]) for q in questions]
    fig, axes = plt.subplots(
        1,
        len(questions),
        figsize=(PAGE, 2.3),
        layout="constrained",
        sharey=True,
        squeeze=False,
        width_ratios=[max(3, w) for w in widths],
    )
    look = style.looks(stage for q in questions for stage in q["stages"])
    for ax, q in zip(axes[0], questions, strict=True):
        step = 0.8 / len(q["stages"])
        for s, (stage, values) in enumerate(q["stages"].items()):
            x = np.arange(len(values)) + step * (s - (len(q["stages"]) - 1) / 2)
            ax.bar(x, 100 * np.asarray(values), step, color=look[stage][0], label=style.plain(stage))
        ax.set_xticks(
            range(len(q["choices"])),
            [style.plain(c) for c in q["choices"]],
            rotation=40,
            ha="right",
            rotation_mode="anchor",
        )
        for tick, choice in zip(ax.get_xticklabels(), q["choices"], strict=True):
            tick.set_fontweight("bold" if choice == q["answer"] else "normal")
        limit = 72 * PAGE * 0.9 * max(3, len(q["choices"])) / sum(max(3, w) for w in widths)
        ax.set_title(style.wrap(style.titled({"title": q["question"], "n": q.get("n")}), limit), fontsize=SMALL)
    axes[0, 0].set(ylabel="probability (%)", ylim=(0, 100))
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(
        handles,
        [*labels],
        loc="outside upper left",
        ncols=4,
        title="model; the true answer is bold",
        title_fontsize=SMALL,
        alignment="left",
        borderaxespad=0.2,
    )
    return fig


def by_question(rows: Iterable[Mapping], series: str) -> list[dict]:
    """The "questions" of `choice_probabilities` from rows with "question", "answer", "choices" and "probabilities".

    series: the column that names the stage, or whatever the bars of one colour share.
    """
    found: dict[str, dict] = {}
    for row in rows:
        new = {key: row[key] for key in ("question", "answer", "choices")} | {"stages": {}}
        found.setdefault(row["question"], new)["stages"][row[series]] = row["probabilities"]
    return list(found.values())


@figure
def lens_grid(data: dict) -> Figure:
    """What each image token would say if the model stopped at a layer: its likeliest word, on its place in the picture.

    data: {"picture": what `to_dict` of a `Scene` or `Chart` gives, "panels": [{"title", "words": [[word, ..], ..]
    rows of places from the top; optionally "n": examples, "picture": in place of the figure's, "right": [[row, column],
    ..] places whose word is right, which stands in bold on white}], "credit": str}.
    """
    panels = data["panels"]
    fig, axes = plt.subplots(
        1, len(panels), figsize=(PAGE, PAGE / len(panels) + 0.45), layout="constrained", squeeze=False
    )
    for ax, panel in zip(axes[0], panels, strict=True):
        pixels = np.asarray(picture_of(panel.get("picture", data["picture"])).render())
        ax.imshow(pixels, alpha=0.45)
        right = {tuple(place) for place in panel.get("right", ())}
        rows, (height, width) = panel["words"], pixels.shape[:2]
        for i, row in enumerate(rows):
            for j, word in enumerate(row):
                ax.text(
                    (j + 0.5) * width / len(row),
                    (i + 0.5) * height / len(rows),
                    style.plain(word),
                    ha="center",
                    va="center",
                    fontsize=SMALL,
                    parse_math=False,
                    **(RIGHT if (i, j) in right else {}),
                )
            ax.axhline(i * height / len(rows) - 0.5, color=GREY, linewidth=0.4)
        for j in range(len(rows[0])):
            ax.axvline(j * width / len(rows[0]) - 0.5, color=GREY, linewidth=0.4)
        ax.set(title=style.titled(panel), xticks=[], yticks=[])
    fig.supxlabel(data["credit"], fontsize=SMALL, color=GREY, x=0.01, ha="left")
    return fig
