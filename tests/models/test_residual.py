"""Running a decoder, functions on its layers, and what is known of the interventions that act."""

import pytest
import torch
from small_models import one_sentence, picture, tiny_vlm

from paperlib.interventions.edits import bypass, patch, transplant
from paperlib.models.residual import editing, in_prompt, interventions, on_layer, past, run, watching
from paperlib.models.token_sets import tokens
from paperlib.study.checks import check_numbers


@pytest.fixture
def vlm():
    return tiny_vlm()


@pytest.fixture
def batch(vlm):
    return vlm.batch([vlm.prompt("Hm?"), vlm.prompt("What is it?")], [picture(0), picture(1)], ["a dog", "x"])


@torch.no_grad()
def test_functions_on_layers_see_and_replace_states(vlm, batch):
    """Against transformers' states; a state that is replaced goes on from there, and the handle ends it."""
    out, seen = vlm.model.model(**batch, output_hidden_states=True), {}
    handles = [on_layer(vlm, layer, lambda state, layer=layer: seen.__setitem__(layer, state)) for layer in range(5)]
    assert torch.equal(run(vlm, batch), out.last_hidden_state)
    assert all(torch.equal(seen[layer], out.hidden_states[layer]) for layer in range(4))
    assert torch.equal(vlm.model.get_decoder().norm(seen[4]), out.last_hidden_state)
    for layer in range(5):
        handle = on_layer(vlm, layer, lambda state: state * 0, first=True)
        run(vlm, batch)
        assert not seen[layer].any() and torch.equal(seen[0], out.hidden_states[0]) == (layer > 0)
        handle.remove()
    for handle in handles:
        handle.remove()
    assert torch.equal(run(vlm, batch), out.last_hidden_state) and not seen[4].any()


@torch.no_grad()
def test_functions_on_one_layer_run_in_turn(vlm, batch):
    for layer in (2, 4):
        said = []
        handles = [
            on_layer(vlm, layer, lambda state, name=name: said.append(name), first=name == "first")
            for name in ("a", "b", "first")
        ]
        run(vlm, batch)
        assert said == ["first", "a", "b"]
        for handle in handles:
            handle.remove()


def test_which_interventions_act(vlm, batch):
    image = tokens(vlm, batch, "image")
    acting = lambda: sorted(interventions(vlm).values())  # noqa: E731
    assert acting() == []
    with bypass(vlm, image, leave=3), transplant(vlm, vlm, [2, 1]):
        with bypass(vlm, image, enter=2), patch(vlm, 4, image, [torch.ones(len(p), 32) for p in image]):
            assert acting() == [0, 1, 3, 4]
        assert acting() == [1, 3]
    assert acting() == []


@torch.no_grad()
def test_watching_changes_nothing_whatever_it_returns(vlm, batch):
    clean, seen = run(vlm, batch), []
    with watching(vlm, [(layer, lambda state: seen.append(state) or state * 0) for layer in range(5)]):
        assert torch.equal(run(vlm, batch), clean) and len(seen) == 5 and interventions(vlm) == {}
    run(vlm, batch)
    assert len(seen) == 5


@torch.no_grad()
def test_editing_replaces_states_and_registers_itself(vlm, batch):
    clean = run(vlm, batch)
    with editing(vlm, [(3, lambda state: -state), (2, lambda state: None)]):
        assert not torch.allclose(run(vlm, batch), clean) and list(interventions(vlm).values()) == [2]
        with editing(vlm, [(4, torch.neg)], first=1):  # a hook can't be above what is registered
            assert sorted(interventions(vlm).values()) == [1, 2]
    with pytest.raises(ZeroDivisionError), editing(vlm, [(0, torch.neg)]):
        1 / 0
    assert torch.equal(run(vlm, batch), clean) and interventions(vlm) == {}
    with editing(vlm, [(2, torch.neg)], first=3):
        assert list(interventions(vlm).values()) == [2]
    with pytest.raises(ValueError, match="must say which block") as error, editing(vlm):
        pass
    one_sentence(error.value)
    with pytest.raises(ValueError, match="layers 0 to 4"), editing(vlm, [(2, torch.neg), (5, torch.neg)]):
        pass
    assert torch.equal(run(vlm, batch), clean) and interventions(vlm) == {}


@torch.no_grad()
def test_past_is_what_lies_in_the_cache_and_hooks_of_a_prompt_do_not_act_after_it(vlm):
    batch = vlm.batch([vlm.prompt("Hm?")], [picture(0)])
    length, seen, acted = batch["input_ids"].shape[1], [], []
    look, act = lambda state: seen.append(past(vlm)), lambda state: acted.append(tuple(state.shape))  # noqa: E731
    with editing(vlm, [(0, look), (4, look), *in_prompt(vlm, [(2, act), (4, act)])]):
        assert past(vlm) == 0
        run(vlm, batch)
        vlm.model.generate(**batch, max_new_tokens=3, do_sample=False, suppress_tokens=[0, 1])
        assert seen == [0, 0, 0, 0, length, length, length + 1, length + 1] and past(vlm) == 0
        assert acted == [(1, length, 32)] * 4
        with editing(vlm, [(3, lambda state: 1 / 0)]):
            with pytest.raises(ZeroDivisionError):
                vlm.model.generate(**batch, max_new_tokens=3)
        assert past(vlm) == 0  # forgotten after a pass that failed, too
    assert seen.pop() == 0
    run(vlm, batch)
    assert len(seen) == 8  # nothing of it is left


def test_numbers():
    assert check_numbers((3, 1, 3), 4, "block") == [1, 3] and check_numbers([], 4, "block") == []
    for bad in (4, -1, 1.0, "1", True, None):
        with pytest.raises(ValueError, match="this model has blocks 0 to 3") as error:
            check_numbers([0, bad], 4, "block")
        one_sentence(error.value)


def test_training_mode_is_refused(vlm, batch):
    vlm.model.train()
    with pytest.raises(ValueError, match="training mode") as error:
        run(vlm, batch)
    one_sentence(error.value)
