"""Overlaps by layer against the measure itself, gains and nulls against what was planted."""

import numpy as np
import pytest
import torch

from paperlib.geometry.alignment import (
    above_chance,
    by_layer,
    gains_by_region,
    null_by_layer,
    overlap_gain,
    overlap_map,
    overlap_percent,
    search_layers,
)
from paperlib.geometry.similarity import neighborhood_overlap
from paperlib.geometry.subsampling import subsample_interval

N, K = 200, 8


def cloud(noise, seed, hidden_seed=0):
    """[N, 3 layers, 12]: layer 0 is noise alone; layers 1 and 2 show six hidden variables that all clouds share."""
    rng, hidden = np.random.default_rng(seed), np.random.default_rng(hidden_seed).normal(size=(N, 6))
    layers = [rng.normal(size=(N, 12))]
    layers += [hidden @ rng.normal(size=(6, 12)) + noise * rng.normal(size=(N, 12)) for _ in range(2)]
    return torch.tensor(np.stack(layers, axis=1), dtype=torch.float32)


@pytest.fixture(scope="module")
def near():
    """A clear view of what the text shows, a noisy one, and the text, at layers 1 and 2."""
    return {
        name: search_layers(cloud(noise, seed), [1, 2], 4 * K)
        for name, noise, seed in (("clear", 0.1, 1), ("noisy", 2.0, 2), ("text", 0.1, 3))
    }


def test_layers_are_those_asked_for(near):
    states = cloud(0.1, 1)
    assert [torch.equal(layer.points.x, states[:, i]) for i, layer in zip((1, 2), near["clear"])] == [True, True]
    assert near["clear"][0].indices.shape == (N, 4 * K)


def test_by_layer_is_the_measure_at_each_layer_with_its_interval(near):
    found = by_layer(overlap_percent, near["clear"], near["text"], seed=4, k=K)
    for interval, a, b in zip(found, near["clear"], near["text"]):
        wanted = subsample_interval(lambda x, y: 100 * neighborhood_overlap(x, y, K), a, b, n=20, seed=4)
        assert interval == wanted and interval.low < interval.value < interval.high


def test_a_map_holds_every_pair(near):
    found = overlap_map(near["clear"], near["text"], K)
    assert found[1, 0] == 100 * neighborhood_overlap(near["clear"][1], near["text"][0], K) and found.shape == (2, 2)


def test_gains_are_paired_and_have_a_sign(near):
    up = overlap_gain(near["clear"], near["noisy"], near["text"], [0, 1], K, n=10)
    down = overlap_gain(near["noisy"], near["clear"], near["text"], [0, 1], K, n=10)
    assert up.low > 0 > down.high and up.value == pytest.approx(-down.value)
    apart = overlap_map(near["clear"], near["text"], K) - overlap_map(near["noisy"], near["text"], K)
    assert up.value == pytest.approx(np.diag(apart).mean())
    same = overlap_gain(near["clear"], near["clear"], near["text"], [1], K, n=5)
    assert same[:3] == (0, 0, 0)
    one = overlap_gain(near["clear"], near["noisy"], near["text"], [1], K, n=5)
    assert one.value == pytest.approx(apart[1, 1])
    with pytest.raises(ValueError, match="none was given"):
        overlap_gain(near["clear"], near["noisy"], near["text"], [], K)


def test_a_null_within_groups_lies_between_chance_and_the_pairs(near):
    """Neighbours that share the group are found again by pairs that are shuffled within it."""
    hidden = np.random.default_rng(0).normal(size=(N, 6))
    groups = hidden[:, 0] > 0
    within = null_by_layer(near["clear"], near["text"], groups, K, n=20)
    anyhow = null_by_layer(near["clear"], near["text"], np.zeros(N), K, n=20)
    real = [i.value for i in by_layer(overlap_percent, near["clear"], near["text"], k=K)]
    chance = 100 * K / (N - 1)
    assert all(chance < a < w < r for a, w, r in zip(anyhow, within, real))
    assert np.mean(null_by_layer(near["clear"], near["text"], groups, K, n=20, quantile=0.5)) < np.mean(within)


def test_above_chance_is_about_none_for_noise(near):
    clear, noise = near["clear"][0], search_layers(cloud(0.1, 5), [0], 4 * K)[0]
    trained, untrained = above_chance(clear, noise, near["text"], K, n=10)
    assert trained.shape == untrained.shape == (11, 2)
    assert trained[0, 0] == pytest.approx(neighborhood_overlap(clear, near["text"][0], K) - K / (N - 1))
    assert (trained > 0.2).all() and abs(untrained).max() < 0.03


def test_gains_of_regions_are_those_of_each_and_paired(near):
    three = {name: [*of, of[0]] for name, of in near.items()}
    clouds = three["clear"], three["noisy"], three["text"]
    middle, (over_early, over_late) = gains_by_region(*clouds, [[0], [1], [2]], K, n=10)
    first, second = (overlap_gain(*clouds, [i], K, n=10) for i in (0, 1))
    assert middle == second and over_early.value == pytest.approx(second.value - first.value)
    assert over_early == over_late, "the first and the last region are the same layer here"
    same = gains_by_region(*clouds, [[0], [2], [1]], K, n=10)[1][0]
    assert same[:3] == (0, 0, 0), "what both regions share cancels draw by draw"
    with pytest.raises(ValueError, match="three regions"):
        gains_by_region(*clouds, [[0], [], [1]], K)
