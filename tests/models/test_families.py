"""Capture, interventions and resuming on every family: exact, and the same with eager attention as with sdpa.

What a decoder block reads is recorded here at its `input_layernorm`, away from the hooks under test.
"""

import contextlib
import copy
from functools import lru_cache

import pytest
import torch
from families import FAMILIES, LAYERS, other_picture
from families import family as cached_family
from families import row as row_alone

from paperlib.interventions.edits import bypass, knockout, patch, random_change, transplant
from paperlib.interventions.tracing import trace
from paperlib.models.capture import POSITIONS, states, token_states
from paperlib.models.token_sets import EDGES, edge, tokens
from paperlib.models.vlm import VLM, Batch

# PaliGemma's prefix (picture and question) attends in both directions, so its image tokens see the question. Gemma 3's
# image tokens see each other in both directions. Qwen3-VL adds visual features to image tokens after blocks 0 and 1.
PREFIX, BOTH_WAYS, INJECTED = {"paligemma"}, {"paligemma", "gemma-3"}, {"qwen3-vl": 2}
DEEPER = pytest.mark.parametrize("block", range(LAYERS))


@pytest.fixture(params=FAMILIES)
def name(request):
    return request.param


def family(name: str, attention: str = "sdpa") -> tuple[VLM, Batch]:
    return cached_family(name, attention)  # the cache tells a default from the same argument given


@lru_cache
def donor(name: str, attention: str = "sdpa") -> VLM:
    """The same family with other weights in its blocks."""
    vlm = copy.deepcopy(family(name, attention)[0])
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in vlm.layers.parameters():
            weight.copy_(weight * (1 + torch.randn(weight.shape, generator=generator) / 2))
    return vlm


@torch.no_grad()
def stream(vlm, batch) -> torch.Tensor:
    """What each block reads, and what the last one returns: [L + 1, B, T, D]."""
    found = []
    handles = [
        block.input_layernorm.register_forward_pre_hook(lambda m, args: found.append(args[0].clone()))
        for block in vlm.layers
    ]
    handles.append(vlm.layers[-1].register_forward_hook(lambda m, args, output: found.append(output.clone())))
    try:
        vlm.model(**batch)
    finally:
        for handle in handles:
            handle.remove()
    return torch.stack(found)


@torch.no_grad()
def logits(vlm, batch) -> torch.Tensor:
    return vlm.model(**batch).logits


def interventions(name: str, attention: str = "sdpa"):
    """{kind: number of a block -> context manager that acts from this block on, or from block 0 for "enter ..."}."""
    vlm, batch = family(name, attention)
    image = tokens(vlm, batch, "image")
    there = token_states(vlm, other_picture(batch), range(LAYERS + 1))
    return {
        **{e: lambda i, e=e: knockout(vlm, [i, LAYERS - 1], *edge(vlm, batch, e)) for e in EDGES},
        "transplant": lambda i: transplant(vlm, donor(name, attention), [i]),
        "random change": lambda i: random_change(vlm, donor(name, attention), [i], seed=3),
        "leave": lambda i: bypass(vlm, image, leave=i),
        "patch": lambda i: patch(vlm, i, image, [row[i] for row in there]),
        "patch at the end": lambda i: patch(vlm, LAYERS, image, [row[i] for row in there]),
    } | {
        "enter": lambda i: bypass(vlm, image, enter=2),
        "enter unseen": lambda i: bypass(vlm, image, 2, visible=False),
        "enter, leave": lambda i: bypass(vlm, image, 1, 2),
    }


def mask(batch, positions=None) -> torch.Tensor:
    """bool [B, T]: tokens that are not padding, or those of a set."""
    if positions is None:
        return batch["attention_mask"].bool()
    inside = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
    for row, p in zip(inside, positions):
        row[p] = True
    return inside


def moved(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """bool [..., B, T]: where two streams differ."""
    return (a - b).abs().amax(-1) > 1e-5


# ---------------------------------------------------------------- capture


def test_capture_is_output_hidden_states(name):
    vlm, batch = family(name)
    with torch.no_grad():
        hidden = list(vlm.model(**batch, output_hidden_states=True).hidden_states)
    truth = stream(vlm, batch)
    hidden[-1] = truth[-1]  # transformers' is after the final norm
    found = states(vlm, batch, POSITIONS)
    for position, values in found.items():
        assert values.shape == (3, LAYERS + 1, 32) and values.dtype == torch.float32
        for row, span in enumerate(vlm.spans(batch)):
            at = {"image": span.image, "answer": span.question[-1:], "text": span.answer}[position.split()[0]]
            if position.endswith("last"):
                at = at[-1:]
            for layer in range(LAYERS + 1):
                torch.testing.assert_close(values[row, layer], truth[layer, row, at].mean(0))
                injected = position.startswith("image") and 1 <= layer <= INJECTED.get(name, 0)
                same = torch.allclose(values[row, layer], hidden[layer][row, at].mean(0), atol=1e-5)
                assert same != injected, (position, layer)


def test_token_states(name):
    vlm, batch = family(name)
    truth = stream(vlm, batch)
    for kind, attribute in (("image", "image"), ("text", "answer")):
        found = token_states(vlm, batch, [3, 0, LAYERS], kind)
        for row, span in enumerate(vlm.spans(batch)):
            assert torch.equal(found[row], truth[[3, 0, LAYERS], row][:, getattr(span, attribute)])


# ---------------------------------------------------------------- no-ops


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_no_ops_reproduce_the_logits(name, attention):
    vlm, batch = family(name, attention)
    clean, image = logits(vlm, batch), tokens(vlm, batch, "image")
    own = token_states(vlm, batch, range(LAYERS + 1))
    no_ops = [
        knockout(vlm, [], *edge(vlm, batch, "image->answer")),
        transplant(vlm, vlm, range(LAYERS)),
        transplant(vlm, donor(name, attention), []),
        random_change(vlm, vlm, range(LAYERS)),
        bypass(vlm, image),
        bypass(vlm, image, visible=False),
        *(patch(vlm, layer, image, [row[layer] for row in own]) for layer in range(LAYERS + 1)),
    ]
    for no_op in no_ops:
        with no_op:
            assert torch.equal(logits(vlm, batch), clean)
    # Pairs that no family but PaliGemma leaves open: picture tokens look at the question that follows.
    with knockout(vlm, range(LAYERS), image, tokens(vlm, batch, "question")):
        same = torch.allclose(logits(vlm, batch), clean, atol=1e-5)
    assert same == (name not in PREFIX)


def test_everything_is_undone_even_on_error(name):
    vlm, batch = family(name)
    clean, hooks = (
        logits(vlm, batch),
        lambda: [len(m._forward_pre_hooks) + len(m._forward_hooks) for m in vlm.model.modules()],
    )
    before, weights = hooks(), {n: id(p) for n, p in vlm.model.named_parameters()}
    for kind, make in interventions(name).items():
        with pytest.raises(KeyError), make(1):
            assert not torch.equal(logits(vlm, batch), clean), kind
            raise KeyError
        assert hooks() == before and {n: id(p) for n, p in vlm.model.named_parameters()} == weights
        assert torch.equal(logits(vlm, batch), clean), kind


# ---------------------------------------------------------------- active edits, one by one


@DEEPER
@pytest.mark.parametrize("way", EDGES)
def test_knockout_closes_its_edges_and_nothing_else(name, way, block):
    """Attention weights of the block: those of a clean pass, without the closed edges, made to sum to 1 again."""
    vlm, batch = family(name, "eager")
    queries, keys = edge(vlm, batch, way)
    with torch.no_grad():
        clean = vlm.model(**batch, output_attentions=True).attentions
        before = stream(vlm, batch)
        with knockout(vlm, [block], queries, keys):
            cut = vlm.model(**batch, output_attentions=True).attentions
            after = stream(vlm, batch)
    expected, asked = clean[block].clone(), []
    for row, (q, k) in enumerate(zip(queries, keys)):
        looks = expected[row][:, q[:, None], k].sum((0, 2)) > 0
        assert looks.all() or name == "gemma-3" and block % 2 == 0  # its sliding window doesn't reach back so far
        asked.append(q[looks])
        expected[row][:, q[:, None], k] = 0
        assert (cut[block][row][:, q[:, None], k] == 0).all()
    torch.testing.assert_close(cut[block], expected / expected.sum(-1, keepdim=True), rtol=1e-4, atol=1e-6)
    assert all(torch.equal(cut[i], clean[i]) for i in range(block))

    differ = moved(before, after) & mask(batch)
    assert not differ[: block + 1].any() and torch.equal(differ[block + 1], mask(batch, asked))
    first = torch.tensor([int(q.min()) for q in queries])[:, None]
    earlier = torch.arange(differ.shape[-1]) < first
    assert differ[:, earlier].any() == (name in PREFIX and block <= LAYERS - 2)


def test_knockout_of_a_row_alone_is_that_of_the_batch(name):
    """Without padding, sdpa has no mask that could be edited, but in families that attend in both directions."""
    vlm, batch = family(name)
    alone, masks = row_alone(batch, 1), []
    handle = vlm.layers[1].register_forward_pre_hook(
        lambda m, args, call: masks.append(call["attention_mask"]), with_kwargs=True
    )
    clean = logits(vlm, alone)
    handle.remove()
    assert (masks[0] is None) == (name not in BOTH_WAYS)
    for way in EDGES:
        with knockout(vlm, [1, 2], *edge(vlm, batch, way)):
            together = logits(vlm, batch)[1, : clean.shape[1]]
        with knockout(vlm, [1, 2], *edge(vlm, alone, way)):
            found = logits(vlm, alone)
        torch.testing.assert_close(found[0], together, rtol=1e-3, atol=1e-4)
        assert not torch.allclose(found, clean, atol=1e-2)


@DEEPER
def test_leaving_image_tokens_stay(name, block):
    vlm, batch = family(name)
    image = tokens(vlm, batch, "image")
    before = stream(vlm, batch)
    with bypass(vlm, image, leave=block):
        after = stream(vlm, batch)
    pictured, differ = mask(batch, image), moved(before, after) & mask(batch)
    for layer in range(block, LAYERS + 1):
        assert torch.equal(after[layer][pictured], before[block][pictured])
    assert not differ[: block + 1].any()
    assert not (differ[block + 1] & ~pictured).any()  # block `block` still read what it reads
    if block + 2 <= LAYERS:
        assert (differ[block + 2] & ~pictured).any()  # and the next one read the old state


@pytest.mark.parametrize("enter", range(1, LAYERS + 1))
def test_entering_image_tokens_wait(name, enter):
    vlm, batch = family(name)
    image = tokens(vlm, batch, "image")
    before = stream(vlm, batch)
    with bypass(vlm, image, enter=enter):
        after = stream(vlm, batch)
    pictured, differ = mask(batch, image), moved(before, after) & mask(batch)
    for layer in range(enter + 1):
        assert torch.equal(after[layer][pictured], before[0][pictured])
    if enter < LAYERS:
        assert moved(after[enter], after[enter + 1])[pictured].all()
    assert not (differ[1] & ~pictured).any() and not differ[0].any()
    assert (differ[2] & ~pictured).any()


def test_entering_unseen_is_as_if_the_image_were_not_there(name):
    """Against a pass in which the picture's tokens count as padding, up to where they enter."""
    vlm, batch = family(name)
    image = tokens(vlm, batch, "image")
    pictured = mask(batch, image)
    rest = ~pictured & mask(batch)
    clean = stream(vlm, batch)
    with bypass(vlm, image, enter=2, visible=False):
        after = stream(vlm, batch)
    assert torch.equal(after[2][pictured], clean[0][pictured])
    assert moved(after[1], clean[1])[rest].any()
    args, call = trace(vlm, batch, []).call
    given, hidden = call["attention_mask"], pictured[:, None, None, :]
    if isinstance(given, dict):  # Gemma 3: masks by kind of block
        given = {kind: grid & ~hidden for kind, grid in given.items()}
    else:  # PaliGemma's is of queries by keys, others say which tokens are padding
        given = given & ~hidden if given.ndim == 4 else given * ~pictured
    call, found = call | {"attention_mask": given}, []
    handle = vlm.layers[2].input_layernorm.register_forward_pre_hook(lambda m, a: found.append(a[0]))
    with torch.no_grad():
        vlm.model.get_decoder()(*args, **call)
    handle.remove()
    torch.testing.assert_close(after[2][rest], found[0][rest], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", range(LAYERS + 1))
def test_patching_changes_its_positions_and_what_follows(name, layer):
    vlm, batch = family(name)
    one = [p[2:3] for p in tokens(vlm, batch, "image")]
    new = [torch.full((1, 32), 0.5 + row) for row in range(3)]
    before = stream(vlm, batch)
    with patch(vlm, layer, one, new):
        after = stream(vlm, batch)
    differ, there = moved(before, after), mask(batch, one)
    expected = before[layer].clone()
    expected[there] = torch.cat(new)
    if layer < LAYERS:
        assert torch.equal(after[layer], expected) and not differ[:layer].any()
        assert differ[layer + 1][there].all()
    earlier = torch.arange(there.shape[1]) < torch.tensor([int(p) for p in one])[:, None]
    assert differ[:, earlier].any() == (name in BOTH_WAYS and layer < LAYERS)


@DEEPER
def test_patching_the_whole_picture_is_seeing_another(name, block):
    """All that two runs with different pictures can differ in, carried over: the answer is that of the other."""
    vlm, batch = family(name)
    other = other_picture(batch)
    truth = stream(vlm, other)
    everywhere = [row.nonzero().flatten() for row in mask(batch)]
    with patch(vlm, block, everywhere, [truth[block, i, p] for i, p in enumerate(everywhere)]):
        found = logits(vlm, batch)
    same = torch.allclose(found[mask(batch)], logits(vlm, other)[mask(batch)], atol=1e-4)
    assert same == (block >= INJECTED.get(name, 0))  # below, this run's own picture is still to be added
    assert not torch.allclose(logits(vlm, batch)[mask(batch)], logits(vlm, other)[mask(batch)], atol=1e-2)


@DEEPER
def test_transplant_is_a_model_with_those_weights(name, block):
    vlm, batch = family(name)
    built = copy.deepcopy(vlm)
    built.layers[block].load_state_dict(donor(name).layers[block].state_dict())
    with transplant(vlm, donor(name), [block]):
        found = stream(vlm, batch)
        assert torch.equal(logits(vlm, batch), logits(built, batch))
    clean = stream(vlm, batch)
    assert torch.equal(found[: block + 1], clean[: block + 1])
    assert moved(found[block + 1], clean[block + 1])[mask(batch)].all()


# ---------------------------------------------------------------- eager and sdpa; resuming


def test_eager_and_sdpa_agree(name):
    (eager, batch), (sdpa, _) = family(name, "eager"), family(name)
    assert eager.model.get_decoder().config._attn_implementation == "eager"
    assert sdpa.model.get_decoder().config._attn_implementation == "sdpa"
    real, pairs = mask(batch), (interventions(name, "eager"), interventions(name))
    for kind in pairs[0]:
        with pairs[0][kind](1), pairs[1][kind](1):
            torch.testing.assert_close(logits(eager, batch)[real], logits(sdpa, batch)[real], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_resuming_is_the_full_computation(name, attention):
    vlm, batch = family(name, attention)
    traced = trace(vlm, batch, range(LAYERS))
    assert torch.equal(traced.output, traced.full())
    calls = []
    handles = [module.register_forward_hook(lambda *_, i=i: calls.append(i)) for i, module in enumerate(vlm.layers)]
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: [handle.remove() for handle in handles])
        for start in range(LAYERS):
            calls.clear()
            assert torch.equal(traced.resume(start), traced.output)
            assert calls == list(range(start, LAYERS))
        for kind, make in interventions(name, attention).items():
            for start in [0] if kind.startswith("enter") else [1, LAYERS - 1] if attention == "sdpa" else [2]:
                with make(start):
                    full = traced.full()
                    assert not torch.equal(full, traced.output), kind
                    assert all(torch.equal(traced.resume(s), full) for s in {0, start}), kind
    assert torch.equal(traced.full(), traced.output)
