"""Examples answered under many interventions: each sequence is traced once, each intervention resumes where it starts.

    sweep = Sweep(vlm, examples, at=starts)
    clean = sweep.clean()
    for start in starts:
        records = sweep.under(start, lambda chunk: knockout(vlm, range(start, start + width),
                                                            *edge(vlm, chunk.inputs, "image->answer")))

What an effect amounts to is said by `paperlib.stats.effects`.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext

from paperlib.interventions.tracing import trace
from paperlib.models.precision import fast_products
from paperlib.models.vlm import VLM
from paperlib.scoring.choices import Chunk, chunks
from paperlib.scoring.records import Record, records


class Sweep:
    """A model's clean passes over examples, kept at the blocks ``at``, and the same examples under interventions.

    Each block in ``at`` costs the memory of all states of one layer. ``fast`` is that of `scoring.choice_logprobs`.
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
        self.chunks: list[Chunk] = chunks(vlm, self.examples, images, batch_size)
        at = list(at)
        with vlm.remembering(), fast_products(vlm.device, fast):
            self.traces = [trace(vlm, chunk.inputs, at) for chunk in self.chunks]

    def clean(self) -> list[Record]:
        """Records without any intervention."""
        return records(
            self.examples,
            [read for chunk, traced in zip(self.chunks, self.traces) for read in chunk.read(traced.output)],
        )

    def under(self, start: int, intervention: Callable[[Chunk], AbstractContextManager] = nullcontext) -> list[Record]:
        """Records under ``intervention(chunk)`` and what is in force already, resumed at ``start``, one of ``at``.

        Nothing of it may act on a block below ``start``. What is the same for all chunks, as changed weights are, is
        best put in force once, around the call.

        Raises ValueError as `tracing.Trace.resume` and the intervention do.
        """
        reads = []
        with fast_products(self.vlm.device, self.fast):
            for chunk, traced in zip(self.chunks, self.traces):
                with intervention(chunk):
                    reads += chunk.read(traced.resume(start))
        return records(self.examples, reads)


def windows(depth: int, width: int, stride: int) -> list[range]:
    """Windows of blocks from the first to the last, the last one moved back so that it ends with the model.

    Raises ValueError unless 1 <= width <= depth and stride >= 1.
    """
    if not (1 <= width <= depth and stride >= 1):
        raise ValueError(f"Windows need 1 <= width <= {depth} and a stride of at least 1, got {width} and {stride}.")
    starts = sorted({*range(0, depth - width, stride), depth - width})
    return [range(start, start + width) for start in starts]
