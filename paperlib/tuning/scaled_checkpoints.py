"""Checkpoints of `scaled_training`: a folder a step, written whole or not at all, for any number of processes.

A checkpoint holds what is trained and AdamW's two means of it, whole and by name, whatever was sharded, so that a run
goes on as it pleases the machine at hand. The position in the data follows from the step.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from paperlib.study.results import data_digest, json_bytes
from paperlib.tuning.processes import Processes, fill, unsharded
from paperlib.tuning.scaled_config import ScaledConfig
from paperlib.tuning.train_config import TrainingError

WEIGHTS, MEANS, STATE = "weights.safetensors", "means.safetensors", "state.json"
KINDS = ("exp_avg", "exp_avg_sq")  # of AdamW: the gradient's mean, and that of its square

log = logging.getLogger(__name__)


@dataclass
class Progress:
    """How far a run has come. refused: by reason, of this process alone until `together`."""

    losses: list[float] = field(default_factory=list)
    tokens: int = 0
    rows: int = 0
    refused: Counter = field(default_factory=Counter)
    before: Counter = field(default_factory=Counter)  # refused in earlier runs, by all processes
    seconds: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    def add(self, loss: float, tokens: int, rows: int) -> None:
        """Count a step."""
        self.losses.append(loss)
        self.tokens, self.rows = self.tokens + tokens, self.rows + rows

    def together(self, processes: Processes) -> Progress:
        """The progress of all processes, which all must ask for."""
        refused = sum(processes.all_of(self.refused), self.before)
        seconds = self.seconds + time.perf_counter() - self.started
        return Progress(list(self.losses), self.tokens, self.rows, refused, Counter(), seconds)


@dataclass(frozen=True)
class Training:
    """What is trained how, on what, from what: the parts of a run that a checkpoint is about."""

    config: ScaledConfig
    parameters: dict[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    data: str
    data_seed: int
    start: str

    def settings(self) -> str:
        """Digest of all that must be the same for a run to go on."""
        shapes = {name: list(p.shape) for name, p in self.parameters.items()}
        return data_digest([self.config.recipe(), self.data, self.data_seed, self.start, shapes])


def newest(folder: Path | None) -> Path | None:
    """The newest checkpoint in a folder, or None."""
    found = [] if folder is None or not folder.is_dir() else [p for p in folder.iterdir() if _step(p) is not None]
    return max(found, key=lambda path: _step(path) or 0, default=None)


def resume(folder: Path | None, training: Training) -> Progress:
    """Load the newest checkpoint into parameters and optimizer; -> how far it had come. Without one, nothing happens.

    Raises TrainingError for one that is damaged, or was made with other settings, on other data or from another model.
    """
    path = newest(folder)
    if path is None:
        return Progress()
    try:
        state = json.loads((path / STATE).read_text(encoding="utf-8"))
        if state["settings"] != training.settings():
            raise TrainingError(
                f"The checkpoint {path.parent.name}/{path.name} was made with other settings, on other data or from "
                f"another model: remove that folder to start again, or give the settings that it was made with."
            )
        with safe_open(path / WEIGHTS, "pt") as weights, safe_open(path / MEANS, "pt") as means, torch.no_grad():
            for name, parameter in training.parameters.items():
                fill(parameter, weights.get_tensor(name))
                own = {kind: torch.zeros_like(parameter) for kind in KINDS}
                for kind, tensor in own.items():
                    fill(tensor, means.get_tensor(f"{kind} {name}"))
                training.optimizer.state[parameter] = own | {"step": torch.tensor(float(len(state["losses"])))}
        counts = {key: state[key] for key in ("losses", "tokens", "rows", "seconds")}
        log.info("resumed at step %d", len(state["losses"]))
        return Progress(**counts, before=Counter(state["refused"]))
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise TrainingError(
            f"The checkpoint {path.parent.name}/{path.name} cannot be read ({type(error).__name__}): remove it "
            f"to start again."
        ) from error


def save(folder: Path, training: Training, progress: Progress, processes: Processes, precision: str) -> None:
    """Write a checkpoint and remove the ones before it. All processes must call this; the main one writes.

    precision: of products, for the record.
    Raises TrainingError in all of them if it cannot be written, which leaves the one before it.
    """
    weights, means = dict[str, torch.Tensor](), dict[str, torch.Tensor]()
    for name, parameter in training.parameters.items():
        state = training.optimizer.state[parameter]
        for key, tensor, to in [(name, parameter, weights), *((f"{k} {name}", state[k], means) for k in KINDS)]:
            whole = unsharded(tensor.detach())
            if processes.main:
                to[key] = whole.to("cpu", copy=True).contiguous()
    fault, made = None, dict[str, Any]()
    if processes.main:
        made |= {"settings": training.settings(), "recipe": training.config.recipe(), "data": training.data}
        made |= {"data_seed": training.data_seed, "start": training.start, "losses": progress.losses}
        made |= {key: getattr(progress, key) for key in ("tokens", "rows", "seconds", "refused")}
        made |= {"precision": precision, "processes": processes.count}
        try:
            _write(folder, weights, means, made)
        except (OSError, SafetensorError) as error:  # safetensors raises its own on a full disk
            fault = getattr(error, "strerror", None) or str(error).strip().rstrip(".")
    if fault := next((f for f in processes.all_of(fault) if f), None):
        raise TrainingError(
            f"A checkpoint cannot be written to {folder.name} ({fault}): make room on the disk or make the folder "
            f"writable, and run it again to go on from the last checkpoint."
        )


def _write(folder: Path, weights: dict, means: dict, state: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{len(state['losses']):06d}"
    scratch = folder / f".{path.name}.tmp"
    shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
    try:
        scratch.mkdir()
        save_file(weights, scratch / WEIGHTS, metadata={"format": "pt"})
        save_file(means, scratch / MEANS, metadata={"format": "pt"})
        (scratch / STATE).write_bytes(json_bytes(state))
        os.replace(scratch, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    for older in folder.iterdir():
        if older != path and (_step(older) is not None or older.name.startswith(".step-")):
            shutil.rmtree(older, ignore_errors=True)


def _step(path: Path) -> int | None:
    found = re.fullmatch(r"step-(\d{6,})", path.name)
    return int(found[1]) if found else None
