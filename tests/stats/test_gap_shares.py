"""Tests of paperlib.stats.gap_shares."""

import numpy as np
import pytest

from paperlib.stats.bootstrap import Interval
from paperlib.stats.effects import gap_share
from paperlib.stats.gap_shares import gap_shares, groups_needed

RNG = np.random.default_rng(0)
LOW, HIGH, GROUPS = RNG.uniform(0, 0.2, 20), RNG.uniform(0.8, 1, 20), [str(i // 2) for i in range(20)]


def test_each_row_is_a_share_of_the_gap():
    found = gap_shares(np.stack([LOW, HIGH, (LOW + HIGH) / 2]), LOW, HIGH, GROUPS, seed=3)
    assert [share.value for share in found] == [0, 1, pytest.approx(0.5)]
    assert found[2] == gap_share((LOW + HIGH) / 2, LOW, HIGH, GROUPS, seed=3)


def test_rows_pick_the_examples_and_their_groups():
    rows = np.arange(20) < 6
    (found,) = gap_shares(np.stack([HIGH - 0.1]), LOW, HIGH, GROUPS, rows=rows)
    assert found == gap_share(HIGH[:6] - 0.1, LOW[:6], HIGH[:6], GROUPS[:6]) and found.n == 6


def test_without_a_gap_there_is_no_share():
    assert gap_shares(np.stack([LOW, HIGH]), HIGH, LOW, GROUPS) == [None, None]


def test_half_the_width_takes_four_times_the_groups():
    wide = Interval(0.2, 0.0, 0.4, 50)
    assert groups_needed(wide, 12, 0.1) == 48 and groups_needed(wide, 12, 0.2) == 12
    with pytest.raises(ValueError):
        groups_needed(wide, 12, 0)
