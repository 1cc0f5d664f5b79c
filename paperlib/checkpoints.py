"""Where a killed training goes on: what was trained, the optimizer's state and the loss curve, in one file."""

import hashlib
import json
import logging
import os
from dataclasses import asdict
from pathlib import Path

import torch

from .train_config import TrainConfig, TrainingError


def resume(path: Path | None, config: TrainConfig, parameters: dict, optimizer, schedule) -> tuple[list[float], int, float]:
    """Load a checkpoint into parameters, optimizer and schedule -> losses so far, supervised tokens, seconds.

    Nothing happens without a file. Raises TrainingError for one that is damaged, or was made with another configuration
    or for another model.
    """
    if path is None or not path.is_file():
        return [], 0, 0.0
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        shapes = {name: value.shape for name, value in state["parameters"].items()}
    except Exception as error:  # a damaged file fails in many ways
        raise TrainingError(f"{path.name} cannot be read: delete it to start again.") from error
    if state["config"] != _key(config) or shapes != {name: value.shape for name, value in parameters.items()}:
        raise TrainingError(f"{path.name} was made with other settings or for another model: delete it to start again, "
                            f"or pass the settings that it was made with.")
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(state["parameters"][name])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    logging.getLogger(__name__).info("resumed at step %d", len(state["losses"]))
    return state["losses"], state["tokens"], state["seconds"]


def save(path: Path, config: TrainConfig, parameters: dict, optimizer, schedule, losses: list[float], tokens: int,
         seconds: float) -> None:
    """Write a checkpoint under a temporary name, then rename it, so that a file which is there is whole."""
    state = dict(config=_key(config), losses=losses, tokens=tokens, seconds=seconds,
                 parameters={name: value.detach() for name, value in parameters.items()},
                 optimizer=optimizer.state_dict(), schedule=schedule.state_dict())
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".tmp")
    torch.save(state, scratch)
    os.replace(scratch, path)


def _key(config: TrainConfig) -> str:
    return hashlib.sha256(json.dumps(asdict(config), sort_keys=True).encode()).hexdigest()
