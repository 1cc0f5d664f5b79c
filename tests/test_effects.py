"""Effects against hand-computed values, and intervals against a plain bootstrap written out here."""

import numpy as np
import pytest
from scipy.stats import rankdata
from small_models import one_sentence

from paperlib.effects import centre_of_mass, change, gap_share, line, rank_agreement
from paperlib.intervals import Interval


def test_change_is_the_mean_difference_and_pairs_cancel():
    before = [0.1, 0.9, 0.5, 0.3]
    after = [value + 0.2 for value in before]
    effect = change(after, before, list("abcd"))
    assert effect.value == pytest.approx(0.2) and effect.n == 4
    assert effect.low == pytest.approx(0.2) and effect.high == pytest.approx(0.2)  # unpaired it would be wide


def test_change_resamples_groups_and_not_examples():
    rng = np.random.default_rng(0)
    by_group = rng.normal(size=30)
    before, after = np.zeros(300), np.repeat(by_group, 10)
    wide = change(after, before, np.repeat(np.arange(30), 10))
    narrow = change(after, before, np.arange(300))
    assert wide.high - wide.low > 2.5 * (narrow.high - narrow.low)
    se = by_group.std() / 30 ** 0.5  # the group means' standard error
    assert wide.high - wide.low == pytest.approx(2 * 1.96 * se, rel=0.1)


def test_gap_share_by_hand_and_its_interval_by_a_loop():
    low, high = np.array([0.2, 0.1, 0.3, 0.2, 0.1]), np.array([0.9, 0.8, 1.0, 0.7, 0.9])
    edited, groups = np.array([0.5, 0.2, 0.9, 0.2, 0.6]), ["a", "a", "b", "c", "d"]
    share = gap_share(edited, low, high, groups, n_boot=4000)
    assert share.value == pytest.approx((2.4 - 0.9) / (4.3 - 0.9))
    rng, names, values = np.random.default_rng(5), sorted(set(groups)), []
    for _ in range(4000):
        rows = [i for name in rng.choice(names, 4) for i in range(5) if groups[i] == name]
        values.append((edited[rows] - low[rows]).sum() / (high[rows] - low[rows]).sum())
    assert [share.low, share.high] == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.03)


def test_the_ends_of_a_gap():
    low, high, groups = [0.1, 0.2, 0.3], [0.8, 0.9, 0.8], list("abc")
    assert gap_share(low, low, high, groups)[:3] == (0, 0, 0)
    assert gap_share(high, low, high, groups)[:3] == pytest.approx((1, 1, 1))
    assert gap_share([0.0, 0.1, 0.2], low, high, groups).value < 0  # an edit may harm


def test_where_there_is_no_gap_there_is_no_share_and_the_line_has_a_hole():
    none = gap_share([0.5] * 4, [0.5, 0.4, 0.5, 0.6], [0.5, 0.6, 0.4, 0.5], list("abcd"))
    assert none is None
    drawn = line("a", [0, 0.5], [Interval(0.5, 0.25, 0.75, 4), none], dash=1)
    assert drawn == {"label": "a", "x": [0, 0.5], "y": [50, None], "low": [25, None], "high": [75, None], "dash": 1}


@pytest.mark.parametrize("call", [lambda: change([1], [1, 2], ["a", "b"]), lambda: change([], [], []),
                                  lambda: gap_share([1], [1], [1, 2], ["a"]),
                                  lambda: rank_agreement({"a": [1, 2, 3], "b": [1, 2]}),
                                  lambda: rank_agreement({"a": [1, 2]})])
def test_bad_input(call):
    with pytest.raises(ValueError) as error:
        call()
    one_sentence(error.value)


def test_rank_agreement_is_the_correlation_of_ranks():
    x, y = [0.1, 0.5, 0.4, 0.4, 0.0], [5, 1, 2, 4, 3]
    found = rank_agreement({"x": x, "y": y})
    assert found["x"]["y"] == pytest.approx(np.corrcoef(rankdata(x), rankdata(y))[0, 1]) == found["y"]["x"]
    assert found["x"]["x"] == pytest.approx(1)
    assert rank_agreement({"a": [1, 2, 3], "b": [9, 5, 1]})["a"]["b"] == pytest.approx(-1)


def test_centre_of_mass():
    assert centre_of_mass([0, 0.5, 1], [1, 1, 2]) == pytest.approx(0.625)
    assert centre_of_mass([0, 0.5, 1], [-7, 1, 0]) == pytest.approx(0.5)
    assert centre_of_mass([0, 1], [-1, 0]) is None
