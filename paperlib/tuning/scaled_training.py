"""One training loop on instructions for one CPU, one GPU, several of them, or blocks in shards (`processes.Processes`).

The batch of step s is instructions s * B to (s + 1) * B - 1 of the source's seeded order; process r of n takes every
n-th from the r-th on. The loss is the sum of the cross-entropies of all answer tokens of that batch, divided by their
number: by that of the whole batch, over processes and micro-batches, so that neither changes what is learnt. (A mean of
means would give the tokens of short answers more weight, and otherwise on another machine.)

Nothing here knows a family: connector and blocks are found by `paperlib.models.parts` and `VLM`. Dropout is off, as in
LLaVA's tuning, and the vision tower's statistics stay as they are.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from paperlib.models.precision import dtype_name, mixed_precision, product_dtype
from paperlib.models.vlm import VLM
from paperlib.tuning.collation import IGNORED
from paperlib.tuning.processes import Processes, clip
from paperlib.tuning.scaled_batches import MicroBatch, Source, batches, data_name
from paperlib.tuning.scaled_checkpoints import Progress, Training, resume, save
from paperlib.tuning.scaled_config import ScaledConfig
from paperlib.tuning.train_config import TrainingError
from paperlib.tuning.trained_parts import choose, split


class SummedLoss(nn.Module):
    """A model that returns the sum of its answer tokens' cross-entropies [nats], in float32.

    The connector's weights are added with factor 0: a batch without picture would leave them without a gradient, for
    which other processes would wait.
    """

    def __init__(self, model: nn.Module, bridge: Sequence[nn.Parameter]):
        super().__init__()
        self.model, self.bridge = model, list(bridge)

    def forward(self, inputs: dict[str, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        """labels: as of `collation.Collated`, [B, T]. Logits are computed at positions alone where a row has one."""
        targets = labels[:, 1:]
        where = (targets != IGNORED).any(0).nonzero().flatten()
        where = where if len(where) else where.new_zeros(1)
        logits = self.model(**inputs, use_cache=False, logits_to_keep=where).logits.float()
        loss = functional.cross_entropy(
            logits.flatten(0, 1), targets[:, where].flatten(), ignore_index=IGNORED, reduction="sum"
        )
        return loss + sum(0.0 * p.sum() for p in self.bridge)


def train_scaled(
    vlm: VLM,
    config: ScaledConfig,
    source: Source,
    processes: Processes,
    checkpoint: Path | None = None,
    every: int = 100,
    start: str = "",
    progress: bool = True,
) -> dict[str, Any]:
    """Tune ``vlm`` in place, in all processes at once.

    Returns {"loss": nats per answer token of each step, "tokens": answer tokens, "rows": instructions learnt from,
    "refused": {reason: how many were not}, "seconds": of all runs together, "trained": names, "precision"}.

    checkpoint: folder for checkpoints, every ``every`` steps and at the end; the newest is gone on from, also with
    another number of processes. start: what the model was before (a name or digest), which a checkpoint must share.
    Raises TrainingError if loss or gradient is not finite, if no instruction of a step can be used, for a batch that
    cannot be divided among the processes, and as `scaled_checkpoints` does.
    """
    config.rows_of(processes.count)  # refused before anything is changed
    products = product_dtype(processes.device, config.mixed)
    mixed, precision = products == torch.bfloat16, dtype_name(products)
    parameters = choose(vlm, config.method, config.layers, config.connector, config.rank, config.seed)
    _set_precision(vlm, parameters, mixed)
    bridge = list(split(vlm, parameters)[0].values())
    called = processes.place(vlm, SummedLoss(vlm.model, bridge), mixed)
    _keep_inputs_alone(vlm, config.checkpointing)
    parameters = {name: p for name, p in vlm.model.named_parameters() if p.requires_grad}  # shards are new ones
    training = Training(config, parameters, _optimizer(vlm, parameters, config), data_name(source), source.seed, start)
    done = resume(checkpoint, training)
    bar = tqdm(
        range(len(done.losses), config.steps),
        initial=len(done.losses),
        total=config.steps,
        disable=not (progress and processes.main),
        mininterval=30,
    )
    at = len(done.losses), processes.rank, processes.count
    try:
        with batches(vlm, config, source, *at) as coming:
            for step in bar:
                loss = _step(called, next(coming), training, processes, done, mixed)
                bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
                if checkpoint and ((step + 1) % every == 0 or step + 1 == config.steps):
                    save(checkpoint, training, done.together(processes), processes, precision)
    finally:
        training.optimizer.zero_grad()
        _keep_inputs_alone(vlm, False)
        processes.release()
    vlm.model.eval()
    found = done.together(processes)
    return {
        "loss": found.losses,
        "tokens": found.tokens,
        "rows": found.rows,
        "refused": dict(found.refused),
        "seconds": round(found.seconds, 1),
        "trained": sorted(parameters),
        "precision": precision,
    }


def _step(
    called: nn.Module, mine: Sequence[MicroBatch], training: Training, processes: Processes, done: Progress, mixed: bool
) -> float:
    """One step of the optimizer; -> its loss [nats per answer token of the whole batch]."""
    config, step, parameters, total = training.config, len(done.losses), training.parameters.values(), 0.0
    tokens, rows = (round(n) for n in processes.sums(sum(b.tokens for b in mine), sum(b.rows for b in mine)))
    done.refused.update(reason for b in mine for reason in b.refused)
    if not tokens:
        why = ", ".join(sorted(done.together(processes).refused)) or "no answers"
        raise TrainingError(f"No instruction of step {step} can be learnt from ({why}): give other data.")
    for batch in mine:
        with contextlib.nullcontext() if batch is mine[-1] else processes.gather_later(called):
            with mixed_precision(processes.device, mixed):
                loss = called(batch.inputs, batch.labels)
            processes.accelerator.backward(loss * processes.count / tokens)  # gradients of processes are averaged
        total += loss.item()
    processes.average_whole(parameters)
    norm, mean = clip(parameters, config.clip), processes.sums(total)[0] / tokens
    if not (math.isfinite(mean) and norm.isfinite()):  # checked before any weight is touched
        raise TrainingError(
            f"The loss of step {step} is {mean} and its gradient's norm {norm.item()}: lower the learning rates; the "
            f"last checkpoint is intact."
        )
    for group in training.optimizer.param_groups:
        group["lr"] = group["largest"] * config.rate(step)
    training.optimizer.step()
    training.optimizer.zero_grad()
    done.add(mean, tokens, rows)
    return mean


def _optimizer(vlm: VLM, parameters: dict[str, nn.Parameter], config: ScaledConfig) -> torch.optim.Optimizer:
    bridge, rest = (list(part.values()) for part in split(vlm, parameters))
    groups = [{"params": bridge, "largest": config.lr_connector}, {"params": rest, "largest": config.lr}]
    return torch.optim.AdamW([group for group in groups if group["params"]], weight_decay=0.0)


def _set_precision(vlm: VLM, parameters: dict[str, nn.Parameter], mixed: bool) -> None:
    """What is trained is held in float32; of the frozen rest, the decoder in bfloat16 if products are."""
    if not mixed:
        vlm.model.float()
        return
    for parameter in vlm.base.get_decoder().parameters():
        if not parameter.requires_grad:
            parameter.data = parameter.data.bfloat16()
    for parameter in parameters.values():
        parameter.data = parameter.data.float()


def _keep_inputs_alone(vlm: VLM, on: bool) -> None:
    """Let blocks keep their input alone, or all again.

    Transformers asks a block whether it is in training mode; what is in a block is not told, so that no dropout begins.
    """
    if on:
        vlm.base.activation_checkpointing_enable({"use_reentrant": False})
    else:
        vlm.base.activation_checkpointing_disable()
    for block in vlm.layers:
        block.training = on
