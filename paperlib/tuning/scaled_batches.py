"""What each process trains on in each step, made one step ahead while the model works."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from paperlib.models.vlm import VLM
from paperlib.tasks.instructions.instruction import Instruction
from paperlib.tuning.collation import IGNORED, collate
from paperlib.tuning.scaled_config import ScaledConfig


class Source(Protocol):
    """Instructions in a seeded order, as `paperlib.tasks.instructions.open_instructions` returns them."""

    name: str
    seed: int

    def examples(self, start: int = 0) -> Iterator[Instruction]:
        """Instructions without end, from a position on."""


def data_name(source: Source) -> str:
    """What records call a source: of a file or folder its own name, without the path to it."""
    return Path(source.name).name if Path(source.name).exists() else source.name


@dataclass(frozen=True)
class MicroBatch:
    """What goes through the model at once. rows: instructions in it. tokens: labels that count. refused: reasons."""

    inputs: dict[str, torch.Tensor]
    labels: torch.Tensor  # [B, T]
    rows: int
    tokens: int
    refused: tuple[str, ...]


@contextlib.contextmanager
def batches(
    vlm: VLM, config: ScaledConfig, source: Source, step: int, rank: int, count: int
) -> Iterator[Iterator[list[MicroBatch]]]:
    """A ``with`` block that gives, from ``step`` on, the micro-batches of a process: the ``rank``-th of ``count``.

    The whole batch of step s is instructions s * batch_size on, of which each process takes every ``count``-th from its
    own rank on. All processes have as many micro-batches. A thread makes those of the next step.
    """
    stream = itertools.islice(source.examples(step * config.batch_size), rank, None, count)
    share = config.rows_of(count)

    def made() -> list[MicroBatch]:
        rows = list(itertools.islice(stream, share))
        return [micro_batch(vlm, rows[i : i + config.micro_batch], config) for i in range(0, share, config.micro_batch)]

    def ready() -> Iterator[list[MicroBatch]]:
        coming = pool.submit(made)
        while True:
            found, coming = coming.result(), pool.submit(made)
            yield found

    pool = ThreadPoolExecutor(1)
    try:
        yield ready()
    finally:
        pool.shutdown(cancel_futures=True)


def micro_batch(vlm: VLM, instructions: list[Instruction], config: ScaledConfig) -> MicroBatch:
    """Instructions as the model takes them.

    If all are refused, a prompt without labels takes their place: other processes wait for the gradients of this one.
    """
    made = collate(vlm, instructions, config.length)
    inputs, labels = made.inputs, made.labels
    if not made.ids:
        inputs = dict(vlm.batch([vlm.prompt("-", has_image=False)], None))
        labels = torch.full_like(inputs["input_ids"], IGNORED)
    tokens = int((labels[:, 1:] != IGNORED).sum())
    return MicroBatch(inputs, labels, len(made.ids), tokens, tuple(reason for _, reason in made.refused))
