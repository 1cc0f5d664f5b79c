"""Figures over depth draw what their data say."""

import numpy as np
import pytest

from paperlib.figures import curves, style
from paperlib.figures.publish import DRAW

LINE = {"label": "images", "x": [0, 0.5, 1], "y": [1, 3, 2], "low": [0.5, 2, 1], "high": [2, 4, 3]}
OTHER = {"label": "captions", "x": [0, 0.5, 1], "y": [2, None, 1]}


def test_curves_bands_marks_and_labels():
    data = {
        "xlabel": "relative depth",
        "panels": [
            {"title": "tuned", "ylabel": "accuracy (%)", "lines": [LINE, OTHER], "marks": [[1.5, "chance"]]},
            {"title": "stage 1", "ylabel": "accuracy (%)", "lines": [OTHER], "spans": [[0.2, 0.6, "band"]]},
            {"title": "rank", "ylabel": "rank", "lines": [LINE | {"y": [10, 30, 20]}], "yscale": "log"},
        ],
    }
    fig = DRAW["layer_curves"](data)
    first, second, third = fig.axes
    assert [list(line.get_ydata()) for line in first.lines[:1]] == [[1, 3, 2]] and len(first.collections) == 1
    assert np.isnan(first.lines[1].get_ydata()[1])  # a value that does not exist leaves a gap
    assert first.lines[1].get_color() == second.lines[0].get_color() != first.lines[0].get_color()
    assert first.get_ylim() == second.get_ylim() != third.get_ylim()
    assert first.get_yscale() == "linear" and third.get_yscale() == "log"
    assert first.get_ylabel() == "accuracy (%)" and second.get_ylabel() == "" and third.get_ylabel() == "rank"
    assert {text.get_text() for text in fig.legends[0].get_texts()} == {"images", "captions", "chance", "band"}
    assert all(ax.get_xlabel() == "relative depth" for ax in fig.axes)


def test_maps_share_a_scale_and_mark_the_ridge():
    maps = [{"title": "a", "values": [[0, 1, 2], [5, 4, 3]]}, {"title": "b", "values": [[-7, 0, 1], [0, None, 0]]}]
    data = {"xlabel": "text layer", "ylabel": "image layer", "value": "CKA", "maps": maps, "ridge": True}
    fig = DRAW["layer_maps"](data)
    panels = [ax for ax in fig.axes if ax.get_xlabel()]
    assert [ax.collections[0].get_clim() for ax in panels] == [(-7, 5)] * 2
    assert [list(ax.lines[0].get_xdata()) for ax in panels] == [[2, 0], [2, 0]]
    assert fig.axes[-1].get_ylabel() == "CKA" and panels[0].get_ylabel() == "image layer"
    fig = DRAW["layer_maps"](data | {"diverging": True, "yticks": ["swap", "add"], "ridge": False})
    assert fig.axes[0].collections[0].get_clim() == (-7, 7)
    assert [tick.get_text() for tick in fig.axes[0].get_yticklabels()] == ["swap", "add"]


@pytest.mark.parametrize("columns", [1, 2])
def test_columns(columns):
    panel = {"title": "t", "ylabel": "y", "lines": [LINE]}
    fig = DRAW["layer_curves"]({"xlabel": "depth", "panels": [panel] * 3, "columns": columns})
    assert len([ax for ax in fig.axes if ax.lines]) == 3


def test_a_stage_has_its_colour_and_its_further_lines_are_dashed():
    lines = [LINE | {"label": label, "colour": 0} for label in ("tuned", "other", "tuned, kept", "stage 1")]
    ax = DRAW["layer_curves"](
        {"xlabel": "depth", "panels": [{"title": "t", "ylabel": "y", "n": 40, "lines": lines}]}
    ).axes[0]
    tuned, other, kept, stage1 = ax.lines
    assert tuned.get_color() == kept.get_color() == style.STAGE_COLOURS["tuned"]
    assert (
        stage1.get_color() == style.STAGE_COLOURS["stage 1"] and other.get_color() not in style.STAGE_COLOURS.values()
    )
    assert [line.get_linestyle() for line in (tuned, kept, stage1)] == ["-", "--", "-"]
    assert ax.get_title(loc="left") == "t (n = 40)"


def test_panels_may_have_axes_of_their_own():
    high = LINE | {"y": [100, 300, 200], "low": [90, 290, 190], "high": [110, 310, 210]}
    panels = [{"title": "t", "ylabel": "y", "lines": [line]} for line in (LINE, LINE | {"y": [1, 2, 1]}, high)]
    panels[2] |= {"share": False, "xlabel": "minutes"}
    first, second, third = DRAW["layer_curves"]({"xlabel": "depth", "panels": panels}).axes
    assert first.get_ylim() == second.get_ylim() and first.get_ylim()[1] < 10 < third.get_ylim()[0]
    assert third.get_xlabel() == "minutes" and first.get_xlabel() == "depth"
    limits = [ax.get_ylim() for ax in DRAW["layer_curves"]({"xlabel": "depth", "panels": panels, "share": False}).axes]
    assert limits[0] != limits[1] or limits[0] != limits[2]


def test_loss_curve_has_the_running_mean_and_its_band():
    rng = np.random.default_rng(0)
    loss = rng.normal(2, 0.5, 400).tolist()
    ax = curves.loss_curves({"stage 1": {"step": list(range(400)), "loss": loss}}).axes[0]
    dots, mean = ax.lines
    assert mean.get_color() == style.STAGE_COLOURS["stage 1"]
    assert dots.get_ydata().tolist() == loss
    assert mean.get_ydata()[200] == pytest.approx(np.mean(loss[190:211]))
    assert mean.get_ydata()[0] == pytest.approx(np.mean(loss[:11]))
    band = ax.collections[0].get_paths()[0].vertices
    at_200 = band[np.isclose(band[:, 0], 200)][:, 1]
    spread = np.std(loss[190:211])
    assert sorted(at_200) == pytest.approx([mean.get_ydata()[200] - spread, mean.get_ydata()[200] + spread])
    assert ax.get_ylabel() == "loss (nats per token)" and ax.get_xlabel() == "step"


def test_a_short_loss_curve_is_drawn():
    curves.loss_curves({"stage 1": {"step": [1, 2], "loss": [3.0, 2.0]}})
