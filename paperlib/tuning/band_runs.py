"""The reference run of the comparison of bands: every arm and seed trained and asked, in one command that resumes.

    python -m paperlib.tuning.band_runs mini 0,1 'full;mid;mid, entered'

trains what is missing, asks each model the questions of every twin, and writes ``data/reference/<preset>.json``, which
notebook 05 reads. What is finished is kept: an arm by its adapters, its answers by a file beside them.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from paperlib.study.parameters import Study, StudyError
from paperlib.tuning.band_words import check_once, read_words

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
from paperlib.tuning.arms import ARMS, SWEEPS, ArmError, arm_config, load_arm, train_arm
from paperlib.tuning.stages import load_stage, tune
from paperlib.tuning.train_config import TrainingError

BENCHMARKS = ("pictures", "pope", "held-out concepts", "outside", "text")  # suites of `paperlib.scoring.evaluation`
BEFORE = "none"  # stage 1 as it is
CONTROLLED = (BEFORE, "full", "mid")  # asked about another question's picture as well


@dataclass(frozen=True)
class Answer:
    """One question, answered, as far as accuracies and paired tests need it."""

    id: str
    kind: str
    benchmark: str
    group: str
    correct: bool


def ask(study: Study, name: str, share: float = 0.5, images: str = "own") -> list[Answer]:
    """The answers of an arm's model, or of "none", stage 1, to a share of the study's questions of each kind.

    Ids and groups hold the seed, which drew the questions too. images: "other" shows the picture of another question, and
    leaves out what is asked without a picture.
    """
    vlm = load_stage(study, "stage 1") if name == BEFORE else load_arm(study, name)
    n, suites = max(2, round(share * study.n_eval)), [s for s in BENCHMARKS if images == "own" or s != "text"]
    return [
        Answer(f"{study.seed} {suite} {r.id}", r.kind, suite, f"{study.seed} {r.group}", r.correct)
        for suite in suites
        for r in evaluate(vlm, study, suite, images, n=n)
    ]


def run(study: Study, seeds: Sequence[int], names: Sequence[str], progress: bool = True) -> Path:
    """Train and ask what is missing, and write the results beside those that are there. Returns the file's path.

    Sweeps are compared by their losses and are not asked. Before anything is trained, raises ArmError for an unknown arm,
    and StudyError for seeds that are none and for a seed or arm that comes twice.
    """
    path, runs = reference_file(study), []
    check_once(seeds, names)
    for name in names:
        arm_config(study, name)
    for seed in seeds:
        here = replace(study, seed=seed)
        tune(here, progress)
        for name in (BEFORE, *names):
            record = {"loss": [], "seconds": 0.0} if name == BEFORE else train_arm(here, name, progress)
            runs.append(
                {
                    "arm": name,
                    "seed": seed,
                    "loss": [round(v, 5) for v in record["loss"]],
                    "seconds": record["seconds"],
                    "made": {key: record.get(key) for key in ("recipe", "packages", "code", "platform", "precision")},
                    "answers": _pack([]) if name in SWEEPS else _kept(here, name, record["loss"]),
                    "other": _kept(here, name, record["loss"], "other") if name in CONTROLLED else _pack([]),
                }
            )
    merged = _merged(path, runs)
    return write_result(path, {"runs": merged}, provenance(study, sum(r["seconds"] for r in merged), len(merged)))


def reference_file(study: Study) -> Path:
    """Where the results of a study's preset are: shipped for mini, made by `run` for others."""
    return study.root / "data" / "reference" / f"{study.preset}.json"


def read_reference(study: Study) -> list[dict]:
    """The runs of the reference: {"arm", "seed", "loss", "seconds", "made", "answers", "other"}, the last two lists of
    `Answer`, about the question's own picture and, for `CONTROLLED` arms, about another's.

    Raises ResultError if there are none for this preset.
    """
    path = reference_file(study)
    if not path.is_file():
        raise ResultError(
            f"There are no reference results for preset {study.preset!r}: make them with python -m "
            f"paperlib.tuning.band_runs {study.preset}."
        )
    return [
        found | {key: _unpacked(found[key]) for key in ("answers", "other")}
        for found in read_result(path)["data"]["runs"]
    ]


def _kept(study: Study, name: str, loss: list[float], images: str = "own") -> dict:
    """Answers from the cache, or asked now; about other pictures half as many. They are kept by what made the weights,
    which are parameters and the loss curve, and by the code, which asks and scores.
    """
    path = study.cache / "reference" / f"{study.preset}-{study.seed}-{name.replace(', ', '-')}-{images}.json"
    made = data_digest(
        {
            "loss": loss,
            "study": study.as_dict(),
            "benchmarks": BENCHMARKS,
            "code": code_digest("paperlib.scoring.evaluation"),
        }
    )
    if path.is_file() and (found := read_json(path)).get("made") == made:
        return found["answers"]
    packed = _pack(ask(study, name, 0.5 if images == "own" else 0.25, images))
    write_json(path, {"made": made, "answers": packed})
    return packed


def _pack(answers: Sequence[Answer]) -> dict:
    """Answers by column, which is what makes the file small."""
    return {key: [getattr(a, key) for a in answers] for key in ("id", "kind", "benchmark", "group")} | {
        "correct": "".join(str(int(a.correct)) for a in answers)
    }


def _unpacked(packed: dict) -> list[Answer]:
    columns = (packed[key] for key in ("id", "kind", "benchmark", "group", "correct"))
    return [Answer(i, k, b, g, c == "1") for i, k, b, g, c in zip(*columns, strict=True)]


def _merged(path: Path, runs: list[dict]) -> list[dict]:
    """These runs, and those that the file has of other arms and seeds."""
    before = read_result(path)["data"]["runs"] if path.is_file() else []
    mine = {(r["arm"], r["seed"]) for r in runs}
    return sorted(
        [r for r in before if (r["arm"], r["seed"]) not in mine] + runs,
        key=lambda r: (r["seed"], [BEFORE, *ARMS, *SWEEPS].index(r["arm"])),
    )


def main(words: list[str]) -> None:
    """Preset, seeds and arms from the command line; the last two may be left out, semicolons divide arms."""
    try:
        study, seeds, names = read_words(words)
        print(run(study, seeds, [*ARMS, *SWEEPS] if names is None else names).name)
    except (ArmError, StudyError, AdapterError, TrainingError, ResultError) as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(
            f"{Path(error.filename).name if error.filename else 'A file'} cannot be read or written ("
            f"{error.strerror or error}): make room on the disk and run the command again, which then goes on."
        )


if __name__ == "__main__":
    main(sys.argv[1:])
