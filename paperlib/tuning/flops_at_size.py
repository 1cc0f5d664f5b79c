"""FLOPs of a training step and of a prefill at any size, counted on a decoder that holds no numbers.

The decoder is built from its configuration on torch's "meta" device, where even 7B weights take no memory, and is
counted by torch's own counter. One multiplication with its addition is two operations; only matrix products count.
Vision tower and connector are left out.
"""

from collections.abc import Callable, Iterable

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from paperlib.study.checks import check_numbers, whole
from paperlib.tuning.step_costs import Flops, Step, count_step

LLAVA_7B = LlamaConfig(vocab_size=32064)  # the LLM of LLaVA-1.5-7B; that of LLaVA-NeXT-7B is as large


def step_flops(
    config: LlamaConfig,
    text_tokens: int,
    image_tokens: int,
    layers: Iterable[int],
    enter: int = 0,
    rank: int | None = 16,
    cached: bool = False,
    connector: bool = False,
    targets: int | None = None,
) -> Flops:
    """FLOPs of a training step on one sequence, under eager attention.

    layers: the tuned blocks. enter: image tokens join the residual stream at this block; blocks below run over the text
    alone, tuned or not. rank: of LoRA on all seven projections; None tunes all weights of a block. cached: what comes
    before the first block that the gradient reaches is not computed again. connector: whether it is tuned, so that the
    gradient goes back to where image tokens enter. targets: tokens with a logit; None is all text.

    Raises ValueError for numbers that are out of range, or if nothing is tuned.
    """
    layers = check_numbers(layers, config.num_hidden_layers, "block")
    if not layers and not connector:
        raise ValueError("A training step must tune something: name layers, or set connector=True.")
    targets = text_tokens if targets is None else whole(targets, "targets", 0, text_tokens)
    model = _decoder(config, text_tokens, image_tokens, enter)
    if rank is None:
        for i in layers:
            model.model.layers[i].requires_grad_(True)
    elif layers:
        names = rf"model\.layers\.({'|'.join(map(str, layers))})\..*_proj"
        inject_adapter_in_model(LoraConfig(r=whole(rank, "rank"), target_modules=names), model)
    model.get_parameter("image").requires_grad_(connector)
    first = min([*layers, enter] if connector else layers)
    return count_step(Step(_pass(model, text_tokens, enter, targets, first if cached else 0), model)).flops


def prefill_flops(config: LlamaConfig, text_tokens: int, image_tokens: int, enter: int = 0) -> int:
    """FLOPs of reading a prompt up to the first answer token; arguments as in `step_flops`."""
    forward = _pass(_decoder(config, text_tokens, image_tokens, enter), text_tokens, enter, 1)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        forward()
    return counter.get_total_flops()


def _decoder(config: LlamaConfig, text_tokens: int, image_tokens: int, enter: int) -> LlamaForCausalLM:
    """A frozen decoder, and as ``image`` the connector's output, [1, image tokens, D]."""
    whole(text_tokens, "text_tokens")
    whole(image_tokens, "image_tokens", 0)
    whole(enter, "enter", 0, config.num_hidden_layers - 1)
    with torch.device("meta"):
        model = LlamaForCausalLM(config).requires_grad_(False)
        model.image = nn.Parameter(torch.empty(1, image_tokens, config.hidden_size), requires_grad=False)
    model.set_attn_implementation("eager")
    return model


def _pass(
    model: LlamaForCausalLM, text_tokens: int, enter: int, targets: int, start: int = 0
) -> Callable[[], torch.Tensor]:
    """The forward pass from block ``start`` on; what comes before it is given."""
    image = model.get_parameter("image")
    text = torch.empty(1, text_tokens, image.shape[2], device="meta")
    longest = text_tokens + image.shape[1]
    cos, sin = model.model.rotary_emb(text, torch.arange(longest, device="meta")[None])
    mask = torch.empty(1, 1, longest, longest, device="meta")

    def loss() -> torch.Tensor:
        states = text if start <= enter else torch.cat([torch.empty_like(image), text], dim=1)
        for i, block in list(enumerate(model.model.layers))[start:]:
            if i == enter:
                states = torch.cat([image, states], dim=1)
            n = states.shape[1]
            states = block(states, attention_mask=mask[..., :n, :n], position_embeddings=(cos[:, :n], sin[:, :n]))
        return model.lm_head(model.model.norm(states)[:, states.shape[1] - targets :]).logsumexp(-1).sum()

    return loss
