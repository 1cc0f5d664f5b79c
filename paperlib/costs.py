"""What a training step costs: counted and timed on a model, and by formula for a decoder of any size.

`count_step` counts arithmetic and memory in one pass, `time_steps` times several steps in turns, so that their ratios
survive a busy machine, and `step_flops` needs no model at all. One product of two numbers and its addition are two
floating-point operations (FLOPs); only matrix products count, as in torch.utils.flop_counter.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from .intervals import Interval
from .residual import check_numbers

# The counter knows the fused attention of GPUs only, and would count nothing for that of a CPU.
_CPU_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu:
        lambda query, key, value, *_, **__: sdpa_flop_count(query, key, value),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward:
        lambda gradient, query, key, value, *_, **__: sdpa_backward_flop_count(gradient, query, key, value)}


class Step(NamedTuple):
    """A training step: ``loss()`` runs the forward pass and returns a scalar; ``model`` holds all weights that it uses.
    What is tuned is what gets a gradient."""

    loss: Callable[[], torch.Tensor]
    model: nn.Module


@dataclass(frozen=True)
class Flops:
    """Floating-point operations of the forward and the backward pass."""

    forward: int
    backward: int

    @property
    def total(self) -> int:
        return self.forward + self.backward


@dataclass(frozen=True)
class StepCounts:
    """What a step computes and keeps, whatever the machine."""

    flops: Flops
    trained: int  # parameters that get a gradient
    activation_bytes: int  # what autograd keeps for the backward pass, weights left out
    state_bytes: int  # gradients and AdamW's two moments
    weight_bytes: int  # all weights and buffers of the model, trained or not


@dataclass(frozen=True, eq=False)
class StepTimes:
    """Seconds of each round, [rounds] each, and on a CUDA device the most bytes that a step took beyond what lay there
    before it (weights, AdamW's moments); None elsewhere."""

    forward: np.ndarray
    backward: np.ndarray
    update: np.ndarray  # AdamW
    peak_bytes: int | None

    @property
    def total(self) -> np.ndarray:
        return self.forward + self.backward + self.update


def count_step(step: Step) -> StepCounts:
    """Count one forward and backward pass; gradients are cleared before and after.

    Compiled blocks run uncompiled here, for compilation hides operations. Fused attention (sdpa) computes its scores
    again on the way back, 2.5 times its forward pass instead of 2. Each storage counts once however many tensors share
    it; copies that autocast makes of weights are no weights. On the "meta" device even a 7B model takes no memory.
    Raises ValueError if the loss depends on nothing that is tuned.
    """
    weights = [*step.model.parameters(), *step.model.buffers()]
    weights = {storage._cdata: storage.nbytes() for storage in (weight.untyped_storage() for weight in weights)}
    kept = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage  # held on to, lest its address be given away again
        return tensor.detach()

    step.model.zero_grad()
    flops = FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION)
    with torch.compiler.set_stance("force_eager"), flops:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = _forward(step)
        forward = flops.get_total_flops()
        loss.backward()
    tuned = _tuned(step.model)
    step.model.zero_grad()
    return StepCounts(Flops(forward, flops.get_total_flops() - forward), sum(p.numel() for p in tuned),
                      sum(storage.nbytes() for storage in kept.values()), 3 * sum(p.nbytes for p in tuned),
                      sum(weights.values()))


def time_steps(steps: Mapping[str, Step], repeats: int = 5, warmup: int = 2) -> dict[str, StepTimes]:
    """Time steps in turns, A B C A B C, so that what slows the machine down slows all of them down.

    A step is forward pass, backward pass and an AdamW update at rate 0, which leaves the weights as they are. Rounds of
    warm-up, in which blocks are compiled and moments made, are not kept. Gradients are cleared before and after.
    Raises ValueError for less than one round of either kind, or if a loss depends on nothing that is tuned.
    """
    if repeats < 1 or warmup < 1:
        raise ValueError(f"Timing needs at least one round of warm-up and one to keep, got {warmup} and {repeats}.")
    optimizers, rounds = {}, {name: [] for name in steps}
    for step in steps.values():
        step.model.zero_grad()
    for _ in range(warmup + repeats):
        for name, step in steps.items():
            optimizers[name], *measured = _timed(step, optimizers.get(name))
            rounds[name].append(measured)
    times = {}
    for name, measured in rounds.items():
        *seconds, peaks = zip(*measured[warmup:])
        times[name] = StepTimes(*map(np.array, seconds), None if None in peaks else max(peaks))
    return times


def ratio(seconds, baseline, n_boot: int = 2000, seed: int = 0) -> Interval:
    """Median over rounds of the seconds of one step [rounds] per second of another in the same round [rounds].

    The interval holds 95 % of the medians of rounds drawn with replacement (percentile bootstrap).
    Raises ValueError unless both have the same two rounds or more.
    """
    seconds, baseline = np.asarray(seconds, float), np.asarray(baseline, float)
    if seconds.shape != baseline.shape or seconds.ndim != 1 or len(seconds) < 2:
        raise ValueError(f"A ratio needs the same rounds of both steps, two or more, got shapes {seconds.shape} and "
                         f"{baseline.shape}.")
    ratios = seconds / baseline
    drawn = np.random.default_rng(seed).integers(len(ratios), size=(n_boot, len(ratios)))
    low, high = np.quantile(np.median(ratios[drawn], axis=1), [0.025, 0.975])
    return Interval(float(np.median(ratios)), float(low), float(high), len(ratios))


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
            raise ValueError(f"{type(text).__name__} has no {missing[0]}: if its blocks are like LLaMA's, give "
                             f"DecoderShape the sizes by hand.")
        hidden, intermediate, heads, depth, vocab = (getattr(text, name) for name in names)
        return cls(hidden, intermediate, heads, getattr(text, "num_key_value_heads", None) or heads,
                   getattr(text, "head_dim", None) or hidden // heads, depth, vocab)

    @property
    def projections(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of each projection of a block."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {"q_proj": (self.hidden, queries), "k_proj": (self.hidden, keys), "v_proj": (self.hidden, keys),
                "o_proj": (queries, self.hidden), "gate_proj": (self.hidden, self.intermediate),
                "up_proj": (self.hidden, self.intermediate), "down_proj": (self.intermediate, self.hidden)}


LLAVA_7B = DecoderShape(4096, 11008, 32, 32, 128, 32, 32064)  # LLaVA-1.5-7B; LLaVA-NeXT-7B is as large


def step_flops(shape: DecoderShape, text_tokens: int, image_tokens: int, layers: Iterable[int], enter: int = 0,
               rank: int | None = 16, cached: bool = False, connector: bool = False,
               targets: int | None = None) -> Flops:
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
    return _head(shape, 1) + sum(_block(shape, text_tokens + image_tokens * (block >= enter), 0, False).forward
                                 for block in range(shape.depth))


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


def _forward(step: Step) -> torch.Tensor:
    loss = step.loss()
    if not loss.requires_grad:
        raise ValueError("The loss depends on nothing that is tuned: set requires_grad on some of the model's weights.")
    return loss


def _tuned(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.grad is not None]


def _timed(step: Step, optimizer) -> tuple:
    """Run a step -> its optimizer, seconds of forward, backward and update, peak bytes."""
    device = next(step.model.parameters()).device
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    start = _now(device)
    loss = _forward(step)
    forward = _now(device)
    loss.backward()
    backward = _now(device)
    optimizer = optimizer or torch.optim.AdamW(_tuned(step.model), lr=0.0, weight_decay=0.0)
    optimizer.step()
    update = _now(device)
    step.model.zero_grad()
    peak = torch.cuda.max_memory_allocated(device) - before if cuda else None
    return optimizer, forward - start, backward - forward, update - backward, peak


def _now(device: torch.device) -> float:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)  # operations are only queued until then
    return time.perf_counter()
