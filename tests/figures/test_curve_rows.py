"""Tests of paperlib.figures.curve_rows."""

import pytest

from paperlib.figures.curve_rows import curve_rows, curves, lines, panel, split
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


def test_curves_are_taken_apart_by_series():
    rows = curve_rows("a", [0, 1], [HALF, None]) + curve_rows("b", [1], [HALF])
    assert curves(rows) == {"a": ([0, 1], [HALF, None]), "b": ([1], [HALF])}


def test_a_panel_holds_the_lines_its_n_and_a_line_at_zero():
    rows = curve_rows("a", [0], [HALF])
    made = panel("left", "share (%)", rows, 8, share=False)
    assert made["lines"] == lines(rows) and (made["n"], made["marks"], made["share"]) == (8, [[0, ""]], False)
    assert panel("left", "y", rows, 8, marks=[[1, "one"]])["marks"] == [[1, "one"]]


def test_rows_are_split_by_a_column():
    left, right = curve_rows("a", [0], [HALF], panel="left"), curve_rows("b", [0], [HALF], panel="right")
    assert split(left + right + left, "panel") == {"left": left + left, "right": right}


def test_each_depth_needs_its_estimate():
    with pytest.raises(ValueError):
        curve_rows("a", [0, 1], [HALF])
