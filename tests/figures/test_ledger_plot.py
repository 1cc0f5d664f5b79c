"""Tests of paperlib.figures.ledger_plot: each condition where its margin is, in the colour of its side."""

import matplotlib.colors as mcolors

from paperlib.figures import DRAW
from paperlib.figures.ledger_plot import LOOKS

DATA = {
    "xlabel": "margin",
    "groups": [
        {"claim": "C1", "method": "bypass", "verdict": "not supported", "rows": [
            {"condition": "what_remains", "seen": "18 %", "margin": [-2.0, -3.0, -1.0, 5], "stands": "against"},
            {"condition": "costs $", "seen": "3", "margin": [2.0, 1.0, 3.0, 5], "stands": "for"}]},
        {"claim": "C5", "method": "overlap", "verdict": "inconclusive", "rows": [
            {"condition": "gain", "seen": "1", "margin": [0.5, -0.5, 1.5, 5], "stands": "open"}]},
    ],
}  # fmt: skip


def test_dots_and_verdicts():
    fig = DRAW["ledger"](DATA)
    (ax,) = fig.axes
    dots = [(line.get_xdata()[0], mcolors.to_hex(line.get_color())) for line in ax.lines if line.get_marker() != "None"]
    assert dots == [(x, mcolors.to_hex(LOOKS[s][0])) for x, s in ((-2.0, "against"), (2.0, "for"), (0.5, "open"))]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["what remains", r"costs \$", "gain"]
    heads = [t.get_text() for t in ax.texts if ": " in t.get_text()]
    assert heads == ["C1, bypass: not supported", "C5, overlap: inconclusive"]


def test_it_is_as_tall_as_its_rows():
    more = {**DATA, "groups": DATA["groups"] * 3}
    assert DRAW["ledger"](more).get_figheight() > DRAW["ledger"](DATA).get_figheight()
