"""The evaluation that notebooks share: which benchmarks, how many examples, and records kept so that a kill loses nothing.

A suite is a name with the benchmarks and splits that it covers. Records (one per question) are cached by the model's
weights, the questions, the picture shown and the code; accuracies and intervals are computed from records.
"""

import hashlib
import json
from collections.abc import Iterable

from paperlib.models.vlm import VLM, fingerprint
from paperlib.scoring.metrics import object_f1
from paperlib.scoring.records import Record, choice_logprobs
from paperlib.study.results import cached
from paperlib.study.sources import code_digest
from paperlib.tasks import benchmarks
from paperlib.tasks.benchmarks import examples, vocabulary
from paperlib.tasks.questions import DESCRIBE


def evaluate(
    vlm: VLM, study, suite: str, images: str = "own", kinds: Iterable[str] | None = None, n: int | None = None
) -> list[Record]:
    """Records of a model on a suite at the study's budget; ``images`` as in `scoring.choice_logprobs`.

    Products of matrices run in bfloat16 where the CPU has units for it. kinds: only these kinds of question. n: so many
    of each kind in place of the study's; fewer questions are some of the more, but where a pool ends (suite "text").
    Raises ValueError as `examples`, or for a kind that the suite does not have.
    """
    only = None if kinds is None else {kinds} if isinstance(kinds, str) else set(kinds)
    drawn = examples(suite, study.n_eval if n is None else n, study.seed)
    if only is not None and (unknown := only - {e.kind for e in drawn}):
        raise ValueError(
            f"Suite {suite!r} has no questions of kind {min(unknown, key=str)!r}: use some of "
            f"{', '.join(dict.fromkeys(e.kind for e in drawn))}."
        )
    asked = [e for e in drawn if only is None or e.kind in only]
    key = {
        "weights": fingerprint(vlm),
        "images": images,
        "seed": study.seed,
        "code": code_digest(__name__),
        "questions": _digest([[e.id, e.question, e.answer, e.choices] for e in asked]),
    }
    found = cached(
        study.cache / "evaluations",
        key,
        lambda: {
            "records": [record.to_dict() for record in choice_logprobs(vlm, asked, images, seed=study.seed, fast=True)]
        },
    )
    return [Record.from_dict(record) for record in found["records"]]


def describe(vlm: VLM, study, n: int | None = None) -> dict:
    """Free captions of test scenes: {"captions": [[said, true], ...], "precision", "recall", "f1"} over named things."""
    asked = benchmarks.load("describe", "test", study.n_eval if n is None else n, study.seed)
    key = {"weights": fingerprint(vlm), "code": code_digest(__name__), "describe": [e.id for e in asked]}
    said = cached(
        study.cache / "evaluations",
        key,
        lambda: {"said": vlm.answers([e.picture.render() for e in asked], [DESCRIBE] * len(asked), max_new_tokens=64)},
    )["said"]
    truths = [set(e.info["objects"]) for e in asked]
    return {
        "captions": [[s, e.answer] for s, e in zip(said, asked)],
        **object_f1(said, truths, vocabulary=vocabulary()),
    }


def _digest(obj) -> str:
    return hashlib.sha256(json.dumps(obj).encode()).hexdigest()
