"""FLOPs by formula: exactly those of torch's own counter, and numbers worked out by hand."""

from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from small_models import one_sentence
from torch import nn
from transformers import GPT2Config, LlamaConfig, LlamaForCausalLM, LlavaConfig

from paperlib.tuning.costs import Step, count_step
from paperlib.tuning.flops import LLAVA_7B, DecoderShape, Flops, prefill_flops, step_flops

SHAPE = DecoderShape(hidden=32, intermediate=48, heads=4, kv_heads=2, head_dim=12, depth=4, vocab=40)
TEXT, IMAGE, TARGETS, RANK = 7, 5, 3, 2
BANDS = {"low": [0, 1], "mid": [1, 2], "high": [3], "full": [0, 1, 2, 3], "sparse": [1, 3]}


class Decoder(nn.Module):
    """A Llama with some blocks tuned, run block by block; the image's tokens [1, n, D] are weights that stand for a
    connector, which may be tuned as well."""

    def __init__(self, shape, layers, rank=RANK, connector=False, image_tokens=IMAGE):
        super().__init__()
        self.llama = LlamaForCausalLM(
            LlamaConfig(
                hidden_size=shape.hidden,
                intermediate_size=shape.intermediate,
                num_hidden_layers=shape.depth,
                num_attention_heads=shape.heads,
                num_key_value_heads=shape.kv_heads,
                head_dim=shape.head_dim,
                vocab_size=shape.vocab,
                attn_implementation="eager",
            )
        ).requires_grad_(False)
        if layers and rank:
            names = rf"model\.layers\.({'|'.join(map(str, layers))})\..*_proj"
            get_peft_model(self.llama, LoraConfig(r=rank, target_modules=names))
        elif layers:
            for i in layers:
                self.llama.model.layers[i].requires_grad_(True)
        self.image = nn.Parameter(torch.zeros(1, image_tokens, shape.hidden), requires_grad=connector)

    def step(self, text_tokens=TEXT, enter=0, start=0, targets=TARGETS):
        """From block ``start`` on; what comes before it is taken as cached."""
        states = torch.zeros(1, text_tokens, self.image.shape[-1])
        if enter < start:
            states = torch.cat([torch.zeros_like(self.image), states], dim=1)
        longest = self.image.shape[1] + text_tokens
        cos, sin = self.llama.model.rotary_emb(states, torch.arange(longest)[None])
        mask = torch.full((1, 1, longest, longest), -1e9).triu(1)

        def loss(states=states):
            for i, block in list(enumerate(self.llama.model.layers))[start:]:
                if i == enter:
                    states = torch.cat([self.image, states], dim=1)
                n = states.shape[1]
                states = block(states, attention_mask=mask[..., :n, :n], position_embeddings=(cos[:, :n], sin[:, :n]))
            return self.llama.lm_head(self.llama.model.norm(states)[:, -targets:]).logsumexp(-1).sum()

        return Step(loss, self)


# ---------------------------------------------------------------- formula


@pytest.mark.parametrize("band", BANDS)
@pytest.mark.parametrize("connector", [False, True])
def test_formula_equals_the_counter(band, connector):
    decoder = Decoder(SHAPE, BANDS[band], connector=connector)
    for enter, cached in ((0, False), (0, True), (2, False), (2, True)):
        first = min(BANDS[band] + [enter] * connector)
        counted = count_step(decoder.step(enter=enter, start=first if cached else 0)).flops
        assert counted == step_flops(SHAPE, TEXT, IMAGE, BANDS[band], enter, RANK, cached, connector, TARGETS)


@pytest.mark.parametrize("band", ["mid", "full"])
def test_formula_equals_the_counter_when_all_weights_are_tuned(band):
    counted = count_step(Decoder(SHAPE, BANDS[band], rank=None).step()).flops
    assert counted == step_flops(SHAPE, TEXT, IMAGE, BANDS[band], rank=None, targets=TARGETS)


def test_formula_when_the_connector_alone_is_tuned():
    for enter in (0, 2):
        counted = count_step(Decoder(SHAPE, [], connector=True).step(enter=enter)).flops
        assert counted == step_flops(SHAPE, TEXT, IMAGE, [], enter, connector=True, targets=TARGETS)


def test_formula_equals_the_counter_on_a_whole_model():
    decoder, states = Decoder(SHAPE, BANDS["mid"]), torch.zeros(1, TEXT, SHAPE.hidden)

    def loss():
        return decoder.llama(inputs_embeds=states, use_cache=False, logits_to_keep=TARGETS).logits.logsumexp(-1).sum()

    assert count_step(Step(loss, decoder)).flops == step_flops(SHAPE, TEXT, 0, BANDS["mid"], rank=RANK, targets=TARGETS)


@pytest.mark.parametrize("image_tokens", [576, 2880])
def test_formula_equals_the_counter_at_the_size_of_7b(image_tokens):
    """Three of the 32 blocks, on the meta device, which holds no numbers."""
    shape = replace(LLAVA_7B, depth=3)
    with torch.device("meta"):
        decoder = Decoder(shape, [1, 2], rank=128, image_tokens=image_tokens)
        counts = count_step(decoder.step(60, enter=1, targets=20))
    assert counts.flops == step_flops(shape, 60, image_tokens, [1, 2], enter=1, rank=128, targets=20)
    assert counts.trained == 2 * 128 * (4 * (4096 + 4096) + 3 * (4096 + 11008))
    assert counts.state_bytes == 3 * 4 * counts.trained


def test_numbers_worked_out_by_hand():
    """Two blocks of width 4 with 16 + 8 + 8 + 16 + 24 + 24 + 24 = 120 weights, 3 words and 2 image tokens, LoRA of rank
    1 (inputs 30, outputs 28) on the upper block. Attention 4 x 25 x 4 = 400, head 2 x 4 x 10 x 3 = 240."""
    shape = DecoderShape(hidden=4, intermediate=6, heads=2, kv_heads=1, head_dim=2, depth=2, vocab=10)
    upper = 10 * 120 + 400 + 10 * 58
    # Backward: o and the MLP (88 weights) pass the gradient on, as do their A matrices (18); A and B learn; through B.
    backward = 240 + 2 * 400 + 10 * 88 + 10 * (30 + 28) + 10 * 28 + 10 * 18
    assert step_flops(shape, 3, 2, [1], rank=1) == Flops(10 * 120 + 400 + upper + 240, backward)
    assert step_flops(shape, 3, 2, [1], rank=1, cached=True) == Flops(upper + 240, backward)
    # Entering at block 1, the image leaves 3 tokens below: 6 x 120 + 4 x 9 x 4.
    assert step_flops(shape, 3, 2, [1], enter=1, rank=1) == Flops(864 + upper + 240, backward)
    # With the connector tuned all of q, k, v (32 weights, inputs 12) pass the gradient on, and block 0 all of its own.
    assert step_flops(shape, 3, 2, [1], rank=1, connector=True).backward == backward + 320 + 120 + 1200 + 800
    assert prefill_flops(shape, 3, 2) == 2 * 1600 + 80 and prefill_flops(shape, 3, 2, enter=1) == 864 + 1600 + 80


def test_cheaper_bands_and_later_entry_at_7b():
    """The order of costs; and the whole, known to lie near 2 x 6.6 billion x tokens."""
    full = step_flops(LLAVA_7B, 60, 576, range(32))
    mid = step_flops(LLAVA_7B, 60, 576, range(6, 17))
    assert mid.forward < full.forward and mid.backward < 0.85 * full.backward
    assert step_flops(LLAVA_7B, 60, 576, range(6, 17), cached=True).forward < 0.83 * mid.forward
    assert step_flops(LLAVA_7B, 60, 576, range(6, 17), connector=True).backward > mid.backward
    assert step_flops(LLAVA_7B, 60, 576, range(6, 17), enter=6, connector=True).backward < 1.02 * mid.backward
    assert prefill_flops(LLAVA_7B, 60, 576) == pytest.approx(2 * 6.476e9 * 636, rel=0.03)
    late = prefill_flops(LLAVA_7B, 60, 2880, enter=8) / prefill_flops(LLAVA_7B, 60, 2880)
    assert late == pytest.approx(0.75 + 0.25 * 60 / 2940, rel=0.01)


def test_shape_of_a_configuration():
    text = LlamaConfig(vocab_size=32064)  # LLaMA-7B is what LlamaConfig says if not told otherwise
    assert DecoderShape.of(LlavaConfig(text_config=text)) == DecoderShape.of(text) == LLAVA_7B
    assert DecoderShape.of(Decoder(SHAPE, []).llama.config) == SHAPE
    with pytest.raises(ValueError, match="GPT2Config has no intermediate_size") as error:
        DecoderShape.of(GPT2Config())
    one_sentence(error.value)


@pytest.mark.parametrize(
    "wrong, message",
    [
        (dict(layers=[4]), "There is no block 4"),
        (dict(layers=[-1]), "There is no block -1"),
        (dict(layers=[]), "must tune something"),
        (dict(enter=4), "enter must be a whole number, 0 to 3, got 4"),
        (dict(enter=-1), "enter must be"),
        (dict(text_tokens=-1), "text_tokens must be"),
        (dict(text_tokens=0), "text_tokens must be"),
        (dict(image_tokens=2.5), "image_tokens must be"),
        (dict(image_tokens=-5), "image_tokens must be a whole number, 0 or more"),
        (dict(rank=0), "rank must be"),
        (dict(targets=8), "targets must be a whole number, 0 to 7"),
    ],
)
def test_numbers_out_of_range_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message) as error:
        step_flops(**{**dict(shape=SHAPE, text_tokens=7, image_tokens=5, layers=[1]), **wrong})
    one_sentence(error.value)


def test_prefill_refuses_numbers_out_of_range():
    with pytest.raises(ValueError, match="enter must be") as error:
        prefill_flops(SHAPE, 7, 5, enter=4)
    one_sentence(error.value)
