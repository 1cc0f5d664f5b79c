"""Figures from results alone: one function per figure, no model and no torch.

`save_figure` writes `name.pdf`, `name.png` and `name.json`. The JSON holds the numbers drawn and their
provenance, so that

    python -m paperlib.figures figures/mini/*.json

draws the figures again, byte for byte with the same matplotlib, and they can be restyled without a model.
"""

from __future__ import annotations

import io
import os
import sys
from itertools import groupby
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from paperlib import comparisons, curves, diagrams, style  # the first three register their figures in DRAW
from paperlib.results import ResultError, plain, provenance, read_result, write_result
from paperlib.style import BLUE, COLUMN, DRAW, FAINT, GREY, PAGE, SERIES, SKY, SMALL, figure, set_style

__all__ = ["DRAW", "publish", "save_figure", "redraw", "set_style", "loss_curves", "accuracy_by_model", "controls",
           "scene_gallery", "token_map", "comparisons", "curves", "diagrams"]

ROLES = {"template": "#DDDDDD", "image": "#A8D5F2", "question": "#F7CF7A", "answer": "#8FD3BC"}
TALL = 10  # kinds of question in one column of a dot plot
# Dates and version stamps would make every run a change.
STAMPS = {"pdf": {"CreationDate": None, "Producer": None, "Creator": None}, "png": {"Software": None}}


def save_figure(fig: Figure, folder, name: str, figure: str, data: dict, provenance: dict) -> Path:
    """Write folder/name.pdf, .png and, with the numbers and their provenance, .json; returns the JSON's path.

    Args:
        fig: what `DRAW[figure](data)` returned.
        name: the file name without its ending, such as "01_accuracy".
        figure: the name of the function that draws it, a key of `DRAW`.
        data, provenance: as for `paperlib.results.write_result`.

    Raises:
        ValueError: an unknown `figure`, or data that JSON can't hold.
    """
    if figure not in DRAW:
        raise ValueError(f"There is no figure {figure!r}: choose one of {', '.join(DRAW)}.")
    path = write_result(Path(folder) / f"{name}.json", {"figure": figure, "drawn": data}, provenance)
    _write_images(fig, path)
    return path


def publish(study, name: str, figure: str, data: dict, seconds: float, n: int, **extra) -> Figure:
    """Draw a figure, save it among the study's figures with its provenance, and return it for the notebook to show.

    seconds: what computing the numbers took; n: examples behind them; extra: more provenance.
    """
    data = plain(data)
    fig = DRAW[figure](data)
    save_figure(fig, study.figures, name, figure, data, provenance(study, seconds, n, **extra))
    return fig


def redraw(path) -> Figure:
    """Draw a figure from its JSON, write its PDF and PNG anew beside it, and return it.

    Raises:
        paperlib.results.ResultError: the file is missing, damaged, or holds no figure.
    """
    data = read_result(path)["data"]
    if not isinstance(data, dict) or data.get("figure") not in DRAW:
        raise ResultError(f"{Path(path).name} holds no figure: pass a JSON file that save_figure wrote.")
    fig = DRAW[data["figure"]](data["drawn"])
    _write_images(fig, Path(path))
    return fig


def _write_images(fig: Figure, path: Path) -> None:
    for ending, metadata in STAMPS.items():
        buffer = io.BytesIO()
        with style.in_style():
            fig.savefig(buffer, format=ending, metadata=metadata, dpi=style.STYLE["savefig.dpi"])
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.{ending}.tmp")
        temporary.write_bytes(buffer.getvalue())
        os.replace(temporary, path.with_suffix(f".{ending}"))


@figure
def loss_curves(data: dict) -> Figure:
    """Training loss by update, one panel a stage: single updates, their running mean, and one standard
    deviation.

    data: {stage: {"step": [..], "loss": [..]}}, losses in nats per supervised token.
    """
    fig, axes = plt.subplots(
        1, len(data), figsize=(PAGE, 2.3), layout="constrained", sharey=True, squeeze=False
    )
    for ax, (stage, curve) in zip(axes[0], data.items()):
        step, loss = np.asarray(curve["step"], float), np.asarray(curve["loss"], float)
        half = len(loss) // 40
        around = [loss[max(0, i - half) : i + half + 1] for i in range(len(loss))]
        mean, sd = (np.array([f(part) for part in around]) for f in (np.mean, np.std))
        dots = {"color": SKY, "markersize": 2.5, "markeredgewidth": 0, "alpha": 0.6, "label": "single update"}
        ax.plot(step, loss, ".", **dots)
        ax.plot(step, mean, color=BLUE, label=f"mean of {2 * half + 1} updates")
        ax.fill_between(step, mean - sd, mean + sd, color=BLUE, alpha=0.2, linewidth=0, label="± 1 SD")
        ax.set(xlabel="update", title=style.plain(f"{stage} (ends at {mean[-1]:.2f})"))
        ax.legend(loc="upper right", handlelength=1.4).legend_handles[0].set(markersize=5, alpha=1)
    axes[0, 0].set_ylabel("loss (nats per token)")
    axes[0, 0].set_ylim(bottom=0)
    return fig


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
    words = {"va": "top", "fontsize": SMALL, "linespacing": 1.15, "parse_math": False}
    top = 0.0
    for row, height in zip(rows, heights):
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


def picture_of(stored: dict):
    """The `Scene` or `Chart` that a figure's data hold as what its `to_dict` gave."""
    from paperlib.charts import Chart  # here, so that drawing numbers needs no pictures' assets
    from paperlib.scenes import Scene

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
