"""What a training step costs, counted and timed on a model.

`count_step` counts arithmetic and memory in one pass. `time_steps` times several steps in turns, so that their ratios
survive a busy machine. `paperlib.tuning.flops_at_size` counts at sizes that no model here has.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from paperlib.stats.accuracy import Interval

# The counter knows the fused attention of GPUs only, and would count nothing for that of a CPU.
_CPU_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda query, key, value, *_, **__: sdpa_flop_count(
        query, key, value
    ),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda gradient, query, key, value, *_, **__: (
        sdpa_backward_flop_count(gradient, query, key, value)
    ),
}


@dataclass(frozen=True)
class Flops:
    """Floating-point operations of the forward and the backward pass."""

    forward: int
    backward: int

    @property
    def total(self) -> int:
        """Both passes."""
        return self.forward + self.backward


class Step(NamedTuple):
    """A training step. ``loss()`` runs the forward pass and returns a scalar; ``model`` holds all weights that it uses.

    Tuned weights are those that get a gradient. precision: of the matrix products that ``loss`` runs.
    """

    loss: Callable[[], torch.Tensor]
    model: nn.Module
    precision: str = "float32"


@dataclass(frozen=True)
class StepCounts:
    """What a step computes and stores, on any machine."""

    flops: Flops
    trained: int  # parameters that get a gradient
    activation_bytes: int  # saved for the backward pass, weights left out
    state_bytes: int  # gradients and AdamW's two moments
    weight_bytes: int  # all weights and buffers of the model, trained or not


@dataclass(frozen=True, eq=False)
class StepTimes:
    """Seconds of each round, [rounds] each, and on a CUDA device the most bytes that a step took beyond what lay there
    before it (weights, AdamW's moments); None elsewhere. precision: of the step's products.
    """

    forward: np.ndarray
    backward: np.ndarray
    update: np.ndarray  # AdamW
    peak_bytes: int | None
    precision: str = "float32"

    @property
    def total(self) -> np.ndarray:
        """Seconds of each round's whole step, [rounds]."""
        return self.forward + self.backward + self.update


def count_step(step: Step) -> StepCounts:
    """Count one forward and backward pass; gradients are cleared before and after.

    Compiled blocks run uncompiled here, since compilation hides operations. Fused attention (sdpa) computes its scores
    again in the backward pass, which then costs 2.5 times its forward pass instead of 2. A storage that several tensors
    share counts once; autocast's copies of weights count as activations. On the "meta" device a model takes no memory.
    Raises ValueError if the loss depends on nothing that is tuned.
    """
    storages = [weight.untyped_storage() for weight in (*step.model.parameters(), *step.model.buffers())]
    weights = {storage._cdata: storage.nbytes() for storage in storages}
    kept: dict[int, torch.UntypedStorage] = {}

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
    return StepCounts(
        Flops(forward, flops.get_total_flops() - forward),
        sum(p.numel() for p in tuned),
        sum(storage.nbytes() for storage in kept.values()),
        3 * sum(p.nbytes for p in tuned),
        sum(weights.values()),
    )


def time_steps(steps: Mapping[str, Step], repeats: int = 5, warmup: int = 2) -> dict[str, StepTimes]:
    """Time steps in turns, A B C, then C B A: a busy machine slows all of them, and none always follows the same other.

    A step is forward pass, backward pass and an AdamW update at rate 0, which leaves the weights as they are. Rounds of
    warm-up, in which blocks are compiled and moments made, are not kept. Gradients are cleared before and after.
    Raises ValueError for less than one round of either kind, or if a loss depends on nothing that is tuned.
    """
    if repeats < 1 or warmup < 1:
        raise ValueError(f"Timing needs at least one round of warm-up and one to keep, got {warmup} and {repeats}.")
    optimizers: dict[str, torch.optim.Optimizer] = {}
    rounds: dict[str, list[list]] = {name: [] for name in steps}
    for step in steps.values():
        step.model.zero_grad()
    for i in range(warmup + repeats):
        for name in [*steps][:: -1 if i % 2 else 1]:
            optimizers[name], *measured = _timed(steps[name], optimizers.get(name))
            rounds[name].append(measured)
    times = {}
    for name, measured in rounds.items():
        forward, backward, update, peaks = zip(*measured[warmup:], strict=True)
        peak = None if None in peaks else max(peaks)
        times[name] = StepTimes(np.array(forward), np.array(backward), np.array(update), peak, steps[name].precision)
    return times


def ratio(seconds: ArrayLike, baseline: ArrayLike) -> Interval:
    """Median over rounds of the seconds of one step [rounds] per second of another in the same round [rounds].

    Its limits are the lowest and the highest round: a handful of rounds bears no confidence interval.
    Raises ValueError unless both have the same two rounds or more.
    """
    seconds, baseline = np.asarray(seconds, float), np.asarray(baseline, float)
    if seconds.shape != baseline.shape or seconds.ndim != 1 or len(seconds) < 2:
        raise ValueError(
            f"A ratio needs the same rounds of both steps, two or more, got shapes {seconds.shape} and "
            f"{baseline.shape}."
        )
    ratios = seconds / baseline
    return Interval(float(np.median(ratios)), float(ratios.min()), float(ratios.max()), len(ratios))


def _forward(step: Step) -> torch.Tensor:
    loss = step.loss()
    if not loss.requires_grad:
        raise ValueError("The loss depends on nothing that is tuned: set requires_grad on some of the model's weights.")
    return loss


def _tuned(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.grad is not None]


def _timed(step: Step, optimizer: torch.optim.Optimizer | None) -> tuple:
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
