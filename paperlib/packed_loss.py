"""The loss of packed conversations, from the picture's features to the cross-entropy, in pieces that can be kept."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional as F

from .adapters import connector
from .conversations import Packed
from .entry import images


def embedded(base: nn.Module, packed: Packed, features: torch.Tensor) -> torch.Tensor:
    """What the first block reads, [B, T, D]: words, and the connector's output where image tokens stand.

    features: the vision tower's, [B, image tokens, D_vision].
    """
    words = base.get_input_embeddings()(packed.input_ids)
    image = connector(base)(features).to(words.dtype)
    return words.masked_scatter((packed.input_ids == base.config.image_token_id)[..., None], image)


@torch.no_grad()
def below(base: nn.Module, packed: Packed, states: torch.Tensor, start: int) -> torch.Tensor:
    """What block ``start`` reads, [B, T, D], from what the first block reads. No gradient passes."""
    found = []
    handle = base.model.language_model.layers[start - 1].register_forward_hook(
        lambda block, args, output: found.append(output[0] if isinstance(output, tuple) else output))
    try:
        with _blocks(base, slice(0, start)):
            _run(base, packed, states)
    finally:
        handle.remove()
    return found[0]


def packed_loss(base: nn.Module, packed: Packed, states: torch.Tensor, start: int = 0) -> torch.Tensor:
    """Weighted cross-entropy of a packed batch, from what block ``start`` reads, [B, T, D].

    Logits are computed only where a target is: the head is a fifth of the mini model's arithmetic, and most tokens are
    prompt.
    """
    with _blocks(base, slice(start, None)):
        states = _run(base, packed, states)
    logits = base.get_output_embeddings()(states[packed.where])
    return (F.cross_entropy(logits.float(), packed.targets, reduction="none") * packed.weights).sum()


def _run(base: nn.Module, packed: Packed, states: torch.Tensor) -> torch.Tensor:
    with images(base, packed.input_ids == base.config.image_token_id):
        return base.model.language_model(inputs_embeds=states, attention_mask=packed.mask,
                                         position_ids=packed.position_ids, use_cache=False).last_hidden_state


@contextlib.contextmanager
def _blocks(base: nn.Module, part: slice) -> Iterator[None]:
    """The decoder with some of its blocks only."""
    decoder = base.model.language_model
    blocks = decoder.layers
    decoder.layers = blocks[part]  # a ModuleList of the same blocks
    try:
        yield
    finally:
        decoder.layers = blocks
