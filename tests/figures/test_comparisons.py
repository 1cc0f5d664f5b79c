"""Figures that compare arms show the numbers that they were given."""

import numpy as np

from paperlib.figures.comparisons import benchmark_map, pareto


def test_a_map_shows_every_number_and_n():
    panel = {"title": "accuracy", "value": "accuracy (%)", "values": [[90, 80], [None, 40]], "n": 120}
    ax = benchmark_map({"rows": ["full", "mid"], "columns": ["colour", "object_count"], "panels": [panel]}).axes[0]
    assert [text.get_text() for text in ax.texts] == ["90", "80", "40"]
    assert np.ma.filled(np.ma.masked_invalid(ax.images[0].get_array()), -1).tolist() == [[90, 80], [-1, 40]]
    assert ax.get_title(loc="left") == "accuracy (n = 120)"
    assert [t.get_text() for t in ax.get_xticklabels()] == ["colour", "object count"]


def test_a_centre_is_white():
    panel = {"title": "change", "value": "points", "values": [[0, -3], [5, 1]], "centre": 0}
    image = benchmark_map({"rows": ["a", "b"], "columns": ["c", "d"], "panels": [panel]}).axes[0].images[0]
    assert image.get_clim() == (-5, 5)


def test_the_line_joins_what_no_other_arm_beats_in_both():
    points = [
        {"label": label, "x": [x, x - 1, x + 1], "y": [y, y - 2, y + 2]}
        for label, x, y in (("full", 100, 70), ("mid", 60, 69), ("worse", 80, 60), ("late", 45, 50))
    ]
    data = {"xlabel": "time", "ylabel": "accuracy", "points": points, "marks": [[40, "stage 1"]], "n": 300}
    fig = pareto(data)
    ax = fig.axes[0]
    best = next(line for line in ax.lines if line.get_label().startswith("beaten by none"))
    assert list(zip(*best.get_data(), strict=True)) == [(45, 50), (60, 69), (100, 70)]
    assert {t.get_text() for t in fig.legends[0].get_texts()} >= {"full", "mid", "worse", "late", "stage 1"}
    assert [list(c.get_segments()[0][:, 0]) for c in ax.collections[::2]] == [[x - 1, x + 1] for x in (100, 60, 80, 45)]
    assert ax.get_title(loc="left") == "n = 300"
