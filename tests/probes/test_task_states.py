"""Tests of paperlib.probes.task_states against captures of one task, or one picture, at a time."""

import pytest
import torch
from small_models import picture, tiny_vlm

from paperlib.models.capture import capture, token_states
from paperlib.probes.task_states import each_token, task_states


@pytest.fixture(scope="module")
def vlm():
    return tiny_vlm()


PICTURES = {"a": [picture(0), picture(1)], "b": [picture(2)], "not asked": [picture(3)]}


def test_each_task_gets_its_own_states(vlm):
    prompts = {"b": [vlm.prompt("What is there?")], "a": [vlm.prompt("How many?"), vlm.prompt("Which color is it?")]}
    positions = ["image mean", "answer position"]
    found = task_states(vlm, prompts, PICTURES, positions)
    assert list(found) == ["b", "a"]
    for name, asked in prompts.items():
        alone = capture(vlm, asked, PICTURES[name], positions=positions, fast=True)
        for position in positions:
            assert found[name][position].shape == (len(asked), len(vlm.layers) + 1, 32)
            torch.testing.assert_close(found[name][position], alone[position], rtol=1e-3, atol=1e-3)


def test_captions_stand_without_pictures(vlm):
    prompts = {"a": [vlm.prompt("A dog. What is it?", False)], "b": [vlm.prompt("A pear. What is it?", False)]}
    found = task_states(vlm, prompts, None, ["answer position"])
    assert not torch.equal(found["a"]["answer position"], found["b"]["answer position"])


def test_a_task_without_pictures_is_refused(vlm):
    with pytest.raises(KeyError):
        task_states(vlm, {"c": [vlm.prompt("What?")]}, PICTURES, ["image mean"])


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_tokens_of_each_example_whatever_the_batch(vlm, batch_size):
    asked, shown = (
        [vlm.prompt("How many?"), vlm.prompt("What is that?"), vlm.prompt("Is it?")],
        PICTURES["a"] + PICTURES["b"],
    )
    found = each_token(vlm, asked, shown, [0, 2], batch_size=batch_size)
    assert [part.shape[:2] for part in found["image"]] == [(2, found["image"][0].shape[1])] * 3
    assert len({part.shape[1] for part in found["question"]}) > 1
    for i in range(3):
        alone = token_states(vlm, vlm.batch([asked[i]], [shown[i]]), [0, 2])[0]
        torch.testing.assert_close(found["image"][i], alone, rtol=0.02, atol=0.05)
