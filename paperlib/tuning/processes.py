"""The processes that train together: on one device each, with whole models or with each block in shards.

`accelerate launch` starts them. Whole models are wrapped in torch's DistributedDataParallel by accelerate. With
``--use_fsdp`` blocks are sharded (FSDP2, `torch.distributed.fsdp.fully_shard`) here and not by accelerate, which shards
on no CPU, and which would shard what a row without picture does not run: then processes would wait for each other. All
but the blocks (word embeddings, head, vision tower, connector) is whole on each process.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs
from torch import nn
from torch.distributed import all_gather_object, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from paperlib.models.precision import chosen_device
from paperlib.models.vlm import VLM

SHARDS = "ACCELERATE_USE_FSDP"  # the variable by which `accelerate launch --use_fsdp` is known
PATIENCE = timedelta(hours=2)  # for a process that reads pictures from a slow disk, or writes a checkpoint


class Processes:
    """This process and those beside it. ``count``, ``rank`` (0 is the main one), ``device``, ``sharded``."""

    def __init__(self, device: str = "auto", sharded: bool | None = None):
        """device: as of a study; among several GPUs accelerate chooses. sharded: by default as `accelerate launch` was
        told (--use_fsdp).
        """
        wait = InitProcessGroupKwargs(timeout=PATIENCE)
        told = os.environ.pop(SHARDS, "false")  # else accelerate would shard
        try:
            cpu = chosen_device(device) == "cpu"
            self.accelerator = Accelerator(cpu=cpu, mixed_precision="no", kwargs_handlers=[wait])
        finally:
            os.environ[SHARDS] = told
        asked = told.lower() == "true"
        self.count, self.rank = self.accelerator.num_processes, self.accelerator.process_index
        self.device: torch.device = self.accelerator.device
        self.sharded = (asked if sharded is None else sharded) and self.count > 1

    @property
    def main(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def place(self, vlm: VLM, step: nn.Module, mixed: bool) -> nn.Module:
        """Put the model in its place, whole or sharded; -> what to call for ``step``, which holds the model.

        mixed: whether shards are gathered in bfloat16.
        """
        if not self.sharded:
            vlm.model.to(self.device)
            return self.accelerator.prepare_model(step)
        mesh = init_device_mesh(self.device.type, (self.count,))
        policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32) if mixed else MixedPrecisionPolicy()
        for block in vlm.layers:
            fully_shard(block, mesh=mesh, mp_policy=policy)
        inside = set(vlm.layers.parameters())
        whole = {p for p in vlm.model.parameters() if p not in inside}
        fully_shard(vlm.model, mesh=mesh, ignored_params=whole)
        for tensor in (*whole, *vlm.model.buffers()):
            tensor.data = tensor.data.to(self.device)
        return step

    def gather_later(self, called: nn.Module) -> AbstractContextManager:
        """A ``with`` block whose backward pass only adds to this process's gradients, for all but a step's last one.

        Shards have no room for whole gradients and are always brought together.
        """
        return self.accelerator.no_sync(called)

    def average_whole(self, parameters: Iterable[nn.Parameter]) -> None:
        """Average over processes what is whole beside shards; otherwise DistributedDataParallel has done it."""
        for parameter in parameters if self.sharded else ():
            if not isinstance(parameter, DTensor) and parameter.grad is not None:
                torch.distributed.all_reduce(parameter.grad)
                parameter.grad /= self.count

    def sums(self, *numbers: float) -> list[float]:
        """The sums of numbers over all processes, which all get."""
        if self.count == 1:
            return list(numbers)
        total = self.accelerator.reduce(torch.tensor(numbers, dtype=torch.float64, device=self.device), "sum")
        return total.tolist()

    def all_of(self, value: Any) -> list[Any]:
        """A value of each process, in their order."""
        found = [value] * self.count
        if self.count > 1:
            all_gather_object(found, value)
        return found

    def release(self) -> None:
        """Let go of the models that were trained."""
        self.accelerator.free_memory()


def clip(parameters: Iterable[nn.Parameter], most: float) -> torch.Tensor:
    """Scale gradients to a norm of at most ``most``, over all parameters and shards; -> their norm before."""
    grads = [p.grad for p in parameters if p.grad is not None]
    parts = [[g for g in grads if isinstance(g, DTensor)], [g for g in grads if not isinstance(g, DTensor)]]
    norms = [unsharded(nn.utils.get_total_norm(part)) for part in parts if part]
    norm = torch.linalg.vector_norm(torch.stack(norms))
    for grad in grads:
        grad.mul_((most / (norm + 1e-6)).clamp(max=1.0).to(grad.device))
    return norm


def unsharded(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor as a whole. All processes must call this for a sharded one."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def fill(own: torch.Tensor, whole: torch.Tensor) -> None:
    """Write a whole tensor into one that may be sharded; each process takes its part of what it has read itself."""
    if isinstance(own, DTensor):
        part = distribute_tensor(whole.to(own.device), own.device_mesh, own.placements, src_data_rank=None)
        own.to_local().copy_(part.to_local())
    else:
        own.copy_(whole)
