"""States for probing tasks: one vector an example at every layer, or every token of a set at some layers."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from paperlib.models.capture import capture, set_states
from paperlib.models.precision import mixed_precision
from paperlib.models.vlm import VLM


def task_states(
    vlm: VLM,
    prompts: Mapping[str, Sequence[str]],
    pictures: Mapping[str, Sequence[Image.Image]] | None,
    positions: Sequence[str],
    cache: Path | None = None,
) -> dict[str, dict[str, torch.Tensor]]:
    """States of all layers by task: {task: {position: [N, L+1, D]}}, float32, on the CPU.

    Tasks are captured together, so that batches are full. prompts, pictures: by task; without pictures the prompts
    stand alone. positions, cache: as in `paperlib.models.capture.capture`, in fast products.

    Raises KeyError for a task without pictures where others have some, and else as `capture` does.
    """
    asked = [prompt for part in prompts.values() for prompt in part]
    shown = None if pictures is None else [picture for name in prompts for picture in pictures[name]]
    found = capture(vlm, asked, shown, positions=positions, batch_size=64, fast=True, cache=cache)
    ends = list(np.cumsum([len(part) for part in prompts.values()])[:-1])
    parts = {position: torch.tensor_split(whole, ends) for position, whole in found.items()}
    return {name: {position: parts[position][i] for position in positions} for i, name in enumerate(prompts)}


def each_token(
    vlm: VLM,
    prompts: Sequence[str],
    pictures: Sequence[Image.Image],
    layers: Sequence[int],
    names: Iterable[str] = ("image", "question"),
    batch_size: int = 24,
) -> dict[str, list[torch.Tensor]]:
    """States of every token of some token sets (`paperlib.models.token_sets`), by set: [layers, tokens, D] an example.

    Raises ValueError as `paperlib.models.capture.set_states` does.
    """
    found: dict[str, list[torch.Tensor]] = {name: [] for name in names}
    with mixed_precision(vlm.device):
        for start in range(0, len(prompts), batch_size):
            rows = slice(start, start + batch_size)
            batch = vlm.batch(list(prompts[rows]), list(pictures[rows]))
            for name, part in set_states(vlm, batch, layers, found).items():
                found[name] += part
    return found
