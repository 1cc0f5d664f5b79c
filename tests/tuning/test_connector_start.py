"""A connector's start is left alone, or what scikit-learn's ridge regression gives; and how long its output stays."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from small_models import one_sentence

from paperlib.models.parts import connector, word_embeddings
from paperlib.models.vlm import load_vlm
from paperlib.tasks.scenes import CELLS, draw_scene
from paperlib.tuning.connector_start import EMPTY, image_features, matched, place_targets, start_connector

N = 30


@pytest.fixture
def vlm():
    return load_vlm("tiny", "cpu")


@pytest.fixture
def scenes():
    return [draw_scene("train", 0, index) for index in range(N)]


def weights(vlm):
    return [p.detach().clone() for p in connector(vlm.base).parameters()]


@torch.no_grad()
def tokens(vlm, scenes):
    return connector(vlm.base)(image_features(vlm, scenes)).flatten(0, 1)


def test_features_are_what_the_model_reads(vlm, scenes):
    seen = []
    handle = connector(vlm.base).register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    pictures = [scene.render() for scene in scenes[:3]]
    with torch.no_grad():
        vlm.model(**vlm.batch([vlm.prompt("What is it?")] * 3, pictures))
    handle.remove()
    assert torch.allclose(image_features(vlm, scenes[:3], 2).flatten(0, 1), seen[0].flatten(0, -2), atol=1e-5)


def test_a_random_start_changes_nothing(vlm):
    before = weights(vlm)
    start_connector(vlm, "random", N)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(vlm), strict=True))


def length(rows):
    return float(rows.detach().square().mean().sqrt())


def test_matched_output_is_as_long_as_words_within_and_afterwards(vlm, scenes):
    bridge, words = connector(vlm.base), length(word_embeddings(vlm.base).weight)
    with torch.no_grad():
        bridge.linear_2.weight.mul_(50)
        bridge.linear_2.bias.copy_(torch.randn(bridge.linear_2.bias.shape, generator=torch.Generator().manual_seed(0)))
    before = tokens(vlm, scenes)
    with matched(vlm, N):
        held = tokens(vlm, scenes)
    after = tokens(vlm, scenes)
    assert length(before) > 5 * words and length(held) == pytest.approx(words, rel=1e-4)
    assert torch.allclose(after, held, atol=1e-5) and torch.allclose(
        after, before * (words / length(before)), atol=1e-5
    )
    assert not bridge._forward_hooks


def test_ridge_is_that_of_scikit_learn(vlm, scenes):
    bridge, features = connector(vlm.base), image_features(vlm, scenes).flatten(0, 1)
    start_connector(vlm, "ridge", N)
    with torch.no_grad():
        projected = bridge.linear_1(features)
    assert projected.mean(0).abs().max() < 1e-3 and projected.var() == pytest.approx(1, abs=0.2), "standardised"
    hidden = bridge.act(projected)
    wanted = torch.cat([place_targets(vlm, scene) for scene in scenes])
    penalty = 1e-2 * float(hidden.var(0, unbiased=False).mean()) * len(hidden)
    oracle = Ridge(alpha=penalty).fit(hidden.double().numpy(), wanted.double().numpy())
    assert np.allclose(tokens(vlm, scenes).numpy(), oracle.predict(hidden.double().numpy()), atol=1e-4)


def test_targets_are_the_words_for_what_stands_there(vlm):
    scene = next(s for s in (draw_scene("train", 0, i) for i in range(50)) if len(s.things) == 1)
    (thing,) = scene.things
    embedded, rows = word_embeddings(vlm.base).weight.detach(), place_targets(vlm, scene).view(4, 4, -1)
    ids = [
        vlm.tokenizer(f" {text}", add_special_tokens=False)["input_ids"]
        for text in (f"{thing.size} {thing.name}", EMPTY)
    ]
    thing_words, nothing = (embedded[of].mean(0) for of in ids)
    for number, cell in enumerate(CELLS):
        quarter = rows[2 * (number // 2) : 2 * (number // 2) + 2, 2 * (number % 2) : 2 * (number % 2) + 2].flatten(0, 1)
        assert torch.allclose(quarter, (thing_words if cell == thing.cell else nothing).expand(4, -1))


def test_an_unknown_start_is_one_sentence(vlm):
    with pytest.raises(ValueError) as error:
        start_connector(vlm, "zero")
    assert "zero" in one_sentence(error.value)
