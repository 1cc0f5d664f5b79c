"""Capturing many prompts: order, padding, what text is, the cache, bad input. Every family is in test_families.py."""

import logging
import weakref

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import one_sentence, picture, tiny_vlm, tower_vlm

from paperlib.interventions.edits import patch, transplant
from paperlib.models import capture as module
from paperlib.models.capture import POSITIONS, capture, set_states, states, token_states
from paperlib.models.precision import bfloat16_units
from paperlib.models.residual import run
from paperlib.models.token_sets import tokens
from paperlib.models.vlm import VLMError
from paperlib.scoring.choices import chunks
from paperlib.tasks.benchmarks import load

QUESTIONS = ["What is this?", "Hm?", "How many things are there, and which?", "Why?", "Who is it?"]
CAPTIONS = ["a dog", "a small red circle at the top left", "x", "two cats", "a bus and a tree"]


@pytest.fixture(scope="module")
def vlm():
    return tiny_vlm()


@pytest.fixture(scope="module")
def inputs(vlm):
    return [vlm.prompt(q) for q in QUESTIONS], [picture(i % 3) for i in range(5)], CAPTIONS


@torch.no_grad()
def alone(vlm, prompt, image, answer):
    """One sequence by itself: its ids, and its states [L + 1, T, D] from transformers, the last one by hook."""
    kwargs = {} if image is None else {"images": [image]}
    batch, last = vlm.processor(text=[prompt + answer], return_tensors="pt", **kwargs), []
    handle = vlm.layers[-1].register_forward_hook(lambda m, args, output: last.append(output))
    hidden = vlm.model(**batch, output_hidden_states=True).hidden_states
    handle.remove()
    return batch["input_ids"][0], torch.cat([*hidden[:-1], *last])


@pytest.mark.parametrize("make, batch_size", [(tiny_vlm, 2), (tiny_vlm, 32), (tower_vlm, 3)])
def test_each_row_as_if_alone(make, batch_size):
    vlm = make()
    prompts, images = [vlm.prompt(q) for q in QUESTIONS], [picture(i) for i in range(5)]
    found = capture(vlm, prompts, images, CAPTIONS, positions=POSITIONS, batch_size=batch_size)
    assert list(found) == list(POSITIONS)
    for i in range(5):
        ids, hidden = alone(vlm, prompts[i], images[i], CAPTIONS[i])
        image, n = (ids == vlm.image_token_id).nonzero().flatten(), len(vlm.tokenizer(CAPTIONS[i]).input_ids)
        expected = {
            "image mean": hidden[:, image].mean(1),
            "image last": hidden[:, image[-1]],
            "answer position": hidden[:, -n - 1],
            "text mean": hidden[:, -n:].mean(1),
            "text last": hidden[:, -1],
        }
        for name, value in expected.items():
            assert found[name].shape == (5, len(vlm.layers) + 1, 32) and found[name].dtype == torch.float32
            torch.testing.assert_close(found[name][i], value, rtol=1e-3, atol=1e-4)


def test_captions_alone_and_behind_prompts(vlm):
    """The prompt's tokens are never part of the text, and an empty prompt leaves the caption alone."""
    bare = capture(vlm, [""] * 5, None, CAPTIONS, positions=["text mean", "text last"])
    asked = [vlm.prompt("Say it.", False)] * 5
    behind = capture(vlm, asked, None, CAPTIONS, positions=["text mean"])["text mean"]
    for i, caption in enumerate(CAPTIONS):
        _, hidden = alone(vlm, "", None, caption)
        torch.testing.assert_close(bare["text mean"][i], hidden.mean(1), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(bare["text last"][i], hidden[:, -1], rtol=1e-3, atol=1e-4)
        _, hidden = alone(vlm, asked[i], None, caption)
        torch.testing.assert_close(behind[i], hidden[:, -len(caption) :].mean(1), rtol=1e-3, atol=1e-4)


def test_several_sets_from_one_pass(vlm, inputs, monkeypatch):
    batch, passes = vlm.batch(*inputs), []
    alone = {name: token_states(vlm, batch, [3, 0], name) for name in ("text", "image", "answer position")}
    monkeypatch.setattr(module, "run", lambda *args: passes.append(1) or run(*args))
    found = set_states(vlm, batch, [3, 0], alone)
    assert len(passes) == 1 and list(found) == list(alone)
    for name, rows in alone.items():
        assert all(torch.equal(a, b) for a, b in zip(found[name], rows, strict=True))


def test_similar_lengths_share_a_batch(vlm, inputs, monkeypatch):
    seen, batch = [], type(vlm).batch
    monkeypatch.setattr(type(vlm), "batch", lambda self, *args: seen.append(b := batch(self, *args)) or b)
    capture(vlm, *inputs, positions=["text last"], batch_size=2)
    lengths = [b["attention_mask"].sum(1).tolist() for b in seen]
    assert [len(row) for row in lengths] == [2, 2, 1]
    assert (flat := sum(lengths, [])) == sorted(flat, reverse=True) and len(set(flat)) > 3


def test_no_head_and_no_whole_layer(vlm, inputs):
    """Logits are never computed, and a layer is gone as soon as the next is there."""
    ran, alive = [], []
    handles = [
        vlm.model.lm_head.register_forward_hook(lambda *_: ran.append("head")),
        vlm.layers[0].register_forward_hook(lambda m, args, output: alive.append(weakref.ref(output))),
        vlm.layers[2].register_forward_hook(lambda *_: ran.append(alive[0]() is None)),
    ]
    states(vlm, vlm.batch(*inputs), POSITIONS)
    for handle in handles:
        handle.remove()
    assert ran == [True]


def test_captured_under_an_intervention(vlm, inputs):
    batch = vlm.batch(*inputs)
    image = tokens(vlm, batch, "image")
    with patch(vlm, 2, image, [torch.full((len(p), 32), 3.0) for p in image]):
        found = states(vlm, batch, ["image mean"])["image mean"]
        each = token_states(vlm, batch, [2, 1])
    clean = states(vlm, batch, ["image mean"])["image mean"]
    assert (found[:, 2] == 3).all() and all((row[0] == 3).all() for row in each)
    assert torch.equal(found[:, :2], clean[:, :2]) and not torch.isclose(found[:, 3:], clean[:, 3:]).all()


@pytest.mark.skipif(not bfloat16_units(torch.device("cpu")), reason="this CPU has no units for bfloat16")
def test_fast_products_are_near(vlm, inputs):
    exact, fast = (capture(vlm, *inputs, positions=["text last"], fast=f)["text last"] for f in (False, True))
    assert fast.dtype == torch.float32 and not torch.equal(fast, exact)
    assert torch.nn.functional.cosine_similarity(exact, fast, dim=-1).min() > 0.99


def test_states_can_be_learnt_from(vlm, inputs):
    """They are plain tensors: a probe in torch may take gradients through products with them."""
    found = capture(vlm, *inputs, positions=["text last"])["text last"]
    weight = torch.zeros(32, requires_grad=True)
    (found @ weight).sum().backward()
    assert weight.grad.any() and not found.requires_grad


# ---------------------------------------------------------------- the cache


@pytest.fixture
def runs(monkeypatch):
    """One entry for each time that states are computed."""
    made, compute = [], module._captured
    monkeypatch.setattr(module, "_captured", lambda *args: made.append(1) or compute(*args))
    return made


def test_computed_once(vlm, inputs, runs, tmp_path):
    first = capture(vlm, *inputs, positions=["image mean", "text last"], cache=tmp_path / "new")
    again = capture(tiny_vlm(), *inputs, positions=["text last", "image mean"], cache=tmp_path / "new", batch_size=3)
    assert len(runs) == 1 and list(again) == ["text last", "image mean"]
    assert all(torch.equal(again[name], first[name]) for name in first)
    (file,) = (tmp_path / "new").iterdir()
    assert file.suffix == ".safetensors" and load_file(file)["image mean"].dtype == torch.float32


def test_anything_else_is_computed_anew(vlm, inputs, runs, tmp_path):
    prompts, images, answers = inputs
    here = {"positions": ["image mean"], "cache": tmp_path}
    palette = [image.convert("P") for image in images]
    swapped = [image.copy() for image in palette]
    for image in swapped:
        image.putpalette(image.getpalette()[::-1])
    calls = [
        lambda: capture(vlm, prompts, images, answers, **here),
        lambda: capture(vlm, prompts[::-1], images, answers, **here),
        lambda: capture(vlm, prompts, images[::-1], answers, **here),
        lambda: capture(vlm, prompts, palette, answers, **here),
        lambda: capture(vlm, prompts, swapped, answers, **here),
        lambda: capture(vlm, prompts, images, answers[::-1], **here),
        lambda: capture(vlm, prompts, images, **here),
        lambda: capture(vlm, prompts, images, answers, **here, fast=True),
        lambda: capture(vlm, prompts, images, answers, **here, key={"note": 1}),
        lambda: capture(vlm, prompts, images, answers, cache=tmp_path, positions=["image last"]),
        lambda: capture(tiny_vlm(1), prompts, images, answers, **here),
    ]
    for n, call in enumerate(calls, start=1):
        call()
        assert len(runs) == n
    for call in calls:
        call()
    assert len(runs) == len(calls)


@pytest.mark.parametrize("damage", ["cut", "no file of the kind", "another value", "other names", "no digest"])
def test_damaged_files_are_made_again(damage, vlm, inputs, runs, tmp_path, caplog):
    first = capture(vlm, *inputs, positions=["image mean"], cache=tmp_path)["image mean"]
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    if damage == "cut":
        file.write_bytes(content[:-100])
    elif damage == "no file of the kind":
        file.write_text("states")
    elif damage == "another value":
        file.write_bytes(content[:-3] + b"\x01" + content[-2:])
    else:
        name = "image mean" if damage == "no digest" else "another"
        save_file({name: first}, file)
    with caplog.at_level(logging.WARNING, "paperlib"):
        again = capture(vlm, *inputs, positions=["image mean"], cache=tmp_path)["image mean"]
    assert torch.equal(again, first) and len(runs) == 2
    assert "computed again" in caplog.text and len(caplog.records) == 1
    capture(vlm, *inputs, positions=["image mean"], cache=tmp_path)
    assert len(runs) == 2 and len(list(tmp_path.iterdir())) == 1


def test_nothing_half_written(vlm, inputs, monkeypatch, tmp_path):
    def fail(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(module.os, "replace", fail)
    with pytest.raises(OSError):
        capture(vlm, *inputs, positions=["image mean"], cache=tmp_path)
    assert not list(tmp_path.iterdir())


def test_interventions_need_a_key_in_the_cache(vlm, inputs, runs, tmp_path):
    here = {"positions": ["image mean"], "cache": tmp_path}
    with transplant(vlm, tiny_vlm(1), [1]):
        with pytest.raises(ValueError, match="give key=") as error:
            capture(vlm, *inputs, **here)
        one_sentence(error.value)
        assert not runs
        capture(vlm, *inputs, **here, key={"transplant": [1]})
        capture(vlm, *inputs, positions=["image mean"])


# ---------------------------------------------------------------- bad input


def test_bad_input(vlm, inputs):
    prompts, images, answers = inputs
    bad = {
        "list of some of": [lambda p=p: capture(vlm, *inputs, positions=p) for p in ([], ["image"], "image mean")],
        "'image mean' needs images": [lambda: capture(vlm, prompts, None, answers, positions=["image mean"])],
        "'text last' needs the text as answers": [lambda: capture(vlm, prompts, images, positions=["text last"])],
        "batch_size": [lambda: capture(vlm, *inputs, positions=["text last"], batch_size=0)],
        "at least one prompt": [
            lambda: capture(vlm, [], [], positions=["image mean"]),
            lambda: capture(vlm, prompts, images[:2], positions=["image mean"]),
            lambda: capture(vlm, prompts, images, answers[:2], positions=["image mean"]),
        ],
        "no answer position tokens": [lambda: capture(vlm, [""], None, ["x"], positions=["answer position"])],
        "no text tokens": [lambda: capture(vlm, prompts[:1], images[:1], [""], positions=["text mean"])],
        "layers 0 to 4": [lambda: token_states(vlm, vlm.batch(*inputs), [5])],
    }
    for said, calls in bad.items():
        for call in calls:
            with pytest.raises(ValueError, match=said) as error:
                call()
            one_sentence(error.value)
    for cache in (None, "unused"):
        with pytest.raises(VLMError, match="PIL image"):
            capture(vlm, prompts[:1], ["x.png"], positions=["image mean"], cache=cache)


@pytest.mark.parametrize("size", [1.5, None, "3", True, 0, -1])
def test_batches_are_counted_in_whole_numbers(size):
    vlm = tiny_vlm()
    with pytest.raises(ValueError, match="batch_size must be a whole number of at least 1"):
        capture(vlm, [vlm.prompt("a", False)], None, positions=["answer position"], batch_size=size)
    with pytest.raises(ValueError, match="batch_size must be a whole number of at least 1"):
        chunks(vlm, load("text", n=1), "none", batch_size=size)
