"""Evaluate a model on a suite, and cache its records.

A suite is a named list of benchmarks and splits. Records (one per question) are cached by the model's weights, the
questions, the picture shown and the code. Accuracies and intervals are computed from records.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence

from paperlib.models.vlm import VLM, fingerprint
from paperlib.scoring.metrics import object_f1
from paperlib.scoring.records import Record, choice_logprobs
from paperlib.study.results import cached
from paperlib.study.sources import code_digest
from paperlib.study.study import Study
from paperlib.tasks.benchmarks import Example, examples, load, vocabulary
from paperlib.tasks.questions import DESCRIBE

BATCH = 32  # sequences at once, if the study's eval_batch allows it: more are no faster on a CPU


def evaluate(
    vlm: VLM, study: Study, suite: str, images: str = "own", kinds: Iterable[str] | None = None, n: int | None = None
) -> list[Record]:
    """Records of a model on a suite at the study's budget; ``images`` as in `records.choice_logprobs`.

    Matrix products run in bfloat16 where the hardware has units for it. kinds: only these kinds of question. n: of each
    kind, in place of the study's; a larger n adds questions to those of a smaller one, except in suite "text".
    Raises ValueError as `benchmarks.examples`, or for a kind that the suite does not have.
    """
    only = None if kinds is None else {kinds} if isinstance(kinds, str) else set(kinds)
    drawn = examples(suite, study.n_eval if n is None else n, study.seed)
    if only is not None and (unknown := only - {e.kind for e in drawn}):
        raise ValueError(
            f"Suite {suite!r} has no questions of kind {min(unknown, key=str)!r}: use some of "
            f"{', '.join(dict.fromkeys(e.kind for e in drawn))}."
        )
    asked = [e for e in drawn if only is None or e.kind in only]
    # Another picture is taken from all that are asked together; otherwise each benchmark is kept for whoever asks it.
    parts = [asked] if images == "other" else list(by_benchmark(asked).values())
    return [record for part in parts for record in ask(vlm, study, part, images)]


def ask(vlm: VLM, study: Study, asked: Sequence[Example], images: str = "own") -> list[Record]:
    """Records of a model on these examples, from the cache if the same were asked of the same weights before.

    Arguments and errors as for `evaluate`.
    """
    key = {
        "weights": fingerprint(vlm),
        "images": images,
        "seed": study.seed,
        "code": code_digest(__name__),
        "questions": _digest([[e.id, e.question, e.answer, e.choices] for e in asked]),
    }
    batch = min(BATCH, study.eval_batch)

    def answered() -> dict:
        return {"records": [r.to_dict() for r in choice_logprobs(vlm, asked, images, batch, study.seed, fast=True)]}

    found = cached(study.cache / "evaluations", key, answered)
    return [Record.from_dict(record) for record in found["records"]]


def by_benchmark(examples: Iterable[Example]) -> dict[str, list[Example]]:
    """The examples by benchmark and split, in order of appearance."""
    found: dict[str, list[Example]] = {}
    for example in examples:
        found.setdefault(f"{example.benchmark}/{example.split}", []).append(example)
    return found


def describe(vlm: VLM, study: Study, n: int | None = None) -> dict:
    """Free captions of test scenes: {"captions": [[said, true], ...], "precision", "recall", "f1"} of named things."""
    asked = load("describe", "test", study.n_eval if n is None else n, study.seed)
    key = {"weights": fingerprint(vlm), "code": code_digest(__name__), "describe": [e.id for e in asked]}

    def written() -> list[str]:
        found: list[str] = []
        for at in range(0, len(asked), study.eval_batch):  # all at once would not fit beside a large model
            pictures = [e.picture.render() for e in asked[at : at + study.eval_batch] if e.picture]
            found += vlm.answers(pictures, [DESCRIBE] * len(pictures), max_new_tokens=64)
        return found

    said = cached(study.cache / "evaluations", key, lambda: {"said": written()})["said"]
    truths = [set(e.info["objects"]) for e in asked]
    return {
        "captions": [[s, e.answer] for s, e in zip(said, asked, strict=True)],
        **object_f1(said, truths, vocabulary=vocabulary()),
    }


def _digest(obj: object) -> str:
    return hashlib.sha256(json.dumps(obj).encode()).hexdigest()
