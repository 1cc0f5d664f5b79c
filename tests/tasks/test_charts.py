"""A chart's truth against its pixels, and its splits against each other."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paperlib.tasks.charts import Chart, draw_chart
from paperlib.tasks.scenes import COLOURS

SEEDS = st.integers(0, 2**32)
SPLITS = ("train", "validation", "test")
NAMES = {rgb: name for name, rgb in COLOURS.items()}


def read_bars(chart: Chart) -> tuple[tuple[str, int], ...]:
    """The bars from left to right, from pixels: colours half a unit above the base line, and heights."""
    picture = np.asarray(chart.render())
    assert picture.shape == (128, 128, 3)
    base, unit, bars = 118, 18, []
    row = [tuple(int(v) for v in rgb) for rgb in picture[base - unit // 2]]
    starts = [x for x in range(1, 128) if row[x] in NAMES and row[x] != row[x - 1]]
    for x in starts:
        width = next(w for w in range(1, 128) if row[x + w] != row[x])
        column = picture[: base - 2, x + width // 2]
        height = (column == row[x]).all(axis=1)
        assert width >= 12 and height[-1] and (np.diff(height.astype(int)) != 0).sum() <= 1
        bars.append((NAMES[row[x]], round((height.sum() + 2) / unit)))
    return tuple(bars)


@pytest.mark.parametrize("split", SPLITS)
def test_bars_can_be_read_from_the_pixels(split):
    for index in range(40):
        chart = draw_chart(split, 1, index)
        assert read_bars(chart) == chart.bars


def test_charts_hold_two_to_four_bars_no_two_alike():
    charts = [draw_chart("train", 2, i) for i in range(200)]
    assert {len(chart.bars) for chart in charts} == {2, 3, 4}
    for chart in charts:
        colours, values = zip(*chart.bars)
        assert len(set(colours)) == len(colours) and len(set(values)) == len(values)
    bars = [bar for chart in charts for bar in chart.bars]
    assert {colour for colour, _ in bars} == set(COLOURS) and {value for _, value in bars} == set(range(1, 7))


def test_a_caption_by_hand():
    assert Chart((("red", 3), ("blue", 5))).caption == "A bar chart with a red bar of 3 and a blue bar of 5."
    assert Chart((("red", 3), ("blue", 5), ("gray", 1))).caption == (
        "A bar chart with a red bar of 3, a blue bar of 5 and a gray bar of 1."
    )


def test_charts_survive_json_and_depend_on_seed_and_index():
    chart = draw_chart("test", 3, 4)
    assert Chart.from_dict(json.loads(json.dumps(chart.to_dict()))) == chart == draw_chart("test", 3, 4)
    assert len({draw_chart("test", seed, i) for seed in (3, 5) for i in range(20)}) > 30
    assert chart.key != Chart(chart.bars[::-1]).key


@settings(max_examples=6, deadline=None, derandomize=True)
@given(SEEDS, SEEDS, SEEDS)
def test_splits_share_no_chart_whatever_the_seeds(train, validation, test):
    """A third of the draws have two bars and so one of 1,680 contents: open splits would soon meet."""
    seeds = (train, validation, test)
    drawn = [{draw_chart(split, seed, i) for i in range(100)} for split, seed in zip(SPLITS, seeds)]
    keys = [{chart.key for chart in charts} for charts in drawn]
    for found in (drawn, keys):
        assert not found[0] & found[1] and not found[0] & found[2] and not found[1] & found[2]


@pytest.mark.parametrize("split", ["held-out", "dev"])
def test_a_split_without_charts_is_refused_in_one_sentence(split):
    with pytest.raises(ValueError) as caught:
        draw_chart(split, 0, 0)
    assert repr(split) in str(caught.value) and "train, validation or test" in str(caught.value)
