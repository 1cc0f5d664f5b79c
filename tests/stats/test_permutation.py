"""Shuffled labels by their definition, and p-values by hand."""

import numpy as np
import pytest
from small_models import one_sentence

from paperlib.stats.permutation import control_labels, permutation_p


def test_types_with_one_label_each_exchange_labels():
    types = np.repeat(["cat", "dog", "pear", "plum", "oak"], [3, 1, 4, 2, 2])
    labels = np.repeat([0, 0, 1, 1, 2], [3, 1, 4, 2, 2])
    order = np.random.default_rng(9).permutation(12)
    seen = set()
    for seed in range(30):
        shuffled = control_labels(labels[order], types[order], np.random.default_rng(seed))
        by_type = {t: set(shuffled[types[order] == t].tolist()) for t in np.unique(types)}
        assert all(len(s) == 1 for s in by_type.values())
        assert sorted(min(s) for s in by_type.values()) == [0, 0, 1, 1, 2]
        seen.add(tuple(min(s) for s in by_type.values()))
    assert len(seen) > 10


def test_labels_that_vary_within_a_type_move_as_blocks():
    """Three scenes of two questions: each scene gets another one's two labels, in their order."""
    types, labels = np.array(["a", "b", "c", "a", "b", "c"]), np.array([1, 3, 5, 2, 4, 6])
    seen = set()
    for seed in range(30):
        shuffled = control_labels(labels, types, np.random.default_rng(seed))
        blocks = [tuple(shuffled[types == t].tolist()) for t in "abc"]
        assert sorted(blocks) == [(1, 2), (3, 4), (5, 6)]
        seen.add(tuple(blocks))
    assert len(seen) == 6


def test_labels_in_blocks_of_unequal_size_keep_their_shares():
    types, labels = np.repeat([0, 1, 2], [5, 2, 1]), np.array([0, 1, 0, 1, 2, 2, 2, 1])
    shuffled = [control_labels(labels, types, np.random.default_rng(seed)) for seed in range(9)]
    assert all(sorted(s) == sorted(labels) for s in shuffled) and any((s != labels).any() for s in shuffled)


NULL = np.array([[0, 5], [1, 1], [2, 2], [3, 3]])


@pytest.mark.parametrize(
    "correction, p",
    [
        (None, [2 / 5, 3 / 5]),  # of the first layer only 3 reaches 2.5; of the second 5 and 3
        ("max", [3 / 5, 3 / 5]),  # largest of each permutation: 5, 1, 2, 3
    ],
)
def test_p_values_by_hand(correction, p):
    assert permutation_p([2.5, 2.5], NULL, correction).tolist() == pytest.approx(p)


def test_the_maximum_keeps_the_error_over_all_layers():
    """Of 300 studies without effect in 20 layers, about 5 % find one somewhere; uncorrected, most do."""
    rng = np.random.default_rng(0)
    found = {"max": 0, None: 0}
    for _ in range(300):
        values = rng.normal(size=(100, 20))
        for correction in found:
            found[correction] += permutation_p(values[0], values[1:], correction).min() <= 0.05
    assert 0.02 < found["max"] / 300 < 0.09 and found[None] / 300 > 0.4


@pytest.mark.parametrize(
    "observed, null, correction, words",
    [
        ([1, 2], [[1], [2]], "max", "permutations x 2"),
        ([1], [1, 2], "max", "permutations x 1"),
        ([1], np.zeros((0, 1)), "max", "permutations x 1"),
        ([1], [[1]], "bonferroni", "'max' or None"),
    ],
)
def test_bad_input(observed, null, correction, words):
    with pytest.raises(ValueError) as error:
        permutation_p(observed, null, correction)
    assert words in one_sentence(error.value)
