"""Scores of a sweep's examples under one intervention after another: what the curves of notebook 03 are made of.

The score of an example is the probability of its answer among the choices. Scores are [K, n], a row for each window of
blocks or each block, in the order given; `paperlib.stats.effects` says what their differences amount to.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

import numpy as np
import torch

from paperlib.interventions.edits import bypass, knockout, random_change, transplant
from paperlib.interventions.sweeps import Sweep
from paperlib.models.precision import mixed_precision
from paperlib.models.token_sets import TokenSet, edge, spelled, tokens
from paperlib.models.vlm import VLM
from paperlib.scoring.choices import Chunk
from paperlib.scoring.records import Record, answer_probability
from paperlib.tasks.benchmarks import Example

Intervention = Callable[[Chunk], AbstractContextManager]
Positions = Callable[[Chunk], TokenSet]


def answer_probabilities(examples: Sequence[Example], records: Sequence[Record]) -> np.ndarray:
    """The score of each example, [n] in [0, 1]. Raises ValueError unless there is one record for each example."""
    return np.array([answer_probability(example, record) for example, record in zip(examples, records, strict=True)])


def with_donor(sweep: Sweep, donor: VLM, windows: Iterable[range]) -> np.ndarray:
    """Scores with the donor's blocks in one window at a time. Raises ValueError as `edits.transplant` does."""
    found = []
    for window in windows:
        with transplant(sweep.vlm, donor, window):  # put in force once for all batches
            found.append(answer_probabilities(sweep.examples, sweep.under(window.start)))
    return np.array(found)


def with_random_change(sweep: Sweep, donor: VLM, windows: Iterable[range], seed: int = 0) -> np.ndarray:
    """Scores with a change of one window at a time that is as large as the donor's, in random directions."""
    found = []
    for window in windows:
        with random_change(sweep.vlm, donor, window, seed):
            found.append(answer_probabilities(sweep.examples, sweep.under(window.start)))
    return np.array(found)


def with_closed_edge(sweep: Sweep, name: str, windows: Iterable[range]) -> np.ndarray:
    """Scores with one attention edge closed in one window at a time. name: as `token_sets.edge` takes it."""

    def closed(window: range) -> Intervention:
        return lambda chunk: knockout(sweep.vlm, window, *edge(sweep.vlm, chunk.inputs, name))

    with mixed_precision(sweep.vlm.device, sweep.fast):  # weights are rounded once for all windows
        found = [sweep.under(window.start, closed(window)) for window in windows]
    return np.array([answer_probabilities(sweep.examples, records) for records in found])


def entering_at(sweep: Sweep, positions: Positions, blocks: Iterable[int], visible: bool = True) -> np.ndarray:
    """Scores of an entry bypass that ends at one block at a time; block 0, which skips nothing, gives the clean pass.

    positions: the tokens that skip, such as `image_tokens`. visible: as `edits.bypass` takes it.
    """

    def entering(block: int) -> Intervention:
        return lambda chunk: bypass(sweep.vlm, positions(chunk), enter=block, visible=visible)

    found = [sweep.under(0, entering(block)) if block else sweep.clean() for block in blocks]
    return np.array([answer_probabilities(sweep.examples, records) for records in found])


def leaving_at(sweep: Sweep, positions: Positions, blocks: Iterable[int]) -> np.ndarray:
    """Scores of an exit bypass from one block at a time; block L, which does not exist, gives the clean pass."""

    def leaving(block: int) -> Intervention:
        return lambda chunk: bypass(sweep.vlm, positions(chunk), leave=block)

    depth = len(sweep.vlm.layers)
    found = [sweep.under(block, leaving(block)) if block < depth else sweep.clean() for block in blocks]
    return np.array([answer_probabilities(sweep.examples, records) for records in found])


def image_tokens(chunk: Chunk) -> TokenSet:
    """The image tokens of a chunk of a sweep."""
    return tokens(chunk.vlm, chunk.inputs, "image")


def caption(example: Example) -> str:
    """The caption of an example's picture. Raises ValueError for a picture without one, such as a file."""
    text = getattr(example.picture, "caption", None)
    if text is None:
        raise ValueError(f"Example {example.id!r} has no picture with a caption: take one about a scene or a chart.")
    return text


def caption_version(example: Example) -> Example:
    """The same example with the caption in the place of the picture, before the question."""
    return replace(example, picture=None, question=f"{caption(example)} {example.question}")


def caption_tokens(examples: Sequence[Example]) -> Positions:
    """The caption's tokens in a chunk of a sweep over the caption versions of these examples, which have pictures."""
    captions = [caption(example) for example in examples]
    return lambda chunk: spelled(
        chunk.vlm, [row.prompt for row in chunk.rows], [captions[row.example] for row in chunk.rows]
    )


def tokens_after_image(chunk: Chunk) -> TokenSet:
    """Everything behind the picture in a chunk of a sweep: question, answer position and answer."""
    return [torch.arange(int(s.image[-1]) + 1, int(s.answer[-1]) + 1) for s in chunk.vlm.spans(chunk.inputs)]
