"""The rule for entry depth: what it reads, and that neither the control itself nor mere height passes it."""

import numpy as np
import pytest
from small_models import one_sentence

from paperlib.geometry.distances import GeometryError
from paperlib.geometry.entry_depth import entry_depth
from paperlib.geometry.subsampling import jackknife
from paperlib.stats.conditions import INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED

DEPTH = [0.1, 0.3, 0.5, 0.7, 1.0]
CONTROL = [0.04, 0.06, 0.07, 0.06, 0.05]


def drawn(profile, noise=0.001, seed=0, n=20):
    """A profile of overlaps, and n noisy ones below it."""
    rows = np.tile(profile, (1 + n, 1))
    rows[1:] += noise * np.random.default_rng(seed).normal(size=(n, len(profile)))
    return rows


def read(profile, control=CONTROL, noise=0.001):
    return entry_depth(DEPTH, drawn(profile, noise), drawn(control, noise, seed=1), 1000)


def test_the_four_readings_by_hand():
    found = read([0.04, 0.08, 0.16, 0.10, 0.08])
    assert found.depth[:3] == (0.5, 0.5, 0.5) and found.depth.n == 1000
    assert found.advantage.value == pytest.approx(0.12) and found.surplus.value == pytest.approx(0.12 - 0.03)
    assert found.relative.value == pytest.approx(12 / 16 - 3 / 7) and found.verdict.word == SUPPORTED


def test_intervals_pair_the_two_connectors():
    """The same noise on both cancels in the surplus, and the best layer is that of all points in every draw."""
    noise = drawn(np.zeros(5), 0.01)
    profile = np.array([0.04, 0.08, 0.16, 0.159, 0.08])
    found = entry_depth(DEPTH, profile + noise, CONTROL + noise, 1000)
    assert found.surplus[:3] == pytest.approx([0.09] * 3)
    assert found.advantage == pytest.approx(jackknife((profile + noise)[:, 2] - (profile + noise)[:, 0], 1000, 0.5))
    assert found.depth.low < 0.5 < found.depth.high < 1


@pytest.mark.parametrize(
    "profile, verdict",
    [
        (CONTROL, INCONCLUSIVE),  # what made the rule: the control's best match lies in the middle as well
        (2 * np.array(CONTROL), INCONCLUSIVE),  # more of the scene, at all depths alike
        (np.array(CONTROL) + 0.04, NOT_SUPPORTED),  # lifted as much early, so less of the match is late
        ([0.16, 0.10, 0.08, 0.06, 0.05], NOT_SUPPORTED),  # the early captions match best
        ([0.06, 0.06, 0.07, 0.06, 0.05], NOT_SUPPORTED),  # a smaller advantage than the control's
    ],
)
def test_the_middle_alone_is_not_enough(profile, verdict):
    assert read(profile).verdict.word == verdict


def test_noise_leaves_it_open():
    assert read([0.04, 0.08, 0.16, 0.10, 0.08], noise=0.1).verdict.word == INCONCLUSIVE
    level = read([0.0, 0.0, 0.0, 0.0, 0.0], [0.0] * 5)  # nothing above chance anywhere
    assert level.verdict.word == INCONCLUSIVE and np.isfinite(level.relative[:3]).all()


def test_without_a_layer_in_the_first_sixth_the_first_is_early():
    rows = drawn([0.1, 0.3, 0.2])
    found = entry_depth([0.3, 0.6, 1.0], rows, drawn([0.1, 0.1, 0.1], seed=1), 500)
    assert found.advantage.value == pytest.approx(0.2) and found.verdict.word == SUPPORTED


@pytest.mark.parametrize(
    "depth, rows, control",
    [
        (DEPTH[:4], drawn(CONTROL), drawn(CONTROL)),
        (DEPTH, drawn(CONTROL), drawn(CONTROL)[:9]),
        (DEPTH, CONTROL, CONTROL),
        ([0.05, 0.1, 0.15, 0.2, 0.24], drawn(CONTROL), drawn(CONTROL)),
        (DEPTH, drawn(CONTROL)[:2], drawn(CONTROL)[:2]),
    ],
)
def test_bad_input(depth, rows, control):
    with pytest.raises(GeometryError) as error:
        entry_depth(depth, rows, control, 1000)
    one_sentence(error.value)
