"""Resumable checkpoints, written atomically: trained weights, optimizer state and loss curve in one file."""

import hashlib
import json
import logging
import os
from dataclasses import asdict
from pathlib import Path

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from paperlib.tuning.train_config import TrainConfig, TrainingError

log = logging.getLogger(__name__)


def resume(
    path: Path | None,
    config: TrainConfig,
    parameters: dict,
    optimizer: Optimizer,
    schedule: LRScheduler,
    start: str | None = None,
) -> tuple[list[float], int, float]:
    """Load a checkpoint into parameters, optimizer and schedule -> losses so far, supervised tokens, seconds.

    start: digest of what the model was tuned from. Nothing happens without a file. Raises TrainingError for one that is
    damaged, or was made with another configuration, from another start or for another model.
    """
    if path is None or not path.is_file():
        return [], 0, 0.0
    state = _read(path)
    shapes = {name: value.shape for name, value in state["parameters"].items()}
    if state["config"] != _key(config, start) or shapes != {name: p.shape for name, p in parameters.items()}:
        raise TrainingError(
            f"{path.name} was made with other settings or for another model: delete it to start again, "
            f"or pass the settings that it was made with."
        )
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(state["parameters"][name])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    log.info("resumed at step %d", len(state["losses"]))
    return state["losses"], state["tokens"], state["seconds"]


def make_way(path: Path, config: TrainConfig, start: str | None = None) -> None:
    """Discard a checkpoint that was made with other settings or from another start, and log that in one line; one that
    fits stays. Raises TrainingError for one that is damaged.
    """
    if path.is_file() and _read(path)["config"] != _key(config, start):
        path.unlink()
        log.warning(
            "Training starts again: %s was made with other settings or from another start and is discarded.", path.name
        )


def save(
    path: Path,
    config: TrainConfig,
    parameters: dict,
    optimizer: Optimizer,
    schedule: LRScheduler,
    losses: list[float],
    tokens: int,
    seconds: float,
    start: str | None = None,
) -> None:
    """Write a checkpoint under a temporary name, then rename it, so that a file which is there is whole.

    Raises TrainingError if it cannot be written, which leaves the one before it.
    """
    state = {
        "config": _key(config, start),
        "losses": losses,
        "tokens": tokens,
        "seconds": seconds,
        "parameters": {name: value.detach() for name, value in parameters.items()},
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
    }
    scratch = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, scratch)
        os.replace(scratch, path)
    except (OSError, RuntimeError) as error:  # torch's own writer raises the latter, without the system's words
        reason = getattr(error, "strerror", None) or (str(error) if isinstance(error, OSError) else "is the disk full?")
        raise TrainingError(
            f"{path.name} cannot be written ({reason}): make room on the disk or make the folder writable, and run it "
            f"again to go on from the last checkpoint."
        ) from error
    finally:
        scratch.unlink(missing_ok=True)


def _read(path: Path) -> dict:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not {"config", "parameters", "optimizer", "schedule", "losses", "tokens", "seconds"} <= state.keys():
            raise ValueError("no checkpoint")
        return state
    except Exception as error:  # a damaged file fails in many ways
        raise TrainingError(f"{path.name} cannot be read: delete it to start again.") from error


def _key(config: TrainConfig, start: str | None) -> str:
    """What a run must share with a checkpoint to resume from it: recipe and start, not the hardware."""
    return hashlib.sha256(json.dumps([asdict(config), start], sort_keys=True).encode()).hexdigest()
