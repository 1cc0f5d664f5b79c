"""Curves of several models: one line each over relative depth, seeds of one model in one line."""

import pytest

from paperlib.figures.cross_model import CURVES, Curve, over_seeds, panels_of
from paperlib.stats.interval import Interval
from paperlib.stats.tables import read_table_file
from paperlib.study import CODE_ROOT

CURVE = Curve("x", "tuned", "02_x", "accuracy", "probe", {"stage": "tuned"}, "accuracy (%)", 100)


def rows(level, depths=(0, 0.5, 1), stage="tuned"):
    return [
        {"probe": probe, "stage": stage, "depth": d, "accuracy": Interval(level, level - 0.1, level + 0.1, 9)}
        for probe in ("colour", "count")
        for d in depths
    ]


def test_a_line_for_each_model_and_a_panel_for_each_value():
    panels = panels_of(CURVE, {"a": [("run-a", rows(0.5))], "b": [("run-b", rows(0.7, (0, 1)))]})
    assert [panel["title"] for panel in panels] == ["colour: tuned", "count: tuned"]
    one, other = panels[0]["lines"]
    assert (one["label"], one["x"], one["y"]) == ("a", [0, 0.5, 1], [50, 50, 50])
    assert other["label"] == "b" and other["x"] == [0, 1] and other["low"] == pytest.approx([60, 60])
    assert (one["colour"], other["colour"]) == (0, 1)


def test_seeds_of_a_model_are_one_line():
    (line,) = panels_of(CURVE, {"a": [("seed0", rows(0.5)), ("seed1", rows(0.7))]})[0]["lines"]
    assert line["y"] == pytest.approx([60] * 3)
    assert line["low"] == pytest.approx([40] * 3) and line["high"] == pytest.approx([80] * 3)


def test_other_stages_and_lacking_panels_are_left_out():
    assert panels_of(CURVE, {"a": [("run", rows(0.5, stage="stage 1"))]}) == []
    kept = Curve("x", "tuned", "02_x", "accuracy", "probe", {"stage": "tuned"}, keep=("count",))
    assert [panel["title"] for panel in panels_of(kept, {"a": [("run", rows(0.5))]})] == ["count: tuned"]


def test_a_panel_without_a_label_of_its_own_is_named_with_its_unit():
    bare = Curve("x", "tuned", "02_x", "accuracy", "probe", {"stage": "tuned"}, units={"count": " (%)"})
    assert [panel["ylabel"] for panel in panels_of(bare, {"a": [("run", rows(0.5))]})] == ["colour", "count (%)"]


def test_eight_models_look_different():
    panels = panels_of(CURVE, {f"m{i}": [("run", rows(0.5))] for i in range(9)})
    assert len({(line["colour"], line["dash"]) for line in panels[0]["lines"]}) == 9


def test_a_mean_of_numbers_without_intervals():
    assert over_seeds([1.0, 3.0])[:3] == (2.0, 1.0, 3.0)


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_every_curve_is_in_the_committed_results(curve):
    found = read_table_file(CODE_ROOT / "results" / "mini" / f"{curve.table}.json")
    panels = panels_of(curve, {"mini": [("mini", found)]})
    assert panels and all(len(panel["lines"]) == 1 and len(panel["lines"][0]["x"]) > 1 for panel in panels)
