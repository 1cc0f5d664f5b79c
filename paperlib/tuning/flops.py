"""Floating-point operations of a training step and of a prefill, by formula, for a decoder of any size.

One product of two numbers and its addition are two operations (FLOPs); only matrix products count, as in
torch.utils.flop_counter, which `paperlib.tuning.costs.count_step` uses on a model.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral

from paperlib.study.checks import check_numbers


@dataclass(frozen=True)
class Flops:
    """Floating-point operations of the forward and the backward pass."""

    forward: int
    backward: int

    @property
    def total(self) -> int:
        return self.forward + self.backward


@dataclass(frozen=True)
class DecoderShape:
    """Sizes of a decoder of LLaMA's kind: blocks of four attention projections and a gated MLP of three."""

    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    depth: int
    vocab: int

    @classmethod
    def of(cls, config) -> "DecoderShape":
        """From the configuration of a transformers model. Raises ValueError if it lacks one of the sizes."""
        text = config.get_text_config()
        names = ("hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers", "vocab_size")
        missing = [name for name in names if getattr(text, name, None) is None]
        if missing:
            raise ValueError(
                f"{type(text).__name__} has no {missing[0]}: if its blocks are like LLaMA's, give "
                f"DecoderShape the sizes by hand."
            )
        hidden, intermediate, heads, depth, vocab = (getattr(text, name) for name in names)
        return cls(
            hidden,
            intermediate,
            heads,
            getattr(text, "num_key_value_heads", None) or heads,
            getattr(text, "head_dim", None) or hidden // heads,
            depth,
            vocab,
        )

    @property
    def projections(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of each projection of a block."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {
            "q_proj": (self.hidden, queries),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (queries, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }


LLAVA_7B = DecoderShape(4096, 11008, 32, 32, 128, 32, 32064)  # LLaVA-1.5-7B; LLaVA-NeXT-7B is as large


def step_flops(
    shape: DecoderShape,
    text_tokens: int,
    image_tokens: int,
    layers: Iterable[int],
    enter: int = 0,
    rank: int | None = 16,
    cached: bool = False,
    connector: bool = False,
    targets: int | None = None,
) -> Flops:
    """FLOPs of a training step on one sequence, equal to what `count_step` counts under eager attention.

    layers: the tuned blocks. enter: image tokens join the residual stream at this block; blocks below run over the text
    alone, tuned or not. rank: of LoRA on all seven projections; None tunes all weights of a block, its norms included.
    cached: what comes before the first block that the gradient reaches is not computed again. connector: whether it is
    tuned, so that the gradient goes back to where image tokens enter. targets: tokens with a logit; None is all text.

    A linear map of n weights takes 2n per token, as much again for the gradient of its input, and if tuned for that of
    its weights. Scores and values of attention take 4 T^2 x heads x head_dim, not halved for being causal, and twice
    that backward. Blocks below the gradient's reach have no backward pass, and the lowest in reach, unless its input
    is tuned, needs no gradient of what it reads. Left out: vision tower and connector, and all but matrix products.
    Raises ValueError for numbers that are out of range, or if nothing is tuned.
    """
    layers = check_numbers(layers, shape.depth, "block")
    _check_tokens(shape, text_tokens, image_tokens, enter)
    if not layers and not connector:
        raise ValueError("A training step must tune something: name layers, or set connector=True.")
    if rank is not None:
        _check_whole("rank", rank, 1)
    targets = text_tokens if targets is None else _check_whole("targets", targets, 0, text_tokens)
    first = min([*layers, enter] if connector else layers)
    forward = backward = _head(shape, targets)
    for block in range(first if cached else 0, shape.depth):
        tokens = text_tokens + image_tokens * (block >= enter)
        onward = block > first or (connector and block == enter) or rank is None  # a tuned norm needs it, too
        flops = _block(shape, tokens, rank if block in layers else 0, onward)
        forward += flops.forward
        backward += flops.backward * (block >= first)
    return Flops(forward, backward)


def prefill_flops(shape: DecoderShape, text_tokens: int, image_tokens: int, enter: int = 0) -> int:
    """FLOPs of reading a prompt up to the first answer token; arguments and rules as in `step_flops`."""
    _check_tokens(shape, text_tokens, image_tokens, enter)
    return _head(shape, 1) + sum(
        _block(shape, text_tokens + image_tokens * (block >= enter), 0, False).forward for block in range(shape.depth)
    )


def _block(shape: DecoderShape, tokens: int, rank: int | None, onward: bool) -> Flops:
    """One block with LoRA of a rank (0 is frozen, None tunes all weights); ``onward``: down to the block's input."""
    attention = 4 * tokens**2 * shape.heads * shape.head_dim
    forward, backward = attention, 2 * attention
    for name, (inputs, outputs) in shape.projections.items():
        dense = 2 * tokens * inputs * outputs
        down, up = 2 * tokens * inputs * (rank or 0), 2 * tokens * outputs * (rank or 0)  # LoRA's A and B
        forward += dense + down + up
        backward += down + 2 * up + dense * (rank is None)  # gradients of weights, and of what B reads
        if onward or name not in ("q_proj", "k_proj", "v_proj"):  # these read the block's input
            backward += dense + down
    return Flops(forward, backward)


def _head(shape: DecoderShape, tokens: int) -> int:
    return 2 * tokens * shape.hidden * shape.vocab


def _check_tokens(shape: DecoderShape, text_tokens: int, image_tokens: int, enter: int) -> None:
    _check_whole("text_tokens", text_tokens, 1)
    _check_whole("image_tokens", image_tokens, 0)
    _check_whole("enter", enter, 0, shape.depth - 1)


def _check_whole(name: str, value: int, low: int, high: int | None = None) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < low or (high is not None and value > high):
        upper = "or more" if high is None else f"to {high}"
        raise ValueError(f"{name} must be a whole number, {low} {upper}, got {value!r}.")
    return value
