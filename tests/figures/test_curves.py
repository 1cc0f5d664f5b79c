"""Figures over depth draw what their data say."""

import numpy as np
import pytest

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
