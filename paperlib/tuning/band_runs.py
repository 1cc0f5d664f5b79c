"""Train and evaluate every band for every seed; resumable.

    python -m paperlib.tuning.band_runs mini 0,1 'full;mid;mid, late entry'

trains the arms that are missing, asks each model the questions of every suite, and writes
``data/reference/<preset>.json``, which notebook 05 reads. Finished arms and their answers are kept.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from paperlib.study.study import Study, StudyError
from paperlib.tuning.band_arguments import check_once, read_words

if __name__ == "__main__":  # before torch loads below
    try:
        read_words(sys.argv[1:])
    except StudyError as error:
        sys.exit(str(error))

from paperlib.models.adapter_files import AdapterError
from paperlib.scoring.evaluation import evaluate
from paperlib.study.results import (
    ResultError,
    data_digest,
    provenance,
    read_json,
    read_result,
    write_json,
    write_result,
)
from paperlib.study.sources import code_digest
from paperlib.tasks.benchmarks import ASKED_SUITES
from paperlib.tuning.arms import ARMS, BASELINE, FORMER, SWEEPS, ArmError, arm_config, load_arm, slug, train_arm
from paperlib.tuning.stages import load_stage, tune
from paperlib.tuning.train_config import TrainingError

OTHER_PICTURE_ARMS = (BASELINE, "full", "mid")  # asked about another question's picture as well


@dataclass(frozen=True)
class Answer:
    """One answered question: what accuracies and paired differences need."""

    id: str
    kind: str
    suite: str
    group: str
    correct: bool


def evaluate_arm(study: Study, arm: str, share: float = 0.5, images: str = "own") -> list[Answer]:
    """The answers of an arm, or of the `BASELINE`, to a share of the study's questions of each kind.

    Ids and groups begin with the seed, which drew the questions too. images: "other" shows the picture of another
    question, and leaves out text-only questions.
    """
    vlm = load_stage(study, "stage 1") if arm == BASELINE else load_arm(study, arm)
    n, suites = max(2, round(share * study.n_eval)), [s for s in ASKED_SUITES if images == "own" or s != "text"]
    return [
        Answer(f"{study.seed} {suite} {r.id}", r.kind, suite, f"{study.seed} {r.group}", r.correct)
        for suite in suites
        for r in evaluate(vlm, study, suite, images, n=n)
    ]


def run_comparison(study: Study, seeds: Sequence[int], arms: Sequence[str], progress: bool = True) -> Path:
    """Train and evaluate what is missing, and write the results beside those that are there. Returns the file's path.

    Sweeps are compared by their losses and answer no questions. Before anything is trained, this raises ArmError for an
    unknown arm, and StudyError for a bad seed and for a seed or arm that is named twice.
    """
    path, runs = reference_file(study), []
    check_once(seeds, arms)
    for arm in arms:
        arm_config(study, arm)
    for seed in seeds:
        here = replace(study, seed=seed)
        tune(here, progress)
        for arm in (BASELINE, *arms):
            record: dict = {"loss": [], "seconds": 0.0} if arm == BASELINE else train_arm(here, arm, progress)
            runs.append(
                {
                    "arm": arm,
                    "seed": seed,
                    "loss": [round(v, 5) for v in record["loss"]],
                    "seconds": record["seconds"],
                    "made": {key: record.get(key) for key in ("recipe", "packages", "code", "platform", "precision")},
                    "answers": _pack([]) if arm in SWEEPS else _kept(here, arm, record["loss"]),
                    "other": _kept(here, arm, record["loss"], "other") if arm in OTHER_PICTURE_ARMS else _pack([]),
                }
            )
    merged = _merged(path, runs)
    return write_result(path, {"runs": merged}, provenance(study, sum(r["seconds"] for r in merged), len(merged)))


def reference_file(study: Study) -> Path:
    """Where the results of a study's preset are: shipped for mini, made by `run_comparison` for others."""
    return study.root / "data" / "reference" / f"{study.preset}.json"


def read_reference(study: Study) -> list[dict]:
    """The recorded runs: {"arm", "seed", "loss", "seconds", "made", "answers", "other"}, the last two lists of
    `Answer`, about the question's own picture and, for `OTHER_PICTURE_ARMS`, about another's.

    The file may hold other seeds than the study's, and not every arm for each. Raises ResultError if there is none for
    this preset.
    """
    path = reference_file(study)
    if not path.is_file():
        raise ResultError(
            f"There are no reference results for preset {study.preset!r}: make them with python -m "
            f"paperlib.tuning.band_runs {study.preset}."
        )
    return [found | {key: _unpacked(found[key]) for key in ("answers", "other")} for found in _recorded(path)]


def _recorded(path: Path) -> list[dict]:
    """A file's runs, arms by their present names."""
    present = {old: new for new, old in FORMER.items()}
    return [found | {"arm": present.get(found["arm"], found["arm"])} for found in read_result(path)["data"]["runs"]]


def _kept(study: Study, arm: str, loss: list[float], images: str = "own") -> dict:
    """Answers from the cache, or asked now; about other pictures half as many.

    The cache is keyed by parameters and loss curve, which stand for the weights, and by the code that asks and scores.
    """
    path = study.cache / "reference" / f"{study.preset}-{study.seed}-{slug(arm)}-{images}.json"
    made = data_digest(
        {
            "loss": loss,
            "study": study.as_dict(),
            "suites": ASKED_SUITES,
            "code": code_digest("paperlib.scoring.evaluation"),
        }
    )
    if path.is_file() and (found := read_json(path)).get("made") == made:
        return found["answers"]
    packed = _pack(evaluate_arm(study, arm, 0.5 if images == "own" else 0.25, images))
    write_json(path, {"made": made, "answers": packed})
    return packed


def _pack(answers: Sequence[Answer]) -> dict:
    """Answers by column, which is what makes the file small."""
    return {key: [getattr(a, key) for a in answers] for key in ("id", "kind", "suite", "group")} | {
        "correct": "".join(str(int(a.correct)) for a in answers)
    }


def _unpacked(packed: dict) -> list[Answer]:
    suites = packed["suite"] if "suite" in packed else packed["benchmark"]  # as files once called it
    columns = (packed["id"], packed["kind"], suites, packed["group"], packed["correct"])
    return [Answer(i, k, s, g, c == "1") for i, k, s, g, c in zip(*columns, strict=True)]


def _merged(path: Path, runs: list[dict]) -> list[dict]:
    """These runs, and those that the file has of other arms and seeds."""
    before = _recorded(path) if path.is_file() else []
    mine = {(r["arm"], r["seed"]) for r in runs}
    return sorted(
        [r for r in before if (r["arm"], r["seed"]) not in mine] + runs,
        key=lambda r: (r["seed"], [BASELINE, *ARMS, *SWEEPS].index(r["arm"])),
    )


def main(words: list[str]) -> None:
    """Preset, seeds and arms from the command line; the last two may be left out, semicolons divide arms."""
    try:
        study, seeds, arms = read_words(words)
        print(run_comparison(study, seeds, [*ARMS, *SWEEPS] if arms is None else arms).name)
    except (ArmError, StudyError, AdapterError, TrainingError, ResultError) as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(
            f"{Path(error.filename).name if error.filename else 'A file'} cannot be read or written ("
            f"{error.strerror or error}): make room on the disk and run the command again, which then goes on."
        )


if __name__ == "__main__":
    main(sys.argv[1:])
