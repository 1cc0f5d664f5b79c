"""Separability on planted gaps, and silhouettes against scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.metrics import silhouette_samples
from small_models import one_sentence

from paperlib.probes.separability import separability, silhouettes


def states(gaps, n=60, seed=0, d=10):
    """Texts and images alike but for a gap in each layer along one direction, beside one outlier dimension."""
    rng = np.random.default_rng(seed)
    images, texts = rng.normal(size=(2, n, len(gaps), d))
    direction = rng.normal(size=d)
    texts += np.array(gaps)[:, None] * direction / np.linalg.norm(direction)
    both = np.stack([images, texts])
    both[..., 0] *= 500
    return both.astype(np.float32)


def test_a_gap_is_found_where_it_is():
    images, texts = states([0, 0, 8])
    found = separability(images, texts, np.arange(60), np.arange(60))
    assert [s.layer for s in found] == [0, 1, 2]
    for s in found[:2]:
        assert s.accuracy.low < 0.5 < s.accuracy.high and s.p > 0.05
        assert abs(s.silhouette.value) < 0.02 and abs(s.null) < 0.02 and s.silhouette.n == 120
    assert found[2].accuracy.value == 1 and found[2].p == 1 / 200
    assert found[2].silhouette.low < found[2].silhouette.value < found[2].silhouette.high
    assert found[2].silhouette.low > 0.15 > found[2].null


@pytest.mark.parametrize("split", [(9, 21), (15, 15), (1, 29)])
def test_silhouettes_are_scikit_learns(split):
    x = np.random.default_rng(0).normal(size=(30, 6))
    sides = np.random.default_rng(1).permuted(np.tile(np.repeat([0, 1], split), (4, 1)), axis=1)
    x[:, 0] += sides[0]
    ours = silhouettes(torch.tensor(x), torch.tensor(sides))
    for row, expected in zip(ours, sides):
        np.testing.assert_allclose(row, silhouette_samples(x, expected), atol=1e-6)


def test_states_that_are_all_the_same_are_not_apart():
    same = np.full((20, 2, 4), 2.5)
    for s in separability(same, same, np.arange(20), np.arange(20), permutations=9):
        assert s.silhouette.value == 0 and s.p == 1 and s.accuracy.value == 0.5


def test_the_value_is_the_mean_over_standardised_states():
    images, texts = states([1.0])
    s = separability(images, texts, np.arange(60), np.arange(60), permutations=5)[0]
    x = np.concatenate([images, texts])[:, 0].astype(float)
    expected = silhouette_samples((x - x.mean(0)) / x.std(0), np.repeat([0, 1], 60)).mean()
    assert s.silhouette.value == pytest.approx(expected, abs=1e-4)


def test_a_text_token_seen_many_times_is_no_evidence():
    """Ten copies of six scenes' states: shuffled by scene the gap is nothing, shuffled by row it would be much."""
    images, texts = states([0.0], n=6)
    groups = np.repeat(np.arange(6), 10)
    copies = separability(images.repeat(10, axis=0), texts.repeat(10, axis=0), groups, groups, folds=3)[0]
    assert copies.p > 0.05


def test_bad_input():
    images, texts = states([0.0, 1.0], n=10)
    scenes = np.arange(10)
    for words, call in (
        ("from 1 to 100,000", lambda: separability(images, texts, scenes, scenes, permutations=0)),
        ("alike in the last two", lambda: separability(images, texts[:, :1], scenes, scenes)),
        ("as many groups", lambda: separability(images, texts, scenes[1:], scenes)),
        ("no more than groups", lambda: separability(images, texts, scenes, scenes, folds=11)),
    ):
        with pytest.raises(ValueError) as error:
            call()
        assert words in one_sentence(error.value)
