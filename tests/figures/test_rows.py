"""Tests of paperlib.figures.rows: figures and frames hold the numbers of their table."""

from paperlib.figures.curves import layer_curves
from paperlib.figures.rows import curves, frame, probe_panel, select
from paperlib.stats.bootstrap import Interval


def row(stage, layer, share, control=None):
    return {
        "stage": stage,
        "layer": layer,
        "depth": layer / 2,
        "accuracy": Interval(share, share - 0.1, share + 0.1, 40),
        "control": control,
        "chance": 0.25,
    }


SHUFFLED = Interval(0.2, 0.1, 0.3, 40)
ROWS = [row("stage 1", i, 0.3) for i in range(3)] + [row("tuned", i, 0.3 + 0.2 * i, SHUFFLED) for i in range(3)]


def test_rows_are_selected_by_all_columns_named():
    assert [r["depth"] for r in select(ROWS, stage="tuned", layer=2)] == [1.0]
    assert select(ROWS, stage="untrained") == []


def test_a_curve_for_each_stage_with_its_interval():
    lines = curves(ROWS)
    assert [line["label"] for line in lines] == ["stage 1", "tuned"]
    assert lines[1]["x"] == [0, 0.5, 1] and [round(y) for y in lines[1]["y"]] == [30, 50, 70]
    assert [round(y) for y in lines[1]["low"]] == [20, 40, 60] and "colour" not in lines[1]


def test_a_value_that_is_missing_leaves_a_gap():
    assert curves(select(ROWS, stage="stage 1"), "control")[0]["y"] == [None] * 3


def test_a_panel_of_probes_holds_controls_baseline_and_n():
    panel = probe_panel(ROWS, "colour")
    assert [line["label"] for line in panel["lines"]] == ["stage 1", "tuned", "control task (shuffled labels)"]
    assert panel["marks"] == [[25.0, "majority baseline"]] and panel["n"] == 40
    fig = layer_curves({"xlabel": "layer (relative depth)", "panels": [panel]})
    assert len(fig.axes) == 1


def test_a_frame_prints_intervals_points_and_gaps():
    shown = frame(
        [{"task": "a", "accuracy": SHUFFLED, "gap": SHUFFLED, "at": 0.333, "none": None}], "task", points=["gap"]
    )
    assert shown.loc["a"].tolist() == ["20 % [10, 30]", "+20 [+10, +30]", 0.33, "–"]
