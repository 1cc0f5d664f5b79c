"""Rows and intervals of dimensions against the functions that they are read with."""

import numpy as np
import pytest

from paperlib.geometry.calibration import calibrated
from paperlib.geometry.dimension import Dimension
from paperlib.geometry.dimension_tables import dimension_intervals, gaussian_like, phase_change, read_phase, scale_rows
from paperlib.geometry.subsampling import jackknife

X = [0, 0.25, 0.5, 0.75, 1]
TENT, LOW = np.array([10.0, 15, 20, 15, 10]), np.array([10.0, 12, 14, 12, 10])


def drawn(profile, seed, noise=0.2):
    """[1 + 20, layers]: the profile, and noisy readings of it."""
    return np.vstack([profile, profile + noise * np.random.default_rng(seed).normal(size=(20, len(profile)))])


def test_scale_rows_are_two_errors_wide():
    rows = scale_rows("pictures", [Dimension(8.0, 0.5, 1.0, 1), Dimension(7.0, 0.25, 2.0, 2)], 300)
    assert [(row["cloud"], row["k"], *row["dimension"]) for row in rows] == [
        ("pictures", 1, 8.0, 7.0, 9.0, 300),
        ("pictures", 2, 7.0, 6.5, 7.5, 300),
    ]


def test_each_layer_has_its_own_interval():
    profile = drawn(TENT, 0)
    found = dimension_intervals(profile, 500, 0.8)
    assert [i.value for i in found] == TENT.tolist() and found[2] == jackknife(profile[:, 2], 500, 0.8)


def test_a_phase_is_read_draw_by_draw():
    found = read_phase(X, drawn(TENT, 0), 500)
    assert {what: i.value for what, i in found.items()} == {"depth": 0.5, "peak": 20.0, "rise": 10.0, "width": 0.5}
    assert found["depth"][1:3] == (0.5, 0.5) and found["peak"].low < 20 < found["peak"].high


def test_a_change_is_paired():
    profile = drawn(TENT, 0)
    same = phase_change(X, profile, profile, 500)
    assert all(i[:3] == (0, 0, 0) for i in same.values())
    lower = phase_change(X, drawn(LOW, 1), profile, 500)
    assert lower["peak"].value == pytest.approx(-6) and lower["peak"].high < 0
    wider = phase_change(X, drawn(LOW, 1), profile, 500, level=0.99)["peak"]
    assert wider.low < lower["peak"].low and wider.high > lower["peak"].high
    lifted = phase_change(X, 3 + profile, profile, 500)
    assert lifted["peak"][:3] == pytest.approx((3, 3, 3)), "noise that both share cancels"
    assert lifted["rise"][:3] == pytest.approx((0, 0, 0)), "where both ends are lifted too, the hump is as high"


def test_a_reading_beyond_the_table_has_no_gaussian():
    assert gaussian_like(9.0, 1000) == calibrated(9.0, 1000) and gaussian_like(1e4, 1000) is None
