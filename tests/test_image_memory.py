"""Pictures that are encoded once: nothing changes but the work."""

import pytest
import torch
from small_models import logits, one_sentence, picture, tiny_vlm, tower_vlm
from torch import nn

from paperlib.image_memory import sharing_tower

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


def test_without_room_a_shared_tower_works_again_and_products_are_kept_apart():
    models = stages(tower_vlm)
    rows, batch = tower_rows(models[0]), batch_of(models[0], range(3))
    with sharing_tower([vlm.model for vlm in models], megabytes=0):
        logits(models[0].model, batch), logits(models[0].model, batch)
    assert rows == [3, 3]
    with sharing_tower([vlm.model for vlm in models]):
        exact = logits(models[0].model, batch)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = logits(models[0].model, batch)
        again = logits(models[0].model, batch)
    assert rows == [3, 3, 3, 3] and torch.equal(again, exact) and not torch.equal(rounded.float(), exact)


def test_a_model_may_be_named_twice_and_an_error_ends_the_sharing():
    vlm = tiny_vlm()
    rows, batch = tower_rows(vlm), batch_of(vlm, range(3))
    with pytest.raises(RuntimeError), sharing_tower([vlm.model, vlm.model]):
        raise RuntimeError
    logits(vlm.model, batch), logits(vlm.model, batch)
    assert rows == [3, 3] and "forward" not in vars(vlm.model.model.vision_tower)


@pytest.mark.parametrize("models", [lambda: [], lambda: [tower_vlm(0).model, tower_vlm(1).model],
                                    lambda: [tiny_vlm().model, tower_vlm().model], lambda: [Towerless()]])
def test_different_towers_are_refused(models):
    with pytest.raises(ValueError) as error, sharing_tower(models()):
        pass
    assert "same vision tower" in one_sentence(error.value)


class Towerless(nn.Module):
    model = None
