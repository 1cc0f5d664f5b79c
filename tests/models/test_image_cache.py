"""Pictures that are encoded once: nothing changes but the work."""

import pytest
import torch
from families import FAMILIES, family
from small_models import logits, picture, tiny_vlm, tower_vlm
from torch import nn
from transformers.modeling_outputs import BaseModelOutputWithPooling

from paperlib.models.adapters import add_lora
from paperlib.models.image_cache import _Memory, cached_features
from paperlib.models.left_padding import left_padded

QUESTIONS = ["What is this?", "How many things are there?", "Hm?"]


def batch_of(vlm, seeds, images=True):
    """A batch of one question for each seed, about its picture or about none."""
    prompts = [vlm.prompt(QUESTIONS[i % 3], images) for i in range(len(seeds))]
    return vlm.batch(prompts, [picture(i) for i in seeds] if images else None)


def encoder_calls(vlm):
    """A list that grows by the number of pictures of each call of the vision tower."""
    calls = []

    def count(module, args, kwargs):
        calls.append(len(args[0] if args else kwargs["pixel_values"]))

    vlm.model.model.vision_tower.register_forward_pre_hook(count, with_kwargs=True)
    return calls


@pytest.mark.parametrize("make", [tiny_vlm, tower_vlm])
@pytest.mark.parametrize("megabytes", [256, 0])
def test_remembered_pictures_change_nothing_but_the_work(make, megabytes):
    vlm = make()
    calls = encoder_calls(vlm)
    batches = [batch_of(vlm, seeds) for seeds in ((0, 1, 0), (1, 1, 2), (2, 0, 1))]
    plain = [logits(vlm.model, batch) for batch in batches]
    assert calls == [3, 3, 3]
    calls.clear()
    with vlm.cached_features(megabytes):
        for batch, expected in zip(batches, plain):
            torch.testing.assert_close(logits(vlm.model, batch), expected, rtol=1e-4, atol=1e-4)
        assert calls == ([2, 1] if megabytes else [2, 2, 3])
        logits(vlm.model, batch_of(vlm, range(3), images=False))
    calls.clear()
    assert torch.equal(logits(vlm.model, batches[0]), plain[0]) and calls == [3]


def test_remembering_ends_with_its_block_even_on_error():
    vlm = tiny_vlm()
    calls, batch = encoder_calls(vlm), batch_of(vlm, range(3))
    with pytest.raises(RuntimeError), vlm.cached_features():
        raise RuntimeError
    with vlm.cached_features():
        logits(vlm.model, batch)
        with vlm.cached_features():
            logits(vlm.model, batch)
        logits(vlm.model, batch)
        assert calls == [3]  # the inner block asks the outer one
    logits(vlm.model, batch)
    assert calls == [3, 3]


def test_products_are_kept_apart():
    vlm = tower_vlm()
    calls, batch = encoder_calls(vlm), batch_of(vlm, range(3))
    with vlm.cached_features():
        exact = logits(vlm.model, batch)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = logits(vlm.model, batch)
        again = logits(vlm.model, batch)
    assert calls == [3, 3] and torch.equal(again, exact) and not torch.equal(rounded.float(), exact)


@pytest.mark.parametrize("kilobytes, expected", [(0, 3), (3, 2), (5, 1), (7, 0)])
def test_what_finds_no_room_is_encoded_again(kilobytes, expected):
    vlm = tower_vlm()  # 16 image tokens of 32 values in float32: 2 KiB a picture
    calls, batch = encoder_calls(vlm), batch_of(vlm, range(3))
    with cached_features(vlm.model, megabytes=kilobytes / 1024):
        first = logits(vlm.model, batch)
        again = logits(vlm.model, batch)
    assert calls == [3] + [expected] * (expected > 0)
    torch.testing.assert_close(again, first, rtol=1e-4, atol=1e-4)


def test_kept_rows_hold_no_more_than_themselves():
    vlm, memory = tower_vlm(), _Memory(1)
    pixels = batch_of(vlm, range(3))["pixel_values"]
    with torch.no_grad():
        memory.rows(pixels, "", lambda new: vlm.model.model.vision_tower(new).last_hidden_state)
    assert len(memory.kept) == 3
    assert {row.untyped_storage().nbytes() for row in memory.kept.values()} == {16 * 768 * 4}
    assert memory.room == 2**20 - 3 * 16 * 768 * 4


def test_pictures_of_another_shape_or_asked_otherwise_are_others():
    memory, seen = _Memory(1), []

    def encode(new):
        seen.append(tuple(new.shape))
        return list(new.flatten(1))

    for size in ((64, 128), (128, 64), (64, 128)):
        memory.rows(torch.zeros(1, 3, *size), "", encode)
    assert seen == [(1, 3, 64, 128), (1, 3, 128, 64)]
    memory.rows(torch.zeros(1, 3, 64, 128), "all layers", encode)
    assert len(seen) == 3


@pytest.mark.parametrize("make", [tiny_vlm, tower_vlm])
def test_gradients_are_not_remembered(make):
    vlm = make()
    calls, batch = encoder_calls(vlm), batch_of(vlm, range(3))
    with vlm.cached_features():
        for _ in range(2):
            vlm.model(**batch).logits.sum().backward()
    assert calls == [3, 3] and any(p.grad is not None for p in vlm.model.model.vision_tower.parameters())


def test_crops_and_joined_rows_pass_unchanged():
    memory = _Memory(1)
    assert memory.rows(torch.zeros(2, 5, 3, 8, 8), "", lambda new: pytest.fail("rows are not pictures")) is None
    assert memory.rows(torch.rand(2, 3, 8, 8), "", lambda new: torch.zeros(1, 9, 4)) is None and not memory.kept


def test_a_family_that_joins_its_pictures_is_encoded_as_ever():
    """Features in one tensor, such as those of all crops together, may not be a row for each picture."""
    vlm = tiny_vlm()
    core, pixels = vlm.model.model, batch_of(vlm, range(3))["pixel_values"]
    encode = core.get_image_features
    core.get_image_features = own = lambda *args: BaseModelOutputWithPooling(
        pooler_output=torch.cat(list(encode(*args).pooler_output))
    )
    calls = encoder_calls(vlm)
    with torch.no_grad(), vlm.cached_features():
        plain = own(pixels).pooler_output
        for _ in range(2):
            assert torch.equal(core.get_image_features(pixels).pooler_output, plain)
        assert core.get_image_features is not own and min(calls) == 3
    assert core.get_image_features is own


def test_a_tuned_model_with_lora_remembers():
    vlm = tower_vlm()
    calls, batch = encoder_calls(vlm), batch_of(vlm, (0, 1, 0))
    vlm.model = add_lora(vlm.model, 2, [0]).eval()
    with vlm.cached_features():
        logits(vlm.model, batch), logits(vlm.model, batch)
    assert calls == [2]


def test_a_model_without_a_picture_encoder_is_left_alone():
    model = nn.Linear(2, 2)
    with cached_features(model):
        assert model(torch.zeros(1, 2)).shape == (1, 2)


@pytest.mark.parametrize("name", FAMILIES)
def test_generation_is_what_it_is_without(name):
    """`generate` encodes pictures itself, and asks the encoder's signature what to give it."""
    vlm, batch = family(name)
    options = dict(max_new_tokens=2, do_sample=False, suppress_tokens=[0, 2])
    batch = left_padded(batch)
    plain = vlm.model.generate(**batch, **options)
    with vlm.cached_features():
        for _ in range(2):
            assert torch.equal(vlm.model.generate(**batch, **options), plain)
