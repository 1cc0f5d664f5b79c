"""Tests of paperlib.figures.shown_table."""

from paperlib.figures.shown_table import shown
from paperlib.stats.bootstrap import Interval


def test_intervals_and_numbers_have_the_digits_asked_for():
    rows = [
        {"kind": "name", "gap": Interval(0.5, 0.25, 0.75, 8), "mean": 0.123, "n": 8},
        {"kind": "colour", "gap": None, "mean": 0.5, "n": 9},
    ]
    frame = shown(rows, {"mean": ".1f", "gap": "+.2f"})
    assert list(frame.index) == ["name", "colour"] and list(frame.columns) == ["gap", "mean", "n"]
    assert frame["gap"].tolist() == ["+0.50 [+0.25, +0.75]", "–"]
    assert frame["mean"].tolist() == ["0.1", "0.5"] and frame["n"].tolist() == [8, 9]
    assert shown(rows)["gap"]["name"] == "0.5 [0.25, 0.75]"
