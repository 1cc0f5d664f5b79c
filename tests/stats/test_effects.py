"""Effects against hand-computed values, and intervals against a plain bootstrap written out here."""

import numpy as np
import pytest
from plain_bootstrap import looped
from scipy import stats
from small_models import one_sentence

from paperlib.figures.rows import curve_rows, lines_of
from paperlib.stats.accuracy import Interval
from paperlib.stats.bootstrap import group_weights
from paperlib.stats.effects import gap_share, gap_share_difference, paired_difference, rank_agreement


def test_a_paired_difference_is_the_mean_of_differences_and_pairs_cancel():
    before = np.random.default_rng(0).normal(size=40)
    after = before + np.resize([0.1, 0.3], 40)
    effect = paired_difference(after, before, range(40))
    assert effect.value == pytest.approx(0.2) and effect.n == 40
    assert 0.15 < effect.low < 0.2 < effect.high < 0.25  # unpaired it would be wide


def test_differences_that_are_all_the_same_may_be_others_elsewhere():
    before, groups = [0.1, 0.9, 0.5, 0.3], list("abcd")
    after = [value + 0.2 for value in before]  # the same but for rounding
    q = 1 - 0.025 ** (1 / 4)
    assert paired_difference(after, before, groups)[:3] == pytest.approx((0.2, 0.2 - q * 0.4, 0.2))
    assert paired_difference(after, before, groups, (-1, 1))[:3] == pytest.approx((0.2, 0.2 - q * 1.2, 0.2 + q * 0.8))
    assert paired_difference(before, before, groups)[:3] == (0, 0, 0), "that nothing changed is no estimate"
    assert paired_difference(before, before, groups, (-1, 1))[:3] == pytest.approx((0, -q, q))
    assert paired_difference([0.4, 0.8], [0, 0], ["a", "a"])[:3] == pytest.approx((0.6, -0.8, 0.8)), "one group"


def test_a_paired_difference_resamples_groups_and_not_examples():
    rng = np.random.default_rng(0)
    by_group = rng.normal(size=30)
    before, after = np.zeros(300), np.repeat(by_group, 10)
    wide = paired_difference(after, before, np.repeat(np.arange(30), 10))
    narrow = paired_difference(after, before, np.arange(300))
    assert wide.high - wide.low > 2.5 * (narrow.high - narrow.low)
    se = by_group.std(ddof=1) / 30**0.5  # the group means' standard error
    assert wide.high - wide.low == pytest.approx(2 * stats.t(29).ppf(0.975) * se, rel=0.1)


def test_gap_share_by_hand_and_its_interval_by_a_loop():
    low, high = np.array([0.2, 0.1, 0.3, 0.2, 0.1]), np.array([0.9, 0.8, 1.0, 0.7, 0.9])
    edited, groups = np.array([0.5, 0.2, 0.9, 0.2, 0.6]), ["a", "a", "b", "c", "d"]

    def share_of(rows):
        return (edited[rows] - low[rows]).sum() / (high[rows] - low[rows]).sum()

    for level in (0.5, 0.8, 0.95):
        share = gap_share(edited, low, high, groups, level, n_boot=4000)
        assert share.value == pytest.approx((2.4 - 0.9) / (4.3 - 0.9))
        assert share[1:3] == pytest.approx(looped(share_of, groups, level), abs=0.03)


def test_the_ends_of_a_gap():
    low, high, groups = [0.1, 0.2, 0.3], [0.8, 0.9, 0.8], list("abc")
    assert gap_share(low, low, high, groups)[:3] == (0, 0, 0)
    assert gap_share(high, low, high, groups)[:3] == pytest.approx((1, 1, 1))
    assert gap_share([0.0, 0.1, 0.2], low, high, groups).value < 0  # an edit may harm


def test_where_there_is_no_gap_there_is_no_share_and_the_line_has_a_hole():
    none = gap_share([0.5] * 4, [0.5, 0.4, 0.5, 0.6], [0.5, 0.6, 0.4, 0.5], list("abcd"))
    assert none is None
    rows = curve_rows("a", [0, 0.5], [Interval(0.5, 0.25, 0.75, 4), none])
    (drawn,) = lines_of(rows, "series", y="share", scale=100)
    assert drawn == {"label": "a", "x": [0, 0.5], "y": [50, None], "low": [25, None], "high": [75, None]}


@pytest.mark.parametrize(
    "call",
    [
        lambda: paired_difference([1], [1, 2], ["a", "b"]),
        lambda: paired_difference([], [], []),
        lambda: gap_share([1], [1], [1, 2], ["a"]),
        lambda: rank_agreement({"a": [1, 2, 3], "b": [1, 2]}),
        lambda: rank_agreement({"a": [1, 2]}),
    ],
)
def test_bad_input(call):
    with pytest.raises(ValueError) as error:
        call()
    one_sentence(error.value)


def test_rank_agreement_is_the_correlation_of_ranks():
    x, y = [0.1, 0.5, 0.4, 0.4, 0.0], [5, 1, 2, 4, 3]
    found = rank_agreement({"x": x, "y": y})
    assert found["x"]["y"] == pytest.approx(np.corrcoef(stats.rankdata(x), stats.rankdata(y))[0, 1]) == found["y"]["x"]
    assert found["x"]["x"] == pytest.approx(1)
    assert rank_agreement({"a": [1, 2, 3], "b": [9, 5, 1]})["a"]["b"] == pytest.approx(-1)


def test_runs_are_resampled_before_pictures():
    runs = ["0"] * 40 + ["1"] * 40
    groups, after = [f"{r} {i}" for i, r in enumerate(runs)], [0.0] * 40 + [1.0] * 40
    fixed = paired_difference(after, [0.0] * 80, groups)
    assert 0.35 < fixed.low < fixed.high < 0.65
    drawn = paired_difference(after, [0.0] * 80, groups, runs=runs)
    assert (drawn.value, drawn.low, drawn.high) == (0.5, 0, 1)  # a quarter of all draws takes one run twice
    assert gap_share(after, [0.0] * 80, [2.0] * 80, groups, runs=runs)[:3] == (0.25, 0, 0.5)


def test_one_run_is_resampled_as_if_there_were_none():
    rng = np.random.default_rng(0)
    after, groups = rng.normal(size=60), [str(i // 2) for i in range(60)]
    alone = paired_difference(after, np.zeros(60), groups)
    assert paired_difference(after, np.zeros(60), groups, runs=["7"] * 60) == alone


def test_runs_of_unequal_size_keep_their_weight():
    """A run of three groups and one of nine: a draw of twice the first has six groups."""
    runs = ["a"] * 3 + ["b"] * 9
    drawn = group_weights([f"{r}{i}" for i, r in enumerate(runs)], 4000, 0, runs)
    assert set(drawn.sum(1).tolist()) == {6.0, 12.0, 18.0}
    assert np.allclose(drawn.mean(0), 1, atol=0.06)


def test_a_group_in_two_runs_is_refused():
    with pytest.raises(ValueError, match="belong to one run"):
        paired_difference([1.0, 2.0], [0.0, 0.0], ["p", "p"], runs=["0", "1"])


def test_a_draw_without_a_gap_is_left_out():
    """Of eight examples four have a gap: one draw in 256 takes none of them."""
    low, high, groups = [0.0] * 8, [0.0] * 4 + [1.0] * 4, list("abcdefgh")
    with np.errstate(all="raise"):
        varied = gap_share([0.0] * 4 + [0.2, 0.4, 0.6, 0.8], low, high, groups)
        assert varied[:3] == pytest.approx((0.5, 0.2, 0.8))
        share, q = gap_share([0.0] * 4 + [0.5] * 4, low, high, groups), 1 - 0.025 ** (1 / 4)
    assert share[:3] == pytest.approx((0.5, 0.5 - q * 0.5, 0.5 + q * 0.5)), "four pictures tell, and all alike"


def test_a_gap_of_few_pictures_is_none():
    """Five pictures of one sign do not exclude 0 at 95 %, six do: the sign test."""
    for n, known in ((1, False), (5, False), (6, True)):
        assert (gap_share([0.5] * n, [0.0] * n, [1.0] * n, range(n)) is not None) == known


def test_a_difference_of_gap_shares_is_paired():
    rng, n = np.random.default_rng(4), 60
    groups, noise = [str(i) for i in range(n)], rng.normal(0, 0.2, n)
    low, high = 0.2 + noise, 0.8 + noise
    edited = low + 0.9 * (high - low) + rng.normal(0, 0.02, n)
    less = low + 0.7 * (high - low) + rng.normal(0, 0.02, n)
    found = gap_share_difference((edited, low, high), (less, low, high), groups)
    assert found.value == pytest.approx(0.2, abs=0.02) and 0.15 < found.low < found.high < 0.25
    apart = gap_share(edited, low, high, groups).value - gap_share(less, low, high, groups).value
    assert found.value == pytest.approx(apart)
    assert gap_share_difference((edited, low, low), (less, low, high), groups) is None, "no gap, nothing to share"
