"""Passes that memory does not suffice for: run again in halves, which is said, and gives the same results."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from paperlib.models.input_checks import VLMError

log = logging.getLogger(__name__)
Part = TypeVar("Part")
Result = TypeVar("Result")


def in_halves(
    run: Callable[[Part], list[Result]], whole: Part, halves: Callable[[Part], Sequence[Part]]
) -> list[Result]:
    """What ``run`` gives for all of ``whole``, or for its halves in order where memory does not suffice.

    halves: the two halves of a part, or the part alone if it cannot be divided. Raises VLMError if a part that cannot
    be divided does not fit; other errors pass.
    """
    try:
        return run(whole)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        parts = halves(whole)
        if len(parts) < 2:
            raise VLMError(
                "A single sequence does not fit into memory: use a smaller model, a smaller dtype, or another machine."
            ) from error
    # Out of the block above, the error is gone, and with it the frames and tensors of the pass that failed.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    log.warning("A pass did not fit into memory and is run in halves: set eval_batch lower to spare the attempt.")
    return [result for part in parts for result in in_halves(run, part, halves)]


def divided(rows: Sequence) -> list[Sequence]:
    """The two halves of a list, or the list alone if it has one entry."""
    half = (len(rows) + 1) // 2
    return [rows[:half], rows[half:]] if len(rows) > 1 else [rows]


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory does not suffice, on a GPU or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error)
