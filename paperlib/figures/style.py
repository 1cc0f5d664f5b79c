"""What figures share: the style, the colours, the registry of drawing functions, and text of a known width.

Colours are those of Okabe & Ito (2008), which colour-blind readers can tell apart; markers differ as well. A stage has
one colour in all figures: see `looks`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.textpath import text_to_path

COLUMN, PAGE = 3.4, 7.0  # inches: the widths of one and of two columns of text
SMALL = 7.0  # points: no text is smaller
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = OKABE_ITO = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
SERIES = tuple(zip((BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY, BLACK), "osD^vPX", strict=True))
GREY, FAINT = "#595959", "#F2F2F2"
# A stage of tuning looks the same in every figure, and nothing else in a figure with stages looks like one.
STAGE_LOOKS = {
    "untrained": (PURPLE, "D"),
    "stage 1": (ORANGE, "s"),
    "LLM before tuning, tuned connector": (ORANGE, "s"),  # where there is no stage 1: never both in one figure
    "tuned": (BLUE, "o"),
}
STAGE_COLOURS = {stage: colour for stage, (colour, _) in STAGE_LOOKS.items()}

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "axes.prop_cycle": plt.cycler(color=[c for c, _ in SERIES]),
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.edgecolor": GREY,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "lines.linewidth": 1.2,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    # Fonts as text, so that a PDF can be searched; a fixed salt, so that an SVG is the same twice.
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.hashsalt": "paperlib",
}

DRAW: dict[str, Callable[[dict], Figure]] = {}


def stage_of(label: str) -> str | None:
    """The stage that a series shows, by its label, or None.

    A label shows a stage if it is the stage's name ("tuned"), or begins with the name and a comma, a colon or an
    opening bracket ("tuned, pictures", "stage 1 (n = 20)"). "tuned connector, stage-1 blocks" and
    "pictures, tuned" do not.
    """
    found = re.match(rf"({'|'.join(STAGE_LOOKS)})(?=$|,|:| ?\()", label)
    return found[1] if found else None


def looks(labels: Iterable[str], numbers: Mapping[str, int] | None = None) -> dict[str, tuple[str, str]]:
    """Colour and marker of every series of one figure, by label.

    A series that shows a stage (`stage_of`) has the stage's look, whatever its number. Any other takes the look of its
    number in `SERIES`, by default its place among the others; if that look belongs to a stage and a label of the figure
    names a stage anywhere, it takes a look that is still free. Where colours run out, they come with other markers.

    labels: of the whole figure. numbers: by label; series of one number look the same.
    """
    labels, numbers = list(dict.fromkeys(labels)), numbers or {}
    others = [label for label in labels if stage_of(label) is None]
    numbers = {label: numbers.get(label, i) for i, label in enumerate(others)}
    staged = any(stage in label for label in labels for stage in STAGE_COLOURS)
    free = [look for look in SERIES if not staged or look[0] not in STAGE_COLOURS.values()]
    every = _with_other_markers(SERIES)
    wanted = {number: every[number % len(every)] for number in sorted(set(numbers.values()))}
    replaced = [number for number, look in wanted.items() if look[0] not in dict(free)]
    kept = [look for number, look in wanted.items() if number not in replaced]
    spare = [look for look in _with_other_markers(free) if look not in kept]
    wanted |= {number: spare[i % len(spare)] for i, number in enumerate(replaced)}
    return {label: STAGE_LOOKS[stage] if (stage := stage_of(label)) else wanted[numbers[label]] for label in labels}


def _with_other_markers(some: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Looks, then their colours with the marker of the next one in `SERIES`, and so on until all pairs are there."""
    markers = [marker for _, marker in SERIES]
    return [
        (colour, markers[(markers.index(marker) + turn) % len(markers)])
        for turn in range(len(markers))
        for colour, marker in some
    ]


def titled(panel: Mapping) -> str:
    """A panel's title, with the n that its numbers rest on where "n" is given."""
    title, n = plain(panel.get("title", "")), panel.get("n")
    if n is None:
        return title
    return f"{title} (n = {n:,})" if title else f"n = {n:,}"


def in_style() -> AbstractContextManager:
    """A context in which this style holds and nothing else, whatever a reader's own defaults are."""
    return plt.style.context(["default", STYLE])


def figure(draw: Callable[[dict], Figure]) -> Callable[[dict], Figure]:
    """Register a drawing function (JSON data in, figure out) under its name, and make it draw in style."""

    @functools.wraps(draw)
    def styled(data: dict) -> Figure:
        with in_style():
            fig = draw(data)
            # Arranged once and then fixed, so that showing a figure before saving it doesn't move anything.
            fig.draw_without_rendering()
            fig.set_layout_engine("none")
        plt.close(fig)  # only from pyplot's list, or a notebook would show it twice
        return fig

    DRAW[draw.__name__] = styled
    return styled


def legend_entries(axes: np.ndarray) -> tuple[list[Artist], list[str]]:
    """Handles and labels of all axes of a figure, each label once."""
    shown = {label: h for ax in axes.flat for h, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    return list(shown.values()), list(shown)


def page(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of width x height points, and axes over all of it that count in points from the top left."""
    fig = plt.figure(figsize=(width / 72, height / 72))
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    ax.axis("off")
    return fig, ax


def font(size: float = SMALL, family: str = "DejaVu Sans") -> font_manager.FontProperties:
    """A font that comes with matplotlib, so that text is as wide on every machine."""
    return font_manager.FontProperties(family=family, size=size)


def width(text: str, properties: font_manager.FontProperties) -> float:
    """Width of a text in points."""
    return text_to_path.get_text_width_height_descent(text, properties, ismath=False)[0]


def wrap(text: str, limit: float) -> str:
    """Break a text of size `SMALL` between words, into lines of at most `limit` points where words allow."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and width(longer, font()) > limit:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def plain(text: str) -> str:
    """A name as a label: underscores are spaces, and a dollar sign starts no formula."""
    return text.replace("_", " ").replace("$", r"\$")


def visible(text: str, properties: font_manager.FontProperties) -> str:
    """A token with its spaces and line breaks shown, and a box for what the font can't draw."""
    text = text.replace("Ġ", " ").replace("Ċ", "\n").replace(" ", "␣").replace("\n", "↵").replace("\t", "⇥")
    known = font_manager.get_font(font_manager.findfont(properties)).get_charmap()
    return "".join(c if ord(c) in known else "□" for c in text)
