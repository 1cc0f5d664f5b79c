"""Does a connector see? Ways to tune one on captions alone, compared by what probes read from its output.

    python -m paperlib.tuning.connector_trials [name ..]     # writes data/reference/connectors.json

Each trial starts a connector in some way, tunes it for some steps on captions, with all else frozen, and reads the mean
of its output over the image tokens with probes. Beside it stand a connector that was never tuned, and the vision
tower's own features. What is saved is enough for paired differences: which scenes each probe got right.
"""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from paperlib.models.parts import connector, word_embeddings
from paperlib.models.vlm import VLM, load_vlm
from paperlib.probes.task_probes import read
from paperlib.study.results import provenance, read_json, write_json
from paperlib.study.study import CODE_ROOT, Study, repo_root
from paperlib.tasks.probe_tasks import ProbeTask, probe_tasks
from paperlib.tuning.connector_start import image_features, matched, start_connector
from paperlib.tuning.finetune import train
from paperlib.tuning.train_config import TrainConfig

FILE = CODE_ROOT / "data" / "reference" / "connectors.json"
TASKS = ("concept", "colour", "category", "count")
SCENES, FOLDS, LENGTH, BATCH = 1200, 5, 80, 16
ENCODER, RANDOM = "vision tower", "random"


@dataclass(frozen=True)
class Trial:
    """start: one of `connector_start.STARTS`. steps: of tuning on captions. rate: AdamW's largest. matched: whether the
    output is held at the length of words.
    """

    start: str
    steps: int = 0
    rate: float = 1e-3
    matched: bool = False


TRIALS = {
    RANDOM: Trial("random"),
    "random, 150 steps": Trial("random", 150),
    "random, 150 steps, slow": Trial("random", 150, 1e-4),
    "random, 150 steps, matched": Trial("random", 150, matched=True),
    "random, 600 steps": Trial("random", 600),
    "ridge": Trial("ridge"),
    "ridge, 150 steps, slow": Trial("ridge", 150, 1e-4),
    "ridge, 150 steps, matched": Trial("ridge", 150, 3e-4, True),
}


def tuned_connector(trial: Trial, seed: int = 0, checkpoint: Path | None = None) -> tuple[VLM, dict]:
    """A mini model whose connector was tuned as a trial says, and {"loss": nats per token of each step, "seconds"}."""
    vlm = load_vlm("mini-base", "cpu", seed=seed)
    start_connector(vlm, trial.start, seed=seed)
    if not trial.steps:
        return vlm, {"loss": [], "seconds": 0.0}
    config = TrainConfig(1, trial.steps, 0, BATCH, LENGTH, seed, lr_connector=trial.rate, mixed=True, compile=True)
    with matched(vlm) if trial.matched else contextlib.nullcontext():
        run = train(vlm, config, checkpoint, progress=False)
    return vlm, {"loss": run["loss"], "seconds": run["seconds"]}


def features_of_tasks(vlm: VLM, seed: int = 0) -> tuple[dict[str, ProbeTask], dict[str, torch.Tensor]]:
    """The probing tasks and the vision tower's features of their scenes [N, tokens, D_vision]."""
    tasks = {name: task for name, task in probe_tasks(SCENES, seed).items() if name in TASKS}
    return tasks, {name: image_features(vlm, task.scenes) for name, task in tasks.items()}


def right_answers(task: ProbeTask, tokens: torch.Tensor, seed: int = 0) -> list[int]:
    """Of each scene of seen concepts, whether a probe of the mean of its tokens [N, tokens, D] is right."""
    return [int(c) for c in read(task, tokens.float().mean(1, keepdim=True), FOLDS, seed)[0].correct]


def main(names: list[str]) -> None:
    """Run the trials named, or all that the file lacks."""
    study, path = Study.make("mini"), FILE
    plain = load_vlm("mini-base", "cpu", seed=study.seed)
    tasks, features = features_of_tasks(plain, study.seed)
    found = read_json(path) if path.is_file() else {"trials": {}}
    groups = {name: task.groups[~task.held_out].tolist() for name, task in tasks.items()}
    found["scenes"] = {name: [str(group) for group in of] for name, of in groups.items()}
    if ENCODER not in found["trials"]:
        right = {name: right_answers(task, features[name], study.seed) for name, task in tasks.items()}
        found["trials"][ENCODER] = {"right": right}
    for name in names or [name for name in TRIALS if name not in found["trials"]]:
        started = time.perf_counter()
        checkpoint = repo_root() / "data" / "cache" / "connectors" / f"{name.replace(', ', '-').replace(' ', '-')}.pt"
        vlm, run = tuned_connector(TRIALS[name], study.seed, checkpoint)
        bridge, words = connector(vlm.base), word_embeddings(vlm.base).weight
        with torch.no_grad():
            tokens = {task: bridge(of) for task, of in features.items()}
        size = torch.cat([t.flatten(0, 1) for t in tokens.values()]).square().mean().sqrt()
        found["trials"][name] = {
            "right": {task: right_answers(tasks[task], of, study.seed) for task, of in tokens.items()},
            "size": float(size / words.detach().square().mean().sqrt()),
            "recipe": asdict(TRIALS[name]),
        } | run
        found["provenance"] = provenance(study, 0.0, SCENES)
        write_json(path, found)
        right = found["trials"][name]["right"]
        print(name, {t: f"{sum(r) / len(r):.2f}" for t, r in right.items()}, f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
