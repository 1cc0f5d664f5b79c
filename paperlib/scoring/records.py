"""From a model and examples to records: how likely each choice is, and which one the model prefers.

The choices of a question are compared by their log-probability given the prompt, so an answer needs no
parsing, and a model that was never trained to answer briefly is scored like one that was. Statistics over records
are in `paperlib.stats.accuracy`.

What decides between choices:

- the **sum** of the log-probabilities of the choice's tokens;
- for captions (`MEAN_PER_TOKEN`) the **mean per token**: a negative that adds words is less likely for
  its length alone, and the sum would find it without looking at the picture;
- where one choice begins another ("1" and "12", "cat" and "cat face"), the end-of-turn token is counted with
  every choice of that example, because otherwise the longer choice could never be the likelier one;
- a tie counts against the model.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import nn

from paperlib.models.memory import in_halves
from paperlib.models.precision import mixed_precision
from paperlib.models.residual import run
from paperlib.models.vlm import VLM
from paperlib.scoring.choices import Chunk, chunks
from paperlib.tasks.benchmarks import Example

MEAN_PER_TOKEN = frozenset({"captions", "describe", "SugarCrepe", "Flickr30K"})  # benchmarks whose choices are captions


@dataclass(frozen=True)
class Record:
    """One example, answered: a plain value that goes into JSON and back.

    `logprobs` holds the sum over tokens for each choice, in the order of the example's choices, in nats;
    `tokens` the number of tokens that each sum runs over.
    """

    id: str
    kind: str
    benchmark: str
    group: str
    answer: str
    prediction: str
    correct: bool
    logprobs: tuple[float, ...]
    tokens: tuple[int, ...]

    def to_dict(self) -> dict:
        """The record as plain JSON types."""
        return asdict(self) | {"logprobs": list(self.logprobs), "tokens": list(self.tokens)}

    @staticmethod
    def from_dict(d: dict) -> Record:
        """The inverse of `to_dict`."""
        return Record(**d | {"logprobs": tuple(d["logprobs"]), "tokens": tuple(d["tokens"])})


def choice_logprobs(
    vlm: VLM, examples: Sequence[Example], images: str = "own", batch_size: int = 32, seed: int = 0, fast: bool = False
) -> list[Record]:
    """Score every choice of every example; records come in the order of the examples.

    Args:
        vlm: a `paperlib.models.vlm.VLM`.
        examples: `paperlib.tasks.benchmarks.Example`s with at least two distinct choices, the answer among them.
        images: which picture stands before the question. "own"; "blank", a mid-grey picture of the same size;
            "other", the picture of another example, see `other_pictures`; "none", the question alone.
            Examples without a picture are asked as text whatever `images` says.
        batch_size: sequences per forward pass.
        seed: of the draw for "other"; nothing else is random.
        fast: see `precision.mixed_precision`. On the mini model summed log-probabilities then move by 0.1 nats and
            the answer's probability among its choices by 0.005, on average.

    Raises:
        ValueError: an unknown `images`, no examples, an example that can't be scored, fewer than two groups
            for "other", a tokenizer without an end token where one is needed.
        FloatingPointError: the model gives a log-probability that is not finite.

    >>> from paperlib.models.vlm import load_vlm
    >>> from paperlib.tasks.benchmarks import examples
    >>> [record] = choice_logprobs(load_vlm("tiny", "cpu"), examples("pope", 1)[:1])
    >>> record.answer, len(record.logprobs)
    ('yes', 2)
    """
    parts = chunks(vlm, examples, images, batch_size, seed)
    with vlm.cached_features(), mixed_precision(vlm.device, fast), evaluating(vlm.model), torch.no_grad():
        found = (in_halves(lambda chunk: chunk.read(run(vlm, chunk.inputs)), part, Chunk.halves) for part in parts)
        return records(examples, (read for reads in found for read in reads))


def records(examples: Sequence[Example], reads: Iterable[tuple[int, int, float, int]]) -> list[Record]:
    """Records of examples from what `choices.Chunk.read` gave for all of their sequences.

    Raises FloatingPointError for a log-probability that is not finite.
    """
    found: list[dict[int, tuple[float, int]]] = [{} for _ in examples]
    for example, choice, value, tokens in reads:
        found[example][choice] = (value, tokens)
    made = []
    for ex, read in zip(examples, found, strict=True):
        sums, counts = zip(*(read[c] for c in range(len(ex.choices))), strict=True)
        made.append(_record(ex, sums, counts))
    return made


def answer_probability(example: Example, record: Record) -> float:
    """The probability that the model gives to an example's answer among its choices.

    It changes smoothly where accuracy jumps, so it shows effects too small to flip a prediction.
    """
    scores = np.array(_scores(example.benchmark, record.logprobs, record.tokens))
    p = np.exp(scores - scores.max())
    return float(p[example.choices.index(example.answer)] / p.sum())


def _scores(benchmark: str, logprobs: Sequence[float], tokens: Sequence[int]) -> list[float]:
    """What choices are compared by; see above."""
    return [lp / n for lp, n in zip(logprobs, tokens, strict=True)] if benchmark in MEAN_PER_TOKEN else list(logprobs)


def _record(example: Example, logprobs: tuple[float, ...], tokens: tuple[int, ...]) -> Record:
    if not all(map(math.isfinite, logprobs)):
        raise FloatingPointError(
            f"The model's log-probabilities for example {example.id!r} are not finite: check its weights."
        )
    score = dict(zip(example.choices, _scores(example.benchmark, logprobs, tokens), strict=True))
    # Between equal scores the answer comes last: a model that can't tell has not answered.
    prediction = max(example.choices, key=lambda c: (score[c], c != example.answer))
    return Record(
        example.id,
        example.kind,
        example.benchmark,
        example.group,
        example.answer,
        prediction,
        prediction == example.answer,
        logprobs,
        tokens,
    )


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Dropout off for as long as the block runs, and every module back in its own mode afterwards."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
