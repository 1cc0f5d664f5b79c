"""Sweeps over windows of blocks that compute nothing below a window twice.

A clean pass is traced once: the call of the decoder, and the states that the first block of each window reads. Each
window then resumes there, so neither the vision tower nor any block below the window runs.

    traced = trace(vlm, batch, at=range(len(vlm.layers)))
    for start in traced.states:
        with knockout(vlm, range(start, start + width), *edge(vlm, batch, "image->answer")):
            hidden = traced.resume(start)
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from paperlib.models.residual import interventions, on_layer, run, watching
from paperlib.models.vlm import VLM, Batch
from paperlib.study.checks import check_numbers


@dataclass(frozen=True)
class Trace:
    """A pass that can be resumed, as long as the weights are those that it was made with.

    states: layer -> the state that the block of that number reads, [B, T, D]. output: the decoder's, after the final
    norm, [B, T, D]. call: the arguments of the decoder's call, positional and by name. acting: the interventions during
    the pass. tuples: whether the blocks of this family return tuples.
    """

    vlm: VLM
    batch: Batch
    states: dict[int, torch.Tensor]
    output: torch.Tensor
    call: tuple[tuple, dict]
    acting: dict[object, int]
    tuples: bool

    @torch.no_grad()
    def resume(self, start: int) -> torch.Tensor:
        """What `full` would return, from the state that block ``start`` read, under the interventions in force.

        The decoder is called as it was, with idle blocks below ``start``, so masks, positions and states added between
        blocks are those of its family. Raises ValueError if ``start`` was not traced, and if an intervention on a lower
        block began or ended since the trace.
        """
        if start not in self.states:
            raise ValueError(f"Block {start!r} was not traced: add it to `at` in trace(vlm, batch, at).")
        now = interventions(self.vlm)
        changed = [first for me, first in (self.acting | now).items() if (me in self.acting) != (me in now)]
        if changed and min(changed) < start:
            raise ValueError(
                f"An intervention that differs from the trace acts on block {min(changed)}: resume there "
                f"or below, not at block {start}."
            )
        decoder, (args, kwargs) = self.vlm.model.get_decoder(), self.call
        blocks = decoder.layers
        handle = on_layer(self.vlm, start, lambda _: self.states[start], first=True)
        decoder.layers = nn.ModuleList([_Idle(self.tuples) for _ in range(start)] + list(blocks[start:]))
        try:
            return decoder(*args, **kwargs).last_hidden_state
        finally:
            decoder.layers = blocks
            handle.remove()

    @torch.no_grad()
    def full(self) -> torch.Tensor:
        """The decoder's output from the model's inputs on, [B, T, D], under the interventions in force."""
        return run(self.vlm, self.batch)


class _Idle(nn.Module):
    """A block that returns its input, in the form that the blocks of this family use."""

    def __init__(self, tuples: bool):
        super().__init__()
        self.tuples = tuples

    def forward(self, state: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        return (state,) if self.tuples else state


@torch.no_grad()
def trace(vlm: VLM, batch: Batch, at: Iterable[int]) -> Trace:
    """One pass over a batch that can be resumed at the blocks ``at``.

    Each block in ``at`` costs the memory of one state, [B, T, D]. Raises ValueError for blocks that don't exist.
    """
    blocks, decoder = check_numbers(at, len(vlm.layers), "block"), vlm.model.get_decoder()
    states: dict[int, torch.Tensor] = {}
    calls, tuples = [], []

    def keep(layer: int) -> Callable[[torch.Tensor], None]:
        return lambda state: states.__setitem__(layer, state)

    handles = [
        decoder.register_forward_pre_hook(lambda module, *call: calls.append(call), with_kwargs=True),
        vlm.layers[0].register_forward_hook(lambda block, args, out: tuples.append(isinstance(out, tuple))),
    ]
    try:
        with watching(vlm, [(layer, keep(layer)) for layer in blocks]):
            output = run(vlm, batch)
    finally:
        for handle in handles:
            handle.remove()
    return Trace(vlm, batch, states, output, calls[0], interventions(vlm), tuples[0])
