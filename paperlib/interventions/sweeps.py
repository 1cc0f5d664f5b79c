"""Examples scored under many interventions: each sequence is traced once, and each intervention resumes at its start.

    sweep = Sweep(vlm, examples, at=starts)
    clean = sweep.clean()
    for start in starts:
        records = sweep.under(start, lambda chunk: knockout(vlm, range(start, start + width),
                                                            *edge(vlm, chunk.inputs, "image->answer")))

`paperlib.stats.effects` says how large the effects are.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext

from paperlib.interventions.tracing import trace
from paperlib.models.memory import in_halves
from paperlib.models.precision import mixed_precision
from paperlib.models.vlm import VLM
from paperlib.scoring.choices import Chunk, chunks
from paperlib.scoring.records import Record, records


class Sweep:
    """Clean passes of a model over examples, traced at the blocks ``at``, and the same examples under interventions.

    Each block in ``at`` costs the memory of all states of one layer. ``fast``: as in `scoring.records.choice_logprobs`.
    """

    def __init__(
        self,
        vlm: VLM,
        examples: Sequence,
        at: Iterable[int],
        images: str = "own",
        batch_size: int = 32,
        fast: bool = True,
    ):
        self.vlm, self.examples, self.fast = vlm, list(examples), fast
        at = list(at)
        with vlm.cached_features(), mixed_precision(vlm.device, fast):
            traced = [
                both
                for whole in chunks(vlm, self.examples, images, batch_size)
                for both in in_halves(lambda chunk: [(chunk, trace(vlm, chunk.inputs, at))], whole, Chunk.halves)
            ]
        self.chunks, self.traces = [chunk for chunk, _ in traced], [made for _, made in traced]

    def clean(self) -> list[Record]:
        """Records without any intervention."""
        return records(
            self.examples,
            [
                read
                for chunk, traced in zip(self.chunks, self.traces, strict=True)
                for read in chunk.read(traced.output)
            ],
        )

    def under(self, start: int, intervention: Callable[[Chunk], AbstractContextManager] = nullcontext) -> list[Record]:
        """Records under ``intervention(chunk)`` and what is in force already, resumed at ``start``, one of ``at``.

        No part of it may act on a block below ``start``. An intervention that is the same for all chunks, such as a
        transplant, is best put around the call, where it is made once.

        Raises ValueError as `tracing.Trace.resume` and the intervention do.
        """
        reads = []
        with mixed_precision(self.vlm.device, self.fast):
            for chunk, traced in zip(self.chunks, self.traces, strict=True):
                with intervention(chunk):
                    reads += chunk.read(traced.resume(start))
        return records(self.examples, reads)


def windows(depth: int, width: int, stride: int) -> list[range]:
    """Windows of blocks over the whole depth. The last one is moved back so that it ends with the last block.

    Raises ValueError unless 1 <= width <= depth and stride >= 1.
    """
    if not (1 <= width <= depth and stride >= 1):
        raise ValueError(f"Windows need 1 <= width <= {depth} and a stride of at least 1, got {width} and {stride}.")
    starts = sorted({*range(0, depth - width, stride), depth - width})
    return [range(start, start + width) for start in starts]
