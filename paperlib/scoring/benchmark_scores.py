"""The score of each example of a benchmark by the benchmark's own rule, under what a model is shown.

Most miniature benchmarks, SugarCrepe and MMLU-Pro are scored by the likeliest choice (`records.py`); those in `REPLIES`
by what the model writes (`generation.py`), read by the rule of the benchmark's own file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from paperlib.models.vlm import VLM
from paperlib.scoring.both_ways import named_choice
from paperlib.scoring.evaluation import ask
from paperlib.scoring.generation import Reply, generate
from paperlib.scoring.metrics import object_f1
from paperlib.stats.bootstrap import group_intervals
from paperlib.stats.interval import Interval
from paperlib.study.study import Study
from paperlib.tasks.benchmarks import PUBLIC, Example, vocabulary
from paperlib.tasks.benchmarks.cider import cider

# Benchmarks that are scored by what a model writes, and in how many new tokens at most.
REPLIES = {"POPE": 8, "ChartQA": 16, "ScienceQA-IMG": 8, "MMMU": 8, "Flickr30K": 40, "describe": 40}
FEW = 8  # new tokens of a reply that is to name a choice
MOST = {"Flickr30K": 10.0}  # the largest score, where it is not 1
_MODULES = {module.CARD.name: module for module in PUBLIC.values()}


def by_replies(name: str) -> bool:
    """Whether a benchmark is scored by what a model writes."""
    return name in REPLIES


def scores(vlm: VLM, study: Study, examples: Sequence[Example], images: str = "own") -> np.ndarray:
    """The score of each example of one benchmark, [n]: 0 or 1, or what its own rule gives (F1, CIDEr).

    images: which picture is shown, as for `records.choice_logprobs`. Errors are those of `records.choice_logprobs` and
    `generation.generate`.
    """
    name = examples[0].benchmark
    if not by_replies(name):
        return np.array([float(record.correct) for record in ask(vlm, study, examples, images)])
    return reply_scores(examples, replies(vlm, study, examples, images))


def replies(vlm: VLM, study: Study, examples: Sequence[Example], images: str = "own") -> list[Reply]:
    """What a model writes to the examples of one benchmark, in batches of the study's size."""
    length = REPLIES.get(examples[0].benchmark, FEW)
    return generate(vlm, examples, images, min(16, study.eval_batch), length, seed=study.seed, fast=True)


def reply_scores(examples: Sequence[Example], said: Sequence[Reply]) -> np.ndarray:
    """The score of each reply, [n], by the benchmark's own rule; without one, 1 where the reply names the answer."""
    name = examples[0].benchmark
    texts = [reply.text for reply in said]
    if name == "describe":
        words = vocabulary()
        pairs = zip(texts, examples, strict=True)
        return np.array([object_f1([text], [set(e.info["objects"])], words)["f1"] for text, e in pairs])
    if name == "Flickr30K":  # what a word weighs depends on all captions
        captions = [example.info["captions"] for example in examples]
        return np.array(cider(texts, captions)["scores"])
    if name in _MODULES:
        return np.array([_MODULES[name].score(text, e)["correct"] for text, e in zip(texts, examples, strict=True)])
    return np.array([float(named_choice(text, e) == e.answer) for text, e in zip(texts, examples, strict=True)])


def score_interval(name: str, found: np.ndarray, examples: Sequence[Example], seed: int = 0) -> Interval:
    """The mean score of a benchmark, with its interval over groups."""
    groups = [example.group for example in examples]
    return group_intervals([found], groups, (0, MOST.get(name, 1.0)), seed=seed)[0]


def guessing(name: str, examples: Sequence[Example]) -> float | None:
    """The mean score of guessing uniformly among the choices; None where a model writes, and need not name one."""
    if by_replies(name):
        return None
    return float(np.mean([1 / len(example.choices) for example in examples]))


def part_of(examples: Sequence[Example], share: float) -> list[Example]:
    """The first examples of each kind, a share of them, at least two of a kind: a larger share adds to a smaller."""
    kinds: dict[str, list[Example]] = {}
    for example in examples:
        kinds.setdefault(example.kind, []).append(example)
    chosen = {e.id for of in kinds.values() for e in of[: max(2, round(share * len(of)))]}
    return [example for example in examples if example.id in chosen]


def spread(examples: Sequence[Example], n: int) -> list[Example]:
    """At most n examples that take turns between kinds; each is about a picture of its own while there are any."""
    kinds: dict[str, list[Example]] = {}
    for example in examples:
        kinds.setdefault(example.kind, []).append(example)
    chosen, groups = list[Example](), set[str]()
    while len(chosen) < n and any(kinds.values()):
        for of in kinds.values():
            if of and len(chosen) < n:
                new = next((e for e in of if e.group not in groups), of[0])
                of.remove(new)
                chosen.append(new)
                groups.add(new.group)
    return chosen


def pictured(panel: Mapping[str, Sequence[Example]]) -> dict[str, list[Example]]:
    """The benchmarks that show a picture with every question; of others, the examples that do, if there are any."""
    with_picture = {name: [e for e in of if e.picture is not None] for name, of in panel.items()}
    return {name: of for name, of in with_picture.items() if of}
