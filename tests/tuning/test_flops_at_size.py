"""FLOPs at any size: numbers worked out by hand, a whole model of the same size, and a model of 7B."""

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from small_models import one_sentence
from transformers import LlamaConfig, LlamaForCausalLM

from paperlib.tuning.flops_at_size import LLAVA_7B, prefill_flops, step_flops
from paperlib.tuning.step_costs import Flops, Step, count_step


def shape(hidden, intermediate, heads, kv_heads, head_dim, depth, vocab):
    return LlamaConfig(
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head_dim,
        num_hidden_layers=depth,
        vocab_size=vocab,
    )


SHAPE = shape(hidden=32, intermediate=48, heads=4, kv_heads=2, head_dim=12, depth=4, vocab=40)


@pytest.mark.parametrize("blocks", [[1, 2], [3], [0, 1, 2, 3]])
@pytest.mark.parametrize("rank", [2, None])
def test_a_model_with_numbers_in_it_counts_as_much(blocks, rank):
    """The whole model of transformers, run as in training: 5 image tokens and 7 of text make 12."""
    llama = LlamaForCausalLM(SHAPE).requires_grad_(False)
    llama.set_attn_implementation("eager")
    if rank:
        inject_adapter_in_model(
            LoraConfig(r=rank, target_modules=rf".*layers\.({'|'.join(map(str, blocks))})\..*_proj"), llama
        )
    for i in blocks if rank is None else ():
        llama.model.layers[i].requires_grad_(True)
    states = torch.zeros(1, 12, 32)

    def loss():
        return llama(inputs_embeds=states, use_cache=False, logits_to_keep=3).logits.logsumexp(-1).sum()

    assert count_step(Step(loss, llama)).flops == step_flops(SHAPE, 7, 5, blocks, rank=rank, targets=3)


def test_numbers_worked_out_by_hand():
    """Two blocks of width 4 with 16 + 8 + 8 + 16 + 24 + 24 + 24 = 120 weights, 3 words and 2 image tokens, LoRA of rank
    1 (inputs 30, outputs 28) on the upper block. Attention 4 x 25 x 4 = 400, head 2 x 4 x 10 x 3 = 240."""
    small = shape(hidden=4, intermediate=6, heads=2, kv_heads=1, head_dim=2, depth=2, vocab=10)
    upper = 10 * 120 + 400 + 10 * 58
    # Backward: o and the MLP (88 weights) pass the gradient on, as do their A matrices (18); A and B learn; through B.
    backward = 240 + 2 * 400 + 10 * 88 + 10 * (30 + 28) + 10 * 28 + 10 * 18
    assert step_flops(small, 3, 2, [1], rank=1) == Flops(10 * 120 + 400 + upper + 240, backward)
    assert step_flops(small, 3, 2, [1], rank=1, cached=True) == Flops(upper + 240, backward)
    # Entering at block 1, the image leaves 3 tokens below: 6 x 120 + 4 x 9 x 4.
    assert step_flops(small, 3, 2, [1], enter=1, rank=1) == Flops(864 + upper + 240, backward)
    # With the connector tuned all of q, k, v (32 weights, inputs 12) pass the gradient on, and block 0 all of its own.
    assert step_flops(small, 3, 2, [1], rank=1, connector=True).backward == backward + 320 + 120 + 1200 + 800
    # Nothing but the connector tuned: both blocks pass the gradient on, scores and values cost twice as much backward.
    assert step_flops(small, 3, 2, [], connector=True) == Flops(2 * 1600 + 240, 240 + 2 * (1200 + 800))
    assert prefill_flops(small, 3, 2) == 2 * 1600 + 80 and prefill_flops(small, 3, 2, enter=1) == 864 + 1600 + 80


def test_cheaper_bands_and_later_entry_at_7b():
    """The order of costs; and prefill by hand: two operations a weight, and 4 T^2 D a block for attention."""
    full, mid = (step_flops(LLAVA_7B, 60, 576, blocks) for blocks in (range(32), range(6, 17)))
    assert mid.forward < full.forward and mid.backward < 0.85 * full.backward
    assert step_flops(LLAVA_7B, 60, 576, range(6, 17), cached=True).forward < 0.83 * mid.forward
    assert step_flops(LLAVA_7B, 60, 576, range(6, 17), connector=True).backward > mid.backward
    assert step_flops(LLAVA_7B, 60, 576, range(6, 17), enter=6, connector=True).backward < 1.02 * mid.backward

    def block(tokens):
        return 2 * tokens * (4 * 4096**2 + 3 * 4096 * 11008) + 4 * tokens**2 * 4096

    assert prefill_flops(LLAVA_7B, 60, 2880) == 32 * block(2940) + 2 * 4096 * 32064
    assert prefill_flops(LLAVA_7B, 60, 2880, enter=8) == 8 * block(60) + 24 * block(2940) + 2 * 4096 * 32064


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"layers": [4]}, "There is no block 4"),
        ({"layers": [-1]}, "There is no block -1"),
        ({"layers": []}, "must tune something"),
        ({"enter": 4}, "enter must be a whole number from 0 to 3, got 4"),
        ({"enter": -1}, "enter must be"),
        ({"text_tokens": -1}, "text_tokens must be"),
        ({"text_tokens": 0}, "text_tokens must be"),
        ({"image_tokens": 2.5}, "image_tokens must be"),
        ({"image_tokens": -5}, "image_tokens must be a whole number of at least 0"),
        ({"rank": 0}, "rank must be"),
        ({"targets": 8}, "targets must be a whole number from 0 to 7"),
    ],
)
def test_numbers_out_of_range_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message) as error:
        step_flops(**{"config": SHAPE, "text_tokens": 7, "image_tokens": 5, "layers": [1], **wrong})
    one_sentence(error.value)


def test_prefill_refuses_numbers_out_of_range():
    with pytest.raises(ValueError, match="enter must be") as error:
        prefill_flops(SHAPE, 7, 5, enter=4)
    one_sentence(error.value)
