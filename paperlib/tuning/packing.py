"""The loss of packed conversations, from the vision tower's features to the cross-entropy, in steps."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from paperlib.models.late_entry import images
from paperlib.models.parts import connector
from paperlib.models.vlm import VLM
from paperlib.tasks.conversations import Conversation


@dataclass
class Packed:
    """A batch of B conversations in T tokens.

    ``mask`` is additive. ``targets`` are token ids, ``where`` the row and position whose output predicts each, and
    ``weights`` their share of the loss.
    """

    input_ids: torch.Tensor  # [B, T]
    position_ids: torch.Tensor  # [B, T]
    mask: torch.Tensor  # [B, 1, T, T], 0 or the dtype's minimum
    where: tuple[torch.Tensor, torch.Tensor]  # [n], [n]
    targets: torch.Tensor  # [n]
    weights: torch.Tensor  # [n], sums to 1
    branch: torch.Tensor  # [B, T]: 0 for template and picture, t for turn t, -1 for padding


def pack(vlm: VLM, conversations: list[Conversation], length: int, dtype: torch.dtype = torch.float32) -> Packed:
    """Pack conversations into sequences of exactly ``length`` tokens, taking turns while they fit.

    Needs a chat template that puts the picture before the question. Raises ValueError if no turn fits.
    """
    head, tail = _frame(vlm)
    ids = torch.full((len(conversations), length), vlm.tokenizer.pad_token_id)
    positions = torch.zeros_like(ids)
    branch = torch.full_like(ids, -1)
    rows: list[int] = []
    columns: list[int] = []
    targets: list[int] = []
    weights: list[float] = []
    for b, talk in enumerate(conversations):
        n = len(head)
        ids[b, :n], positions[b, :n], branch[b, :n] = torch.tensor(head), torch.arange(n), 0
        for t, (question, answer) in enumerate(talk.turns, start=1):
            prompt, reply = vlm.tokenizer([question + tail, answer + vlm.tokenizer.eos_token])["input_ids"]
            size = len(prompt) + len(reply)
            if n + size > length:
                continue
            ids[b, n : n + size] = torch.tensor(prompt + reply)
            positions[b, n : n + size] = torch.arange(len(head), len(head) + size)
            branch[b, n : n + size] = t
            rows += [b] * len(reply)
            columns += range(n + len(prompt) - 1, n + size - 1)
            targets += reply
            # Between counting tokens (captions drown the answers) and counting turns (the reverse).
            weights += [len(reply) ** -0.5] * len(reply)
            n += size
        if n == len(head):
            raise ValueError(f"No turn of a conversation fits into {length} tokens: pass a larger length.")
    causal = torch.ones(length, length).tril().bool()
    visible = causal & ((branch[:, None] == branch[:, :, None]) | (branch[:, None] == 0))
    mask = torch.zeros(visible.shape, dtype=dtype).masked_fill(~visible, torch.finfo(dtype).min)
    share = torch.tensor(weights)
    device = vlm.device
    return Packed(
        ids.to(device),
        positions.to(device),
        mask[:, None].to(device),
        (torch.tensor(rows, device=device), torch.tensor(columns, device=device)),
        torch.tensor(targets, device=device),
        (share / share.sum()).to(device),
        branch,
    )


def _frame(vlm: VLM) -> tuple[list[int], str]:
    """Token ids up to the last image token, and the text between a question and its answer."""
    front, tail = vlm.prompt("QUESTION").split("QUESTION")
    processor: Any = vlm.processor
    config: Any = vlm.model.config
    if not front.endswith(processor.image_token):
        raise ValueError("Packing needs a chat template that puts the picture right before the question.")
    return vlm.tokenizer(front + processor.image_token * (config.image_seq_length - 1))["input_ids"], tail


def embedded(base: Any, packed: Packed, features: torch.Tensor) -> torch.Tensor:
    """What the first block reads, [B, T, D]: word embeddings, and the connector's output at image tokens.

    features: the vision tower's, [B, image tokens, D_vision].
    """
    words = base.get_input_embeddings()(packed.input_ids)
    image = connector(base)(features).to(words.dtype)
    return words.masked_scatter((packed.input_ids == base.config.image_token_id)[..., None], image)


@torch.no_grad()
def run_below(base: Any, packed: Packed, states: torch.Tensor, start: int) -> torch.Tensor:
    """What block ``start`` reads, [B, T, D], given what the first block reads. No gradient passes."""
    found: list[torch.Tensor] = []
    handle = (
        base.get_decoder()
        .layers[start - 1]
        .register_forward_hook(
            lambda block, args, output: found.append(output[0] if isinstance(output, tuple) else output)
        )
    )
    try:
        with _blocks(base, slice(0, start)):
            _run(base, packed, states)
    finally:
        handle.remove()
    return found[0]


def packed_loss(base: Any, packed: Packed, states: torch.Tensor, start: int = 0) -> torch.Tensor:
    """Weighted cross-entropy of a packed batch [nats per token], given what block ``start`` reads, [B, T, D].

    Logits are computed only where a target is: the head is a fifth of the mini model's FLOPs, and most tokens are
    prompt.
    """
    with _blocks(base, slice(start, None)):
        states = _run(base, packed, states)
    logits = base.get_output_embeddings()(states[packed.where])
    return (F.cross_entropy(logits.float(), packed.targets, reduction="none") * packed.weights).sum()


def _run(base: Any, packed: Packed, states: torch.Tensor) -> torch.Tensor:
    with images(base, packed.input_ids == base.config.image_token_id):
        return base.get_decoder()(
            inputs_embeds=states, attention_mask=packed.mask, position_ids=packed.position_ids, use_cache=False
        ).last_hidden_state


@contextlib.contextmanager
def _blocks(base: Any, part: slice) -> Iterator[None]:
    """The decoder with these blocks alone."""
    decoder = base.get_decoder()
    blocks = decoder.layers
    decoder.layers = blocks[part]  # a ModuleList of the same blocks
    try:
        yield
    finally:
        decoder.layers = blocks
