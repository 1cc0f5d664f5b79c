"""Resampling against the single-row bootstrap, enumeration and hand-computed p-values."""

from types import SimpleNamespace

import numpy as np
import pytest
from small_models import one_sentence

from paperlib import intervals
from paperlib.resampling import control_labels, group_intervals, group_weights, permutation_p


def test_every_row_has_the_interval_of_intervals_accuracy():
    """Also rows that are all right or all wrong, where resampling cannot vary."""
    rng = np.random.default_rng(0)
    groups = [f"scene {i}" for i in rng.integers(0, 12, size=40)]
    values = np.stack([rng.random(40) < 0.7, rng.random(40) < 0.2, np.ones(40), np.zeros(40)])
    for row, ours in zip(values, group_intervals(values, groups, (0, 1), level=0.9, n_boot=300, seed=4)):
        records = [SimpleNamespace(id=i, correct=bool(c), group=g) for i, (c, g) in enumerate(zip(row, groups))]
        assert ours == pytest.approx(intervals.accuracy(records, level=0.9, n_boot=300, seed=4))


def test_one_group_leaves_the_limits():
    assert group_intervals([[0.5, 1.0]], ["a", "a"], (-1, 1)) == [(0.75, -1.0, 1.0, 2)]


def test_weights_draw_whole_groups():
    weights = group_weights(["b", "a", "b"], n_boot=4000)
    assert (weights[:, 0] == weights[:, 2]).all() and (weights[:, 0] + weights[:, 1] == 2).all()
    assert [np.mean(weights[:, 0] == k) for k in (0, 1, 2)] == pytest.approx([0.25, 0.5, 0.25], abs=0.03)


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


@pytest.mark.parametrize("correction, p", [
    (None, [2 / 5, 3 / 5]),  # of the first layer only 3 reaches 2.5; of the second 5 and 3
    ("max", [3 / 5, 3 / 5]),  # largest of each permutation: 5, 1, 2, 3
    ("holm", [4 / 5, 4 / 5]),  # 2 x 2/5, then the larger of that and 3/5
])
def test_p_values_by_hand(correction, p):
    assert permutation_p([2.5, 2.5], NULL, correction).tolist() == pytest.approx(p)


def test_holm_by_hand_and_capped():
    """p of 1/5, 2/5, 5/5 become 3/5, 4/5, 1, in whatever order they come."""
    null = np.array([[0, 0, 9], [0, 0, 9], [0, 0, 9], [0, 7, 9]])
    assert permutation_p([5, 5, 5], null, "holm").tolist() == pytest.approx([3 / 5, 4 / 5, 1])
    assert permutation_p([5, 5, 5], null[:, ::-1], "holm").tolist() == pytest.approx([1, 4 / 5, 3 / 5])


def test_the_maximum_keeps_the_error_over_all_layers():
    """Of 300 studies without effect in 20 layers, about 5 % find one somewhere; uncorrected, most do."""
    rng = np.random.default_rng(0)
    found = {"max": 0, None: 0}
    for _ in range(300):
        values = rng.normal(size=(100, 20))
        for correction in found:
            found[correction] += permutation_p(values[0], values[1:], correction).min() <= 0.05
    assert 0.02 < found["max"] / 300 < 0.09 and found[None] / 300 > 0.4


@pytest.mark.parametrize("observed, null, correction, words", [
    ([1, 2], [[1], [2]], "max", "permutations x 2"), ([1], [1, 2], "max", "permutations x 1"),
    ([1], np.zeros((0, 1)), "max", "permutations x 1"), ([1], [[1]], "bonferroni", "'max', 'holm' or None"),
])
def test_bad_input(observed, null, correction, words):
    with pytest.raises(ValueError) as error:
        permutation_p(observed, null, correction)
    assert words in one_sentence(error.value)
