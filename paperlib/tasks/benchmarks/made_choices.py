"""Choices for examples whose answer is free: answers of other pictures stand beside their own.

So a benchmark that is scored by what a model writes can also be scored by how likely its answer is, which moves before
a reply flips and needs no generation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from paperlib.study.checks import whole
from paperlib.tasks.benchmarks.example import Example


def with_choices(examples: Sequence[Example], k: int = 3, seed: int = 0) -> list[Example]:
    """The examples, each without choices getting its answer and up to k other answers, in a seeded order.

    Others are answers of the same kind to other pictures, drawn without repetition; letter case and outer blanks make
    no other answer. Examples that have choices stay as they are.
    Raises ValueError for k below 1, and for an example to which there is no other answer.
    """
    k, seed = whole(k, "k"), whole(seed, "seed", 0)
    found = []
    for number, example in enumerate(examples):
        if example.choices:
            found.append(example)
            continue
        others = _others(example, examples)
        if not others:
            raise ValueError(
                f"There is no other answer of kind {example.kind!r} beside that of {example.id!r}: load more examples."
            )
        rng = np.random.default_rng([47, seed, number])
        drawn = [others[i] for i in rng.choice(len(others), min(k, len(others)), replace=False)]
        choices = [example.answer, *drawn]
        found.append(replace(example, choices=tuple(choices[i] for i in rng.permutation(len(choices)))))
    return found


def _others(example: Example, examples: Sequence[Example]) -> list[str]:
    """Answers of the same kind to other pictures, each once, in the order of the examples."""
    taken = {example.answer.strip().lower()}
    found = []
    for other in examples:
        plain = other.answer.strip().lower()
        if other.kind == example.kind and other.group != example.group and plain and plain not in taken:
            taken.add(plain)
            found.append(other.answer)
    return found
