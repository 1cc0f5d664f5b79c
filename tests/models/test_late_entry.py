"""Entering at a block, against knockout and patching on the whole sequence: the same computation, done in full."""

import contextlib
import copy
import json

import pytest
import torch
from families import family
from small_models import logits, one_sentence, picture, tiny_vlm
from torch.utils.flop_counter import FlopCounterMode
from transformers import StaticCache

from paperlib.interventions.edits import bypass, knockout, patch
from paperlib.interventions.tracing import trace
from paperlib.models import late_entry as entry
from paperlib.models.adapters import add_lora
from paperlib.models.capture import token_states
from paperlib.models.parts import connector
from paperlib.models.token_sets import edge, tokens

DEPTH, SCALE = 4, 1.7
ATTENTION = pytest.mark.parametrize("attention", ["eager", "sdpa"])


@pytest.fixture(scope="module")
def shared():
    return tiny_vlm()


@pytest.fixture
def vlm(shared):
    """The shared tiny model, without an entry and with sdpa again after each test."""
    yield shared
    entry.remove(shared)
    shared.model.set_attn_implementation("sdpa")


def batch_of(vlm, padded: bool = True):
    """Pictures at other positions in each row; rows of different lengths if ``padded``."""
    prompts = ["ab<image>what is it?", "<image>who?" if padded else "<image>what is this?"]
    return vlm.batch(prompts, [picture(0), picture(1)])


def features(vlm, batch) -> torch.Tensor:
    return torch.stack(list(vlm.model.model.get_image_features(batch["pixel_values"]).pooler_output))


@contextlib.contextmanager
def in_full(vlm, image: torch.Tensor, states: torch.Tensor, block: int):
    """The oracle. image: bool [B, T]. states: the connector's, [B, n, D]."""
    places = [row.nonzero().flatten() for row in image]
    others = [(~row).nonzero().flatten() for row in image]
    with knockout(vlm, range(block), others, places), patch(vlm, block, places, list(states * SCALE)):
        yield


@torch.no_grad()
def stream(vlm, batch) -> tuple[list[torch.Tensor], torch.Tensor]:
    """What each block's first norm reads, and the logits."""
    found = []
    handles = [
        block.input_layernorm.register_forward_pre_hook(lambda m, args: found.append(args[0].clone()))
        for block in vlm.layers
    ]
    try:
        return found, logits(vlm.model, batch)
    finally:
        for handle in handles:
            handle.remove()


def close(a: torch.Tensor, b: torch.Tensor, limit: float = 1e-5) -> bool:
    return a.shape == b.shape and ((a - b).abs().max() <= limit * b.abs().max()).item()


# ---------------------------------------------------------------- the computation


@ATTENTION
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("block", range(1, DEPTH))
def test_it_is_the_whole_sequence_with_image_tokens_unseen_below_and_patched_in(vlm, block, padded, attention):
    vlm.model.set_attn_implementation(attention)
    batch = batch_of(vlm, padded)
    image = batch["input_ids"] == vlm.image_token_id
    ordinary = logits(vlm.model, batch)
    with torch.no_grad(), in_full(vlm, image, features(vlm, batch), block):
        states, expected = stream(vlm, batch)
    entry.install(vlm.model, block, SCALE)
    found, said = stream(vlm, batch)
    assert close(said, expected)
    assert not close(said, ordinary, 1e-3)  # the entry matters
    for i, (a, b) in enumerate(zip(found, states, strict=True)):
        b = b if i >= block else b[~image].view(len(b), -1, b.shape[-1])  # text alone, its places closed up
        assert close(a, b)


@ATTENTION
def test_a_decoder_called_by_itself_is_told_where_image_tokens_are(vlm, attention):
    """As training does it: packed conversations, with an additive mask and position ids of their own."""
    vlm.model.set_attn_implementation(attention)
    decoder, states, image, mask, positions, _ = packed(vlm)
    with torch.no_grad(), in_full(vlm, image, states[image].view(2, -1, states.shape[-1]), 2):
        expected = decoder(inputs_embeds=states, attention_mask=mask, position_ids=positions).last_hidden_state
    entry.install(vlm.model, 2, SCALE)
    with torch.no_grad(), entry.images(vlm.model, image):
        found = decoder(inputs_embeds=states, attention_mask=mask, position_ids=positions).last_hidden_state
        with torch.autocast("cpu", torch.bfloat16):
            rounded = decoder(inputs_embeds=states, attention_mask=mask, position_ids=positions).last_hidden_state
    assert close(found, expected) and close(rounded.float(), expected, 0.1)
    assert not torch.equal(rounded.float(), found)


@torch.no_grad()
def test_a_pass_may_stop_before_the_entry_and_go_on_there(vlm):
    """Training that keeps what a band reads runs the decoder in two parts: the kept states are whole sequences."""
    decoder, states, image, mask, positions, _ = packed(vlm)
    call, blocks, kept = {"attention_mask": mask, "position_ids": positions, "use_cache": False}, decoder.layers, []
    entry.install(vlm.model, 2, SCALE)
    with entry.images(vlm.model, image):
        expected = decoder(inputs_embeds=states, **call).last_hidden_state
    handle = decoder.norm.register_forward_pre_hook(lambda norm, args: kept.append(args[0]))
    try:
        decoder.layers = blocks[:2]
        with entry.images(vlm.model, image):
            decoder(inputs_embeds=states, **call)
        decoder.layers = blocks[2:]
        found = decoder(inputs_embeds=kept[0], **call).last_hidden_state  # nothing to tell: they have entered
    finally:
        decoder.layers = blocks
        handle.remove()
    assert torch.equal(found, expected)
    assert torch.equal(kept[0][image], states[image] * SCALE)


def packed(vlm, learn: bool = False):
    """Decoder, its input, where image tokens are in it, mask and positions; two branches behind each picture."""
    batch = batch_of(vlm, padded=False)
    ids, mask = batch["input_ids"], torch.full((2, 1, *[batch["input_ids"].shape[1]] * 2), -1e30).triu(1)
    mask[..., -5:, -9:-5] = -1e30  # the last five tokens don't see the four before
    positions = torch.arange(ids.shape[1]).expand_as(ids).clone()
    positions[:, -5:] -= 4
    image = ids == vlm.image_token_id
    with torch.set_grad_enabled(learn):
        words = vlm.model.get_input_embeddings()(ids)
        states = words.masked_scatter(image[..., None], features(vlm, batch))
    return vlm.model.get_decoder(), states, image, mask, positions, batch


def test_block_0_is_the_model_as_it_was(vlm):
    batch = batch_of(vlm)
    ordinary = logits(vlm.model, batch)
    entry.install(vlm.model, 0, entry.measure_scale(vlm, batch, 0))
    assert torch.equal(logits(vlm.model, batch), ordinary)


def test_text_alone_is_as_it_was(vlm):
    batches = [vlm.batch(["What is it?", "Who?"], None), batch_of(vlm)]
    del batches[1]["pixel_values"]  # without a picture, "<image>" is a word like others
    ordinary = [logits(vlm.model, batch) for batch in batches]
    entry.install(vlm.model, 2, SCALE)
    assert all(torch.equal(logits(vlm.model, batch), said) for batch, said in zip(batches, ordinary))


def test_removal_restores_the_model_and_the_weights_keep_their_names(vlm):
    batch, names = batch_of(vlm), list(vlm.model.state_dict())
    ordinary = logits(vlm.model, batch)
    entry.install(vlm.model, 2, SCALE)
    first = logits(vlm.model, batch)
    assert list(vlm.model.state_dict()) == names and torch.equal(logits(vlm.model, batch), first)
    entry.remove(vlm.model)
    entry.remove(vlm.model)  # nothing to do
    assert torch.equal(logits(vlm.model, batch), ordinary) and entry.entry_of(vlm) is None


def test_an_error_within_a_pass_leaves_nothing_behind(vlm, monkeypatch):
    batch, blocks = batch_of(vlm), list(vlm.layers)
    entry.install(vlm.model, 2, SCALE)
    first = logits(vlm.model, batch)

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(vlm.layers[1].mlp, "forward", stop)
    with pytest.raises(KeyboardInterrupt):
        logits(vlm.model, batch)
    monkeypatch.undo()
    assert list(vlm.layers) == blocks and torch.equal(logits(vlm.model, batch), first)


def test_a_copy_has_an_entry_of_its_own(vlm):
    batch = batch_of(vlm)
    ordinary, mine = logits(vlm.model, batch), entry.install(vlm.model, 2, SCALE)
    other = copy.deepcopy(vlm)
    assert entry.entry_of(other) is not mine and entry.entry_of(vlm) is mine
    entry.remove(other)
    assert torch.equal(logits(other.model, batch), ordinary)
    assert not close(logits(vlm.model, batch), ordinary, 1e-3)


def test_lora_before_or_after_makes_no_difference():
    batch, found = batch_of(tiny_vlm()), []
    for first in (True, False):
        vlm = tiny_vlm()
        if first:
            mine = entry.install(vlm, 2, SCALE)
        torch.manual_seed(0)
        vlm.model = add_lora(vlm.model, 2, [1, 2])
        for name, weight in vlm.model.named_parameters():
            torch.nn.init.normal_(weight, std=0.1) if "lora_" in name else None
        if not first:
            mine = entry.install(vlm.model, 2, SCALE)
        assert entry.entry_of(vlm) is entry.entry_of(vlm.model) is entry.entry_of(vlm.model.get_base_model()) is mine
        found.append(logits(vlm.model, batch))
    assert torch.equal(*found)
    merged = vlm.model.merge_and_unload()
    assert entry.entry_of(merged) is mine and close(logits(merged, batch), found[0])


# ---------------------------------------------------------------- training


def gradients(vlm, train, around, states) -> dict[str, torch.Tensor]:
    decoder, _, image, mask, positions, _ = packed(vlm)
    names = {name: p for name, p in vlm.model.named_parameters() if train(name)}
    with around:
        output = decoder(inputs_embeds=states, attention_mask=mask, position_ids=positions).last_hidden_state
    weights = torch.linspace(-1, 1, output.numel()).view_as(output)
    found = torch.autograd.grad((output * weights).sum(), list(names.values()), allow_unused=True)
    return dict(zip(names, found))


@ATTENTION
@pytest.mark.parametrize("words", [False, True])
def test_the_connector_learns_as_on_the_whole_sequence(attention, words):
    vlm = tiny_vlm()
    vlm.model.set_attn_implementation(attention)
    vlm.model.requires_grad_(False)
    connector(vlm.model).requires_grad_(True)
    vlm.model.get_input_embeddings().weight.requires_grad_(words)
    vlm.layers[2].requires_grad_(True)

    def train(name):
        return "projector" in name or "layers.2" in name and "vision" not in name or words and "embed_tokens" in name

    states, image, batch = (packed(vlm, learn=True)[i] for i in (1, 2, 5))
    expected = gradients(vlm, train, in_full(vlm, image, features(vlm, batch), 2), states)
    mine, below = entry.install(vlm.model, 2, SCALE), []
    handle = vlm.layers[1].register_forward_hook(lambda block, args, output: below.append(output.requires_grad))
    found = gradients(vlm, train, mine.images(image), packed(vlm, learn=True)[1])
    handle.remove()
    assert found.keys() == expected.keys() and len(found) > 10
    for name, gradient in found.items():
        assert gradient.norm() > 1e-4 and close(gradient, expected[name], 1e-4), name
    assert below == [words]  # no backward pass below the entry unless words learn


def test_blocks_below_the_entry_learn_too():
    vlm = tiny_vlm()
    vlm.model.requires_grad_(False)
    vlm.layers[0].requires_grad_(True)
    decoder, states, image, mask, positions, batch = packed(vlm)
    whole = in_full(vlm, image, features(vlm, batch).detach(), 2)
    expected = gradients(vlm, lambda name: "language_model.layers.0" in name, whole, states)
    found = gradients(
        vlm, lambda name: "language_model.layers.0" in name, entry.install(vlm.model, 2, SCALE).images(image), states
    )
    assert all(close(found[name], expected[name], 1e-4) for name in expected) and expected


@pytest.mark.parametrize("block", [1, 3])
def test_image_tokens_cost_nothing_below(vlm, block):
    vlm.model.set_attn_implementation("eager")
    batch = batch_of(vlm)
    rows, length = batch["input_ids"].shape
    text = length - int((batch["input_ids"][0] == vlm.image_token_id).sum())

    def flops() -> int:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            vlm.model.model(**batch, use_cache=False)
        return counter.get_total_flops()

    def of_a_block(n: int) -> int:  # width 32, keys and values 16 wide, MLP 64: projections, then attention
        return rows * (2 * n * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64) + 2 * 2 * n * n * 32)

    before = flops()
    entry.install(vlm.model, block, SCALE)
    assert before - flops() == block * (of_a_block(length) - of_a_block(text)) > 0


def test_compiled_blocks_compute_the_same(vlm):
    vlm = copy.deepcopy(vlm)
    batch = batch_of(vlm)
    entry.install(vlm.model, 2, SCALE)
    expected, graphs = logits(vlm.model, batch), []

    def count(graph, inputs):
        graphs.append(graph)
        return graph.forward

    for block in vlm.layers:
        block.compile(dynamic=False, backend=count)
    for _ in range(2):
        assert close(logits(vlm.model, batch), expected)
    assert len(graphs) == DEPTH  # each block once and whole


# ---------------------------------------------------------------- generation


@ATTENTION
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("block", [1, 3])
def test_generation_with_a_cache_is_generation_without(vlm, block, padded, attention):
    vlm.model.set_attn_implementation(attention)
    batch = batch_of(vlm, padded)
    entry.install(vlm.model, block, SCALE)
    runs = [
        vlm.model.generate(
            **batch,
            max_new_tokens=12,
            do_sample=False,
            use_cache=cached,
            output_logits=True,
            suppress_tokens=[0, 1, vlm.image_token_id],
            return_dict_in_generate=True,
        )
        for cached in (True, False)
    ]
    assert torch.equal(runs[0].sequences, runs[1].sequences) and len(runs[0].logits) == 12
    assert all(close(a, b) for a, b in zip(runs[0].logits, runs[1].logits))
    whole = batch["attention_mask"].all(1)  # generation counts the positions of padding in another way
    assert whole[0] and close(runs[0].logits[0][whole], logits(vlm.model, batch)[whole, -1])
    lengths = {layer.keys.shape[2] for layer in runs[0].past_key_values.layers}
    assert lengths == {batch["input_ids"].shape[1] + 11}


def test_beams_and_a_cache_made_by_the_decoder(vlm):
    batch = batch_of(vlm, padded=False)
    entry.install(vlm.model, 2, SCALE)
    beams = [
        vlm.model.generate(
            **batch,
            max_new_tokens=6,
            num_beams=3,
            do_sample=False,
            use_cache=cached,
            suppress_tokens=[0, 1, vlm.image_token_id],
        )
        for cached in (True, False)
    ]
    assert torch.equal(*beams)
    with torch.no_grad():
        cache = vlm.model(**batch, use_cache=True).past_key_values
        new = torch.full((2, 3), 40)  # three tokens at once, see each other in their order only
        found = vlm.model(input_ids=new, past_key_values=cache).logits
        whole = batch | {"input_ids": torch.cat([batch["input_ids"], new], 1)}
        whole["attention_mask"] = torch.ones_like(whole["input_ids"])
        assert close(found, logits(vlm.model, whole)[:, -3:])


def test_it_answers(vlm):
    pictures, questions = [picture(0), picture(1), picture(2)], ["Who?", "Why?", "What is it?"]
    entry.install(vlm.model, 2, SCALE)
    together = vlm.answers(pictures, questions, 4)
    assert together == [vlm.answer(p, q, 4) for p, q in zip(pictures, questions)]


# ---------------------------------------------------------------- the scale


@torch.no_grad()
def test_with_scale_1_it_is_the_bypass_of_the_interventions(vlm):
    batch = batch_of(vlm)
    with bypass(vlm, tokens(vlm, batch, "image"), enter=2, visible=False):
        expected = logits(vlm.model, batch)
    entry.install(vlm.model, 2)
    assert close(logits(vlm.model, batch), expected)


@torch.no_grad()
def test_the_scale_brings_image_tokens_to_the_norm_of_text(vlm):
    batch = batch_of(vlm)
    image = batch["input_ids"] == vlm.image_token_id
    with knockout(vlm, range(2), [(~row).nonzero().flatten() for row in image], tokens(vlm, batch, "image")):
        state = stream(vlm, batch)[0][2]
    text = [
        state[b, t].norm() for b in range(2) for t in range(1, int(batch["attention_mask"][b].sum())) if not image[b, t]
    ]
    expected = torch.stack(text).median() / features(vlm, batch).norm(dim=-1).mean()
    ordinary = logits(vlm.model, batch)
    assert entry.measure_scale(vlm, batch, 2) == pytest.approx(expected.item(), rel=1e-5)
    assert abs(expected - 1) > 0.05 and torch.equal(logits(vlm.model, batch), ordinary)  # none is left behind
    assert entry.measure_scale(vlm, batch, 0) == 1.0


# ---------------------------------------------------------------- files


def test_an_entry_is_saved_and_loaded(vlm, tmp_path):
    batch, mine = batch_of(vlm), entry.install(vlm.model, 2, 1 / 3)
    expected = logits(vlm.model, batch)
    entry.save(tmp_path, mine)
    assert json.loads((tmp_path / "entry.json").read_text()) == {"enter": 2, "scale": 1 / 3}
    entry.remove(vlm.model)
    again = entry.load(tmp_path, vlm.model)
    assert entry.entry_of(vlm) is again and (again.block, again.scale) == (2, 1 / 3)
    assert torch.equal(logits(vlm.model, batch), expected)
    entry.remove(vlm.model)
    entry.save(tmp_path, None)  # what was there is another model's
    assert entry.load(tmp_path, vlm.model) is None and entry.entry_of(vlm) is None


@pytest.mark.parametrize(
    "text, said",
    [
        ("{", "cannot be read"),
        ("[1]", "must hold"),
        ('{"enter": 2}', "must hold"),
        ('{"enter": 4, "scale": 1}', "blocks 0 to 3"),
        ('{"enter": 2.0, "scale": 1}', "blocks 0 to 3"),
        ('{"enter": 2, "scale": NaN}', "finite"),
        ('{"enter": 2, "scale": "1"}', "finite"),
    ],
)
def test_damaged_files_are_refused(vlm, tmp_path, text, said):
    (tmp_path / "entry.json").write_text(text)
    with pytest.raises(ValueError, match=said) as caught:
        entry.load(tmp_path, vlm.model)
    assert one_sentence(caught.value) and entry.entry_of(vlm) is None


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "block, scale, said",
    [
        (DEPTH, 1.0, "blocks 0 to 3"),
        (-1, 1.0, "blocks 0 to 3"),
        (True, 1.0, "blocks 0 to 3"),
        (2, 0.0, "finite"),
        (2, float("inf"), "finite"),
        (2, -1.0, "finite"),
        (0, 2.0, "must be 1"),
    ],
)
def test_entries_that_cannot_be_are_refused(vlm, block, scale, said):
    with pytest.raises(ValueError, match=said) as caught:
        entry.install(vlm.model, block, scale)
    assert one_sentence(caught.value) and entry.entry_of(vlm) is None


def test_a_second_entry_and_other_families_are_refused(vlm):
    entry.install(vlm.model, 2)
    for model in (vlm.model, family("qwen3-vl")[0].model):
        with pytest.raises(ValueError) as caught:
            entry.install(model, 1)
        one_sentence(caught.value)
    assert entry.entry_of(vlm).block == 2


def test_passes_that_cannot_be_are_refused(vlm):
    batch, text = batch_of(vlm), vlm.batch(["What is it?"] * 2, None)
    decoder, states, image, mask, positions, _ = packed(vlm)
    traced = trace(vlm, batch, at=[1, 2])
    with pytest.raises(ValueError, match="give a batch with pictures"):
        entry.measure_scale(vlm, text, 2)
    with torch.no_grad():
        cache = vlm.model(**text, use_cache=True).past_key_values
    whole = entry.install(vlm.model, 2, SCALE)
    logits(vlm.model, batch)  # knows where image tokens are, for as long as it runs
    ragged, static = image.clone(), StaticCache(vlm.model.config.text_config, max_cache_len=200)
    ragged[0, image[0].nonzero()[0]] = False

    def told(where, **kwargs):
        with whole.images(where):
            return decoder(inputs_embeds=states, position_ids=positions, **kwargs)

    for said, call in {
        "does not know": lambda: decoder(inputs_embeds=states, attention_mask=mask, position_ids=positions),
        "same number": lambda: told(ragged, attention_mask=mask),
        "same batch": lambda: told(image[:, :-1], attention_mask=mask),
        "first pass": lambda: vlm.model(**batch | {"attention_mask": None}, past_key_values=cache),
        "DynamicCache": lambda: vlm.model(**batch, past_key_values=static),
        "started above": lambda: traced.resume(1),
    }.items():
        with torch.no_grad(), pytest.raises(ValueError, match=said) as caught:
            call()
        one_sentence(caught.value)


def test_layers_of_text_alone_are_not_captured_or_changed(vlm):
    batch = batch_of(vlm)
    entry.install(vlm.model, 2, SCALE)
    for call in (lambda: token_states(vlm, batch, [2, 1], "question"), lambda: stream_under_knockout(vlm, batch, 1)):
        with pytest.raises(ValueError, match="from layer 2 on") as caught:
            call()
        one_sentence(caught.value)
    entering = torch.stack([row[0] for row in token_states(vlm, batch, [2], "image")])
    assert close(entering, features(vlm, batch).detach() * SCALE)
    ordinary = logits(vlm.model, batch)
    assert not close(stream_under_knockout(vlm, batch, 2)[1], ordinary, 1e-3)
    traced = trace(vlm, batch, at=[2, 3])
    assert torch.equal(traced.resume(2), traced.output) and torch.equal(traced.resume(3), traced.output)


def stream_under_knockout(vlm, batch, block: int):
    with knockout(vlm, [block], *edge(vlm, batch, "image->question")):
        return stream(vlm, batch)
