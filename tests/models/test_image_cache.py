"""Pictures that are encoded once: nothing changes but the work."""

from types import SimpleNamespace

import pytest
import torch
from small_models import logits, one_sentence, picture, tiny_vlm, tower_vlm
from torch import nn
from transformers.modeling_outputs import BaseModelOutput

from paperlib.models import image_cache as image_memory
from paperlib.models.adapters import add_lora
from paperlib.models.image_cache import sharing_tower

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
    with vlm.remembering(megabytes):
        for batch, expected in zip(batches, plain):
            torch.testing.assert_close(logits(vlm.model, batch), expected, rtol=1e-4, atol=1e-4)
        assert calls == ([2, 1] if megabytes else [2, 2, 3])
        logits(vlm.model, batch_of(vlm, range(3), images=False))
    calls.clear()
    assert torch.equal(logits(vlm.model, batches[0]), plain[0]) and calls == [3]


def test_remembering_ends_with_its_block_even_on_error():
    vlm = tiny_vlm()
    calls, batch = encoder_calls(vlm), batch_of(vlm, range(3))
    with pytest.raises(RuntimeError), vlm.remembering():
        raise RuntimeError
    with vlm.remembering():
        logits(vlm.model, batch)
        with vlm.remembering():
            logits(vlm.model, batch)
        logits(vlm.model, batch)
        assert calls == [3]  # the inner block asks the outer one
    logits(vlm.model, batch)
    assert calls == [3, 3]


# ---------------------------------------------------------------- one tower for all stages


def tower_rows(vlm):
    """A list that grows by the number of pictures that the vision tower itself works on."""
    rows, first = [], next(m for m in vlm.model.model.vision_tower.modules() if isinstance(m, nn.Conv2d))
    first.register_forward_pre_hook(lambda module, args: rows.append(len(args[0])))
    return rows


def stages(make):
    """Two models with the same tower and nothing else in common."""
    first, second = make(0), make(1)
    second.model.model.vision_tower.load_state_dict(first.model.model.vision_tower.state_dict())
    return first, second


@pytest.mark.parametrize("make", [tiny_vlm, tower_vlm])
def test_a_shared_tower_changes_nothing_but_the_work(make):
    models = stages(make)
    batches = [batch_of(models[0], seeds) for seeds in ((0, 1, 0), (1, 2, 2))]
    plain = [[logits(vlm.model, batch) for batch in batches] for vlm in models]
    assert (plain[0][0] - plain[1][0]).abs().max() > 0.1, "what follows the tower differs"
    rows = [tower_rows(vlm) for vlm in models]
    with sharing_tower([vlm.model for vlm in models]):
        for vlm, expected in zip(models, plain):
            with vlm.remembering():
                for batch, one in zip(batches, expected):
                    torch.testing.assert_close(logits(vlm.model, batch), one, rtol=1e-4, atol=1e-4)
            logits(vlm.model, batches[0])
        logits(models[1].model, batch_of(models[1], range(3), images=False))
    assert rows == [[2, 1], []]
    assert torch.equal(logits(models[1].model, batches[0]), plain[1][0]) and rows[1] == [3]


def test_products_are_kept_apart():
    models = stages(tower_vlm)
    rows, batch = tower_rows(models[0]), batch_of(models[0], range(3))
    with sharing_tower([vlm.model for vlm in models]):
        exact = logits(models[0].model, batch)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = logits(models[0].model, batch)
        again = logits(models[0].model, batch)
    assert rows == [3, 3] and torch.equal(again, exact) and not torch.equal(rounded.float(), exact)


@pytest.mark.parametrize("kilobytes, expected", [(0, 3), (60, 2), (110, 1), (150, 0)])
def test_what_finds_no_room_is_encoded_again(kilobytes, expected):
    vlm = tower_vlm()  # 16 tokens of 768 values in float32: 48 KiB a picture
    rows, batch = tower_rows(vlm), batch_of(vlm, range(3))
    with sharing_tower([vlm.model], megabytes=kilobytes / 1024):
        first = logits(vlm.model, batch)
        again = logits(vlm.model, batch)
    assert rows == [3] + [expected] * (expected > 0)
    torch.testing.assert_close(again, first, rtol=1e-4, atol=1e-4)


def test_kept_rows_hold_no_more_than_themselves():
    vlm, memory = tower_vlm(), image_memory._Memory(1)
    pixels = batch_of(vlm, range(3))["pixel_values"]
    with torch.no_grad():
        memory.rows(pixels, "", lambda new: [vlm.model.model.vision_tower(new).last_hidden_state] * 2)
    kept = [part for row in memory.kept.values() for part in row]
    assert len(kept) == 6 and {part.untyped_storage().nbytes() for part in kept} == {16 * 768 * 4}
    assert memory.room == 2**20 - 3 * 16 * 768 * 4, "what is there twice takes room once"


def test_pictures_of_another_shape_or_asked_otherwise_are_others():
    vlm = tower_vlm()
    rows, tower = tower_rows(vlm), vlm.model.model.vision_tower
    grey = [torch.zeros(1, 3, *size) for size in ((64, 128), (128, 64))]
    with torch.no_grad(), sharing_tower([Around(tower)]):
        shapes = [tower(one).last_hidden_state.shape for one in grey]
        clip = tiny_vlm().model.model.vision_tower
    assert shapes[0] == shapes[1] == (1, 8, 768) and rows == [1, 1]
    with torch.no_grad(), sharing_tower([Around(clip)]):
        assert clip(torch.zeros(1, 3, 128, 128)).hidden_states is None
        found = clip(torch.zeros(1, 3, 128, 128), output_hidden_states=True)
        again = clip(torch.zeros(1, 3, 128, 128), output_hidden_states=True)
    for one in (found, again):
        assert one.hidden_states[-1].shape == one.last_hidden_state.shape and one.pooler_output.ndim == 2


@pytest.mark.parametrize("make", [tiny_vlm, tower_vlm])
def test_gradients_are_not_remembered(make):
    vlm = make()
    rows, batch = tower_rows(vlm), batch_of(vlm, range(3))
    with sharing_tower([vlm.model]), vlm.remembering():
        for _ in range(2):
            vlm.model(**batch).logits.sum().backward()
    assert rows == [3, 3] and any(p.grad is not None for p in vlm.model.model.vision_tower.parameters())


def test_crops_and_joined_rows_pass_unchanged():
    memory, joined = image_memory._Memory(1), torch.zeros(1, 9, 4)
    assert memory.rows(torch.zeros(2, 5, 3, 8, 8), "", lambda new: pytest.fail("rows are not pictures")) is None
    assert memory.rows(torch.rand(2, 3, 8, 8), "", lambda new: [joined]) is None and not memory.kept
    tower = Joins()
    with torch.no_grad(), sharing_tower([Around(tower)]):
        assert tower(torch.rand(2, 3, 8, 8)).last_hidden_state.shape == (1, 2, 192)


def test_a_tuned_model_with_lora_shares_and_remembers():
    vlm = tower_vlm()
    rows, batch = tower_rows(vlm), batch_of(vlm, (0, 1, 0))
    vlm.model = add_lora(vlm.model, 2, [0]).eval()
    with sharing_tower([vlm.model]), vlm.remembering():
        logits(vlm.model, batch), logits(vlm.model, batch)
    assert rows == [2]


def test_sharing_twice_and_an_error_leave_the_tower_as_it_was():
    vlm = tiny_vlm()
    tower, batch = vlm.model.model.vision_tower, batch_of(vlm, range(3))
    rows, plain = tower_rows(vlm), logits(vlm.model, batch)
    tower.forward = own = tower.forward  # as other libraries hook in
    with pytest.raises(RuntimeError), sharing_tower([vlm.model, vlm.model]):
        with sharing_tower([vlm.model]):
            logits(vlm.model, batch)
        torch.testing.assert_close(logits(vlm.model, batch), plain, rtol=1e-4, atol=1e-4)
        raise RuntimeError
    assert tower.forward is own and rows == [3, 3]


@pytest.mark.parametrize(
    "models",
    [
        list,
        lambda: [tower_vlm(0).model, tower_vlm(1).model],
        lambda: [tiny_vlm().model, tower_vlm().model],
        lambda: [nn.Linear(2, 2)],
        lambda: [Around(None)],
        lambda: [Around(TOWER), Around(TOWER, layer=-2)],
    ],
)
def test_different_towers_are_refused(models):
    with pytest.raises(ValueError) as error, sharing_tower(models()):
        pass
    assert "same vision tower" in one_sentence(error.value)


TOWER = nn.Linear(2, 2)


class Around(nn.Module):
    """As much of a model as is looked at."""

    def __init__(self, tower, layer=-1):
        super().__init__()
        self.model = nn.Module()
        self.model.vision_tower, self.model.config = tower, SimpleNamespace(vision_feature_layer=layer)


class Joins(nn.Module):
    """A tower that makes one row of all pictures."""

    def forward(self, pixel_values):
        return BaseModelOutput(last_hidden_state=pixel_values.flatten(1)[None])
