"""States in any unit, and what is no states."""

import numpy as np
import pytest
import torch
from small_models import one_sentence

from paperlib.probes.probing import probe
from paperlib.probes.separability import separability
from paperlib.probes.state_checks import check_states

X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)


@pytest.mark.parametrize("scale", [1e-44, 1e-25, 1e-9, 1e25])
def test_probes_and_silhouettes_do_not_depend_on_the_unit(scale):
    states = np.stack([X] * 2, axis=1)
    states[::2] += 1
    scaled, groups, labels = (states * np.float32(2.0 ** round(np.log2(scale)))), np.arange(40), np.arange(40) % 2
    if scale > 1e-40:  # below, float32 has few digits left
        assert [r.accuracy for r in probe(scaled, labels, groups, 3)] == [
            r.accuracy for r in probe(states, labels, groups, 3)
        ]
    a, b = (separability(z[::2], z[1::2], groups[:20], groups[20:], 2, permutations=9) for z in (states, scaled))
    assert [r.silhouette.value for r in b] == pytest.approx([r.silhouette.value for r in a], rel=0.05)
    usual = check_states({"": states})[""]
    assert torch.equal(usual, torch.from_numpy(states))  # nothing is done to what needs nothing


@pytest.mark.parametrize(
    "states",
    [
        None,
        np.zeros((4, 2, 3), complex),
        np.zeros((4, 2, 3), bool),
        np.full((4, 2, 3), np.nan),
        np.zeros((4, 3)),
        np.empty((0, 2, 3)),
        np.zeros((4, 2, 3)).astype(object),
        "states",
    ],
)
def test_states_that_are_no_numbers_are_refused(states):
    with pytest.raises(ValueError) as error:
        check_states({"": states})
    one_sentence(error.value)
