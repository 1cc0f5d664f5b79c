"""Resuming a traced pass: what runs, what is refused, blocks that return tuples. Exactness on every family is in
test_families.py."""

from types import SimpleNamespace

import pytest
import torch
from small_models import one_sentence, picture, tiny_vlm, weights
from torch import nn

from paperlib.interventions.edits import bypass, knockout, patch, transplant
from paperlib.interventions.tracing import trace
from paperlib.models.adapters import add_lora
from paperlib.models.residual import editing
from paperlib.models.token_sets import edge, tokens
from paperlib.models.vlm import VLM


@pytest.fixture
def vlm():
    return tiny_vlm()


@pytest.fixture
def batch(vlm):
    return vlm.batch([vlm.prompt("Hm?"), vlm.prompt("What is it?")], [picture(0), picture(1)], ["a dog", "x"])


def test_a_trace_is_the_models_own_pass(vlm, batch):
    traced = trace(vlm, batch, at=[3, 1])
    with torch.no_grad():
        out = vlm.model.model(**batch, output_hidden_states=True)
    assert torch.equal(traced.output, out.last_hidden_state)
    assert list(traced.states) == [1, 3]
    assert all(torch.equal(state, out.hidden_states[layer]) for layer, state in traced.states.items())
    assert not traced.output.requires_grad and not traced.resume(1).requires_grad


def test_resuming_runs_no_lower_block_and_no_vision_tower(vlm, batch):
    traced, calls = trace(vlm, batch, at=range(4)), []
    modules = {"tower": vlm.model.model.vision_tower, **dict(enumerate(vlm.layers))}
    for name, module in modules.items():
        module.register_forward_hook(lambda *_, name=name: calls.append(name))
    traced.resume(2)
    assert calls == [2, 3]
    traced.full()
    assert calls == [2, 3, "tower", 0, 1, 2, 3]


def test_the_model_is_as_it_was(vlm, batch):
    blocks, before = vlm.layers, weights(vlm.model)
    traced = trace(vlm, batch, at=[2])
    traced.resume(2)
    vlm.layers[3].register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        traced.resume(2)
    with pytest.raises(ZeroDivisionError):
        trace(vlm, batch, at=[2])
    assert vlm.layers is blocks and list(weights(vlm.model)) == list(before)
    for i, block in enumerate(blocks):
        assert len(block._forward_pre_hooks) == (i == 3) and not block._forward_hooks
    assert not vlm.model.get_decoder()._forward_pre_hooks


def test_other_blocks_may_be_traced_in_other_passes(vlm, batch):
    """Traces don't disturb each other, and each belongs to its batch."""
    other = vlm.batch([vlm.prompt("Why?")], [picture(5)])
    first, second = trace(vlm, batch, at=[1]), trace(vlm, other, at=[1, 2])
    assert torch.equal(first.resume(1), first.output) and torch.equal(second.resume(2), second.output)
    assert first.output.shape != second.output.shape


class Block(nn.Module):
    """Returns a tuple, as in families whose blocks hand on more than the state."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, state):
        return state + torch.tanh(self.linear(state)), "more"


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(Block() for _ in range(6))

    def forward(self, inputs_embeds):
        state = inputs_embeds
        for block in self.layers:
            state = block(state)[0]
        return SimpleNamespace(last_hidden_state=state)


def test_blocks_that_return_tuples():
    decoder = Decoder()
    core = SimpleNamespace(
        config=SimpleNamespace(get_text_config=lambda: SimpleNamespace(hidden_size=8)),
        get_decoder=lambda: decoder,
        training=False,
        modules=decoder.modules,
        model=lambda embeds, use_cache: decoder(embeds),
    )
    vlm, embeds = VLM("tuples", core, None), torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    traced = trace(vlm, {"embeds": embeds}, at=range(6))
    assert torch.equal(traced.output, decoder(embeds).last_hidden_state)
    for start in range(6):
        assert torch.equal(traced.resume(start), traced.output)
        with patch(vlm, 6, [torch.tensor([1])] * 2, [torch.ones(1, 8)] * 2):
            found = traced.resume(start)
        assert (found[:, 1] == 1).all() and torch.equal(found[:, 2:], traced.output[:, 2:])


def test_with_adapters_that_are_not_merged(vlm, batch):
    vlm.model = add_lora(vlm.model, 2, [1, 2])
    with torch.no_grad():
        for name, p in vlm.model.named_parameters():
            if "lora_B" in name:
                p += 0.1
    traced = trace(vlm, batch, at=range(4))
    with knockout(vlm, [2], *edge(vlm, batch, "image->answer")):
        full = traced.full()
        assert torch.equal(traced.resume(2), full) and not torch.equal(full, traced.output)


def test_interventions_on_lower_blocks(vlm, batch):
    """Resuming above a block that isn't as it was in the trace would be wrong, whether something came or went."""
    image, traced = tokens(vlm, batch, "image"), trace(vlm, batch, at=range(4))
    lower = [
        knockout(vlm, [1, 3], *edge(vlm, batch, "image->answer")),
        transplant(vlm, tiny_vlm(1), [1]),
        bypass(vlm, image, leave=1),
        patch(vlm, 1, image, [torch.ones(len(p), 32) for p in image]),
    ]
    for intervention in lower:
        with intervention:
            with pytest.raises(ValueError, match="acts on block 1: resume there or below, not at block 2") as error:
                traced.resume(2)
            one_sentence(error.value)
            assert torch.equal(traced.resume(1), traced.full())
    with bypass(vlm, image, enter=1), pytest.raises(ValueError, match="acts on block 0"):
        traced.resume(1)
    with transplant(vlm, tiny_vlm(1), [1]):
        within = trace(vlm, batch, at=[3])
        with knockout(vlm, [3], *edge(vlm, batch, "image->answer")):  # the transplant is in the trace already
            assert torch.equal(within.resume(3), within.full())
    with pytest.raises(ValueError, match="acts on block 1"):
        within.resume(3)


@pytest.mark.parametrize("layer", [2, 3, 4])
def test_an_edit_made_only_through_editing_is_honoured(vlm, batch, layer):
    """A new intervention need not register anything: `editing` does, with the lowest layer that it hooks."""
    traced = trace(vlm, batch, at=range(4))
    with editing(vlm, [(4, lambda state: state + 1), (layer, lambda state: -state)]):
        full = traced.full()
        assert torch.equal(traced.resume(2), full) and not torch.allclose(full, traced.output)
        if layer == 2:
            with pytest.raises(ValueError, match="acts on block 2: resume there or below, not at block 3"):
                traced.resume(3)
        else:
            assert torch.equal(traced.resume(3), full)
    assert torch.equal(traced.resume(3), traced.output)


def test_bad_input(vlm, batch):
    for bad in (4, -1, 1.5, "2"):
        with pytest.raises(ValueError, match="blocks 0 to 3") as error:
            trace(vlm, batch, at=[0, bad])
        one_sentence(error.value)
    for bad in (0, 4, None):
        with pytest.raises(ValueError, match="was not traced: add it") as error:
            trace(vlm, batch, at=[1]).resume(bad)
        one_sentence(error.value)
    vlm.model.train()
    with pytest.raises(ValueError, match="training mode"):
        trace(vlm, batch, at=[1])
