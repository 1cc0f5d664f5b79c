"""What figures share: the style, the colours, the registry of drawing functions, and text of a known width.

Colours are those of Okabe & Ito (2008), which colour-blind readers can tell apart; markers differ as well.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import matplotlib
import matplotlib.pyplot as plt
from matplotlib import font_manager
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
SERIES = tuple(zip((BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY, BLACK), "osD^vPX"))
GREY, FAINT = "#595959", "#F2F2F2"

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "axes.prop_cycle": matplotlib.cycler(color=[c for c, _ in SERIES]),
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


def set_style() -> None:
    """Make matplotlib's defaults those of the figures here, for figures that a reader draws beside them."""
    matplotlib.rcParams.update(STYLE)


def in_style():
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


def page(width: float, height: float):
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
