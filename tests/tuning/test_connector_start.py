"""Where a connector starts: left alone, as long as words, or what scikit-learn's ridge regression gives."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from small_models import one_sentence

from paperlib.models.parts import connector, word_embeddings
from paperlib.models.vlm import load_vlm
from paperlib.tasks.scenes import CELLS, draw_scene
from paperlib.tuning.connector_start import EMPTY, image_features, place_targets, start_connector

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


def test_matched_tokens_are_as_long_as_words_and_point_as_before(vlm, scenes):
    before = tokens(vlm, scenes)
    start_connector(vlm, "matched", N)
    after, words = tokens(vlm, scenes), word_embeddings(vlm.base).weight
    assert after.square().mean().sqrt() == pytest.approx(float(words.square().mean().sqrt()), rel=1e-3)
    centred = before - before.mean(0)
    assert torch.allclose(after, centred * (after.std() / centred.std()), atol=1e-4)


def test_ridge_is_that_of_scikit_learn(vlm, scenes):
    bridge = connector(vlm.base)
    with torch.no_grad():
        hidden = bridge.act(bridge.linear_1(image_features(vlm, scenes))).flatten(0, 1)
        wanted = torch.cat([place_targets(vlm, scene) for scene in scenes])
    penalty = 1e-2 * float(hidden.var(0, unbiased=False).mean()) * len(hidden)
    oracle = Ridge(alpha=penalty).fit(hidden.double().numpy(), wanted.double().detach().numpy())
    first = bridge.linear_1.weight.clone()
    start_connector(vlm, "ridge", N)
    expected = oracle.predict(hidden.double().numpy())
    assert np.allclose(tokens(vlm, scenes).numpy(), expected, atol=1e-4)
    assert torch.equal(bridge.linear_1.weight, first) and bridge.linear_2.weight.grad is None


def test_targets_are_the_words_for_what_stands_there(vlm):
    scene = next(s for s in (draw_scene("train", 0, i) for i in range(50)) if len(s.things) == 1)
    (thing,) = scene.things
    embedded, rows = word_embeddings(vlm.base).weight, place_targets(vlm, scene).view(4, 4, -1)
    ids = [vlm.tokenizer(f" {text}", add_special_tokens=False)["input_ids"] for text in (f"{thing.size} {thing.name}", EMPTY)]
    thing_words, nothing = (embedded[of].mean(0) for of in ids)
    for number, cell in enumerate(CELLS):
        quarter = rows[2 * (number // 2) : 2 * (number // 2) + 2, 2 * (number % 2) : 2 * (number % 2) + 2].flatten(0, 1)
        assert torch.allclose(quarter, (thing_words if cell == thing.cell else nothing).expand(4, -1))


def test_an_unknown_start_is_one_sentence(vlm):
    with pytest.raises(ValueError) as error:
        start_connector(vlm, "zero")
    assert "zero" in one_sentence(error.value)
