"""Loss curves against values worked out by hand."""

import numpy as np
import pytest

from paperlib.tuning.band_results import smoothed, steps_to

LOSS = [8.0, 6.0, 4.0, 4.0, 1.0, 3.0]


def test_smoothed_is_the_mean_of_the_last_few():
    assert np.allclose(smoothed(LOSS, 2), [8, 7, 5, 4, 2.5, 2])
    assert np.allclose(smoothed(LOSS, 4), [8, 7, 6, 5.5, 3.75, 3])
    assert np.allclose(smoothed(LOSS, 1), LOSS)


def test_a_loss_is_reached_when_its_mean_is():
    assert steps_to(LOSS, 4.0, 1) == 3 and steps_to(LOSS, 4.0, 2) == 4
    assert steps_to(LOSS, 2.5, 2) == 5 and steps_to(LOSS, 2.4, 2) == 6
    assert steps_to(LOSS, 1.9, 2) is None
    assert steps_to([1.0, 9.0, 9.0], 2.0, 2) is None, "a mean over fewer updates is none"


def test_a_width_below_one_is_refused():
    with pytest.raises(ValueError, match="at least one step, got a width of 0"):
        smoothed(LOSS, 0)
