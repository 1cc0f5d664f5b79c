"""Dot plots show the estimates that they were given."""

from itertools import combinations

import numpy as np
import pytest
from drawn import accuracies, texts_of

from paperlib.figures import style
from paperlib.figures.dotplots import accuracy_by_model, by_series, controls, dots, shares
from paperlib.stats.bootstrap import Interval

KINDS = [
    "colour",
    "shape",
    "existence",
    "count",
    "size",
    "position",
    "relation",
    "knowledge",
    "category",
    "chart_value",
    "name",
]
DATA = {
    "chance": dict.fromkeys(KINDS, 0.25) | {"existence": 0.5},
    "models": accuracies(["untrained", "stage 1", "tuned"], KINDS),
}
CONDITIONS = ["own picture", "another picture", "blank picture", "question alone"]


@pytest.mark.parametrize("series, kinds", [(1, 1), (1, 20), (3, 10), (4, 11), (7, 4)])
def test_dot_plots_of_every_size_are_legible(series, kinds):
    names = [f"model number {i}" for i in range(series)]
    labels = [f"kind_of_question_{i}" for i in range(kinds)]
    data = {"chance": {}, "models": accuracies(names, labels, n=12_345)}
    fig = accuracy_by_model(data)
    texts = texts_of(fig)
    for (a, box_a), (b, box_b) in combinations(texts, 2):
        assert not box_a.padded(-0.5).overlaps(box_b.padded(-0.5)), (a.get_text(), b.get_text())
    for text, box in texts:
        assert fig.bbox.x0 - 1 <= box.x0 and box.x1 <= fig.bbox.x1 + 1, text.get_text()
    shown = {text.get_text() for text, _ in texts}
    assert {label.replace("_", " ") for label in labels} | set(names) <= shown and "n = 12,345" in shown


def test_dots_and_intervals_are_the_numbers():
    fig = accuracy_by_model(DATA)
    drawn = {}
    for ax in fig.axes:
        kinds = [t.get_text() for t in ax.get_yticklabels()]
        bars = [c for c in ax.collections if c.get_label() != "chance"]
        for line, bar in zip(ax.lines, bars):
            segments = bar.get_segments()
            for x, y, segment in zip(line.get_xdata(), line.get_ydata(), segments):
                drawn[line.get_label(), kinds[round(y)]] = (x, *segment[:, 0])
                assert segment[0, 1] == segment[1, 1] == pytest.approx(y)
        chance = next(c for c in ax.collections if c.get_label() == "chance")
        for segment in chance.get_segments():
            kind = kinds[round(segment[:, 1].mean())]
            assert segment[:, 0] == pytest.approx([50, 50] if kind == "existence" else [25, 25])
    for model, values in DATA["models"].items():
        for kind, interval in values.items():
            assert drawn[model, kind.replace("_", " ")] == pytest.approx(100 * np.array(interval[:3]))
    assert len(drawn) == 3 * len(KINDS)


def test_a_kind_that_one_model_lacks_is_left_out_for_it():
    data = {"chance": {}, "conditions": accuracies(CONDITIONS, KINDS[:4])}
    del data["conditions"]["question alone"]["shape"]
    data["conditions"]["own picture"]["count"] = [0.5, 0.4, 0.6, 80]
    fig = controls(data)
    assert [len(line.get_xdata()) for line in fig.axes[0].lines] == [4, 4, 4, 3]
    assert "n = 80–100" in {t.get_text() for t, _ in texts_of(fig)}


def seen(ax):
    """{(label, row): (value, low, high)} of a panel, in data units."""
    rows, found = [t.get_text() for t in ax.get_yticklabels()], {}
    bars = [c for c in ax.collections if c.get_label() != "chance"]
    for line, bar in zip(ax.lines, bars):
        for x, y, segment in zip(line.get_xdata(), line.get_ydata(), bar.get_segments(), strict=True):
            found[line.get_label(), rows[round(y)]] = (x, *segment[:, 0])
    return found


def test_panels_show_each_estimate_its_interval_marks_and_n():
    panels = [
        {
            "title": "left",
            "n": 1200,
            "marks": [[0, "no effect"]],
            "rows": ["b", "a"],
            "series": {"x": {"a": Interval(1, 0, 2, 9), "b": [3, 2, 4]}, "y": {"a": None, "b": [5]}},
        },
        {"title": "right", "series": {"x": {"c": [100, 90, 110]}}},
    ]
    fig = dots({"xlabel": "points", "panels": panels, "scale": 2})
    left, right = fig.axes
    assert seen(left) == {("x", "a"): (2, 0, 4), ("x", "b"): (6, 4, 8), ("y", "b"): (10, 10, 10)}
    assert [t.get_text() for t in left.get_yticklabels()] == ["b", "a"]
    assert left.get_title(loc="left") == "left (n = 1,200)" and right.get_title(loc="left") == "right"
    assert left.lines[-1].get_xdata() == [0, 0] and left.lines[-1].get_label() == "no effect"
    assert left.get_xlim() == right.get_xlim() and left.lines[0].get_color() == right.lines[0].get_color()
    assert not any("n = 9" in text.get_text() for text, _ in texts_of(fig))
    fig = dots({"xlabel": "points", "panels": panels, "counts": True})
    assert any(text.get_text() == "n = 9" for text, _ in texts_of(fig))
    for free in (
        {"share": False},
        {"panels": [panels[0] | {"share": False}, panels[1]]},
        {"panels": [panels[0] | {"xlabel": "nats"}, panels[1]]},
    ):
        left, right = dots({"xlabel": "points", "panels": panels} | free).axes
        assert left.get_xlim() != right.get_xlim()


def test_rows_of_panels_beside_each_other_are_equally_tall():
    some, more = {"x": {"a": [1]}}, {"x": {"a": [1], "b": [1], "c": [2]}}
    first, second, third = dots({"xlabel": "v", "panels": [{"series": some}, {"series": more}, {"series": more}]}).axes[
        :3
    ]
    assert first.get_ylim() == second.get_ylim() == (2.5, -0.5)
    assert third.get_position().height == pytest.approx(first.get_position().height, rel=0.05)


def test_stages_have_their_colours():
    fig = dots({"xlabel": "v", "panels": [{"series": {"other": {"a": [1]}, "tuned": {"a": [2]}}}]})
    drawn = {line.get_label(): line.get_color() for line in fig.axes[0].lines}
    assert drawn["tuned"] == style.STAGE_COLOURS["tuned"] != drawn["other"]


def test_shares_begin_at_zero():
    ax = shares(
        {"xlabel": "%", "rows": ["a"], "series": {"time": {"a": [80, 70, 90]}}, "marks": [[75, "paper"]], "n": 12}
    ).axes[0]
    assert ax.get_xlim()[0] == 0 and seen(ax) == {("time", "a"): (80, 70, 90)} and ax.get_title(loc="left") == "n = 12"


def test_rows_of_a_table_become_series():
    table = [
        {"method": m, "task": t, "effect": Interval(i, i - 1, i + 1, 5)} for i, (m, t) in enumerate(["pa", "pb", "qa"])
    ]
    found = by_series(table, "method", "task", "effect")
    assert found == {"p": {"a": table[0]["effect"], "b": table[1]["effect"]}, "q": {"a": table[2]["effect"]}}
    with pytest.raises(ValueError, match="Two rows give 'effect' of 'p' at 'a'"):
        by_series([*table, table[0]], "method", "task", "effect")
