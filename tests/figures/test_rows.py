"""Tests of paperlib.figures.rows: lines and frames hold the numbers of their rows."""

import pytest

from paperlib.figures.publish import DRAW
from paperlib.figures.rows import curve_rows, curves_of, frame, lines_of, select, split
from paperlib.stats.interval import Interval

HALF = Interval(0.5, 0.25, 0.75, 8)
ROWS = [
    {"measure": measure, "stage": stage, "depth": depth, "value": Interval(depth + i, depth, depth + 2, 8)}
    for measure in ("CKA", "overlap")
    for i, stage in enumerate(("stage 1", "tuned"))
    for depth in (0.5, 1.0)
]


def test_rows_are_selected_by_all_columns_named():
    assert [row["measure"] for row in select(ROWS, stage="tuned", depth=1.0)] == ["CKA", "overlap"]
    assert select(ROWS, stage="untrained") == []


def test_rows_are_split_by_a_column():
    left, right = curve_rows("a", [0], [HALF], panel="left"), curve_rows("b", [0], [HALF], panel="right")
    assert split(left + right + left, "panel") == {"left": left + left, "right": right}


def test_a_curve_becomes_rows_and_comes_back():
    rows = curve_rows("a", [0, 1], [HALF, None], panel="left") + curve_rows("b", [1], [HALF], panel="left")
    assert rows[0] == {"panel": "left", "series": "a", "depth": 0, "share": HALF}
    assert curves_of(rows) == {"a": ([0, 1], [HALF, None]), "b": ([1], [HALF])}
    with pytest.raises(ValueError):
        curve_rows("a", [0, 1], [HALF])


def test_one_line_for_each_label_with_its_limits():
    found = lines_of(ROWS, measure="overlap", looks={"tuned": {"dash": 1}})
    assert [line["label"] for line in found] == ["stage 1", "tuned"]
    limits = {"low": [0.5, 1.0], "high": [2.5, 3.0]}
    assert found[1] == {"label": "tuned", "x": [0.5, 1.0], "y": [1.5, 2.0], **limits, "dash": 1}
    assert "dash" not in found[0]
    DRAW["layer_curves"]({"xlabel": "depth", "panels": [{"title": "", "ylabel": "", "lines": found}]})


def test_a_value_that_is_missing_leaves_a_gap():
    rows = curve_rows("a", [0, 0.5], [HALF, None])
    (line,) = lines_of(rows, "series", y="share", scale=100)
    assert line == {"label": "a", "x": [0, 0.5], "y": [50, None], "low": [25, None], "high": [75, None]}
    assert lines_of(rows[1:], "series", y="share") == [{"label": "a", "x": [0.5], "y": [None]}]


def test_numbers_without_intervals_have_no_limits():
    found = lines_of([{"what": "weights", "depth": 0.5, "value": 2.0}], by="what", scale=2)
    assert found == [{"label": "weights", "x": [0.5], "y": [4.0]}]


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="No row"):
        lines_of(ROWS, measure="kNN")
    with pytest.raises(ValueError, match="at some places only"):
        lines_of([ROWS[0], ROWS[1] | {"value": 1.0}])


def test_a_frame_writes_all_columns_alike_or_each_in_its_way():
    row = {"task": "a", "stage": "tuned", "gap": HALF, "mean": 0.123, "like": None, "n": 2500, "reached": True}
    table = frame([row], ".1f", 2)
    assert table.loc["a", "tuned"].tolist() == ["0.5 [0.2, 0.8]", "0.1", "–", "2,500", "True"]
    assert frame([row], {"gap": "+.0p"}).loc["a"].tolist()[:3] == ["tuned", "+50 [+25, +75]", "0.123"]
