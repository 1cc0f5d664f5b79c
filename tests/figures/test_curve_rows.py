"""Tests of paperlib.figures.curve_rows."""

import pytest

from paperlib.figures.curve_rows import curve_rows, examples_behind, lines
from paperlib.stats.bootstrap import Interval

HALF = Interval(0.5, 0.25, 0.75, 8)


def test_a_table_of_curves_is_drawn_as_it_was_made():
    rows = curve_rows("a", [0, 0.5], [HALF, None], panel="left") + curve_rows("b", [1], [HALF], panel="left")
    assert rows[0] == {"panel": "left", "series": "a", "depth": 0, "share": HALF}
    first, second = lines(rows)
    assert first == {"label": "a", "x": [0, 0.5], "y": [50, None], "low": [25, None], "high": [75, None]}
    assert second["label"] == "b" and second["x"] == [1]


def test_another_column_and_scale():
    (line,) = lines(curve_rows("a", [0], [HALF], "loss"), "loss", scale=1)
    assert (line["y"], line["low"], line["high"]) == ([0.5], [0.25], [0.75])


def test_the_n_of_a_panel():
    rows = curve_rows("a", [0, 1], [HALF, Interval(0, 0, 0, 3)])
    assert examples_behind(rows) == 8
    assert examples_behind(curve_rows("a", [0], [None])) is None


def test_each_depth_needs_its_estimate():
    with pytest.raises(ValueError):
        curve_rows("a", [0, 1], [HALF])
