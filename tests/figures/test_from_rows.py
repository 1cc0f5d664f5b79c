"""Curves and tables hold the numbers of the rows."""

import pytest

from paperlib.figures.from_rows import frame, lines_of
from paperlib.figures.publish import DRAW
from paperlib.stats.bootstrap import Interval

ROWS = [
    {"measure": measure, "stage": stage, "depth": depth, "value": Interval(depth + i, depth, depth + 2, 8)}
    for measure in ("CKA", "overlap")
    for i, stage in enumerate(("stage 1", "tuned"))
    for depth in (0.5, 1.0)
]


def test_one_curve_for_each_label_with_its_limits():
    found = lines_of(ROWS, measure="overlap", looks={"tuned": {"dash": 1}})
    assert [line["label"] for line in found] == ["stage 1", "tuned"]
    assert found[1] == {
        "label": "tuned",
        "x": [0.5, 1.0],
        "y": [1.5, 2.0],
        "low": [0.5, 1.0],
        "high": [2.5, 3.0],
        "dash": 1,
    }
    assert "dash" not in found[0]
    DRAW["layer_curves"]({"xlabel": "depth", "panels": [{"title": "", "ylabel": "", "lines": found}]})


def test_numbers_without_intervals_have_no_limits():
    found = lines_of([{"what": "weights", "depth": 0.5, "value": 2.0}], by="what")
    assert found == [{"label": "weights", "x": [0.5], "y": [2.0]}]


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="No row"):
        lines_of(ROWS, measure="kNN")
    with pytest.raises(ValueError, match="at some places only"):
        lines_of([ROWS[0], ROWS[1] | {"value": 1.0}])


def test_a_frame_shows_formatted_numbers():
    found = frame(
        [{"stage": "tuned", "value": Interval(0.5, 0.25, 1, 9), "like": None, "n": 9, "x": 1.0}], ["stage"], ".1f"
    )
    assert found.loc["tuned"].to_dict() == {"value": "0.5 [0.2, 1.0]", "like": "", "n": 9, "x": "1.0"}
