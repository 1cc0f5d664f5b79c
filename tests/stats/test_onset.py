"""Tests of paperlib.stats.onset on profiles whose onset is known."""

import numpy as np
import pytest

from paperlib.stats.onset import onset

DEPTH = np.arange(11) / 10
GROUPS = [str(i) for i in range(60)]


def rising(at, top=0.9, until=1.0):
    """Right with probability 0.1, and with ``top`` from a depth on; the same examples at every layer."""
    luck = np.random.default_rng(3).random(len(GROUPS))
    return np.stack([luck < (top if at <= depth <= until else 0.1) for depth in DEPTH]).astype(float)


@pytest.mark.parametrize("at", [0.2, 0.5, 0.9])
def test_a_step_is_found_between_its_two_layers(at):
    found = onset(rising(at), DEPTH, GROUPS)
    assert at - 0.1 <= found.value <= at and found.n == len(GROUPS)
    assert at - 0.15 < found.low <= found.high < at + 0.05, "no example differs from another in where it rises"


def test_a_transfer_that_falls_again_has_the_onset_of_its_rise():
    assert onset(rising(0.4, until=0.6), DEPTH, GROUPS).value == pytest.approx(0.35, abs=0.05)


def test_a_layer_that_is_high_by_chance_sets_nothing_in():
    lucky = rising(0.8)
    lucky[2] = 1
    assert onset(lucky, DEPTH, GROUPS).value == pytest.approx(0.75, abs=0.05)


def test_half_way_is_interpolated():
    straight = np.tile(DEPTH[:, None], (1, len(GROUPS)))  # the late third's mean is 0.85, so half-way is 0.425
    assert onset(straight, DEPTH, GROUPS).value == pytest.approx(0.425)


def test_what_does_not_clearly_rise_has_none():
    assert onset(rising(0.4)[::-1], DEPTH, GROUPS) is None
    rng = np.random.default_rng(0)
    noise = [(rng.random((len(DEPTH), len(GROUPS))) < 0.2).astype(float) for _ in range(60)]
    assert sum(onset(one, DEPTH, GROUPS) is not None for one in noise) <= 3, "about one in forty, one-sided"


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="depths in every third"):
        onset(rising(0.4)[:5], DEPTH[:5], GROUPS)
    with pytest.raises(ValueError, match="for each depth"):
        onset(rising(0.4), DEPTH[:-1], GROUPS)


def test_what_stands_above_half_from_the_first_layer_on_sets_in_there_if_counted_from_a_base():
    high = rising(-0.1)
    assert onset(high, DEPTH, GROUPS) is None and onset(high, DEPTH, GROUPS, base=0.25).value == DEPTH[0]
    late = rising(0.4)
    assert onset(late, DEPTH, GROUPS, base=0.25).value == pytest.approx(onset(late, DEPTH, GROUPS).value, abs=0.05)
    assert onset(high, DEPTH, GROUPS, base=0.99) is None, "not above the base"
