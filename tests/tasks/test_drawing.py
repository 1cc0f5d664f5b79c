"""Grounds and filled shapes, by their pixels."""

import numpy as np
import pytest

from paperlib.tasks.drawing import among, filled, ground, whole


@pytest.mark.parametrize("texture", ["plain", "stripes", "grain"])
def test_a_ground_is_fixed_by_its_seed(texture):
    first = ground((230, 240, 220), texture, 3, 64)
    assert first.shape == (64, 64, 3) and first.dtype == np.uint8
    assert (first == ground((230, 240, 220), texture, 3, 64)).all()
    assert (first == ground((230, 240, 220), texture, 4, 64)).all() == (texture == "plain")


@pytest.mark.parametrize(
    "shape, area", [("circle", np.pi / 4), ("square", 0.88**2), ("triangle", 0.5), ("cross", 0.32 * 1.68)]
)
def test_a_shape_fills_its_area(shape, area):
    alpha = np.asarray(filled(shape, (1, 2, 3)))[..., 3]
    assert (alpha > 0).mean() == pytest.approx(area, abs=0.01)


def test_values_are_checked():
    assert among("a", ("a", "b")) and not among("c", ("a", "b")) and not among(1, ("a",))
    assert whole((1, 2), 2) and not any(whole(values, 2) for values in ([1, 2], (1, 2, 3), (1, 2.0), (True, 2)))
