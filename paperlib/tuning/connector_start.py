"""Where a connector starts before stage 1: at random, matched to the words in size, or solved in closed form.

An MLP connector with random weights gives image tokens that are far longer than word embeddings, so what it has to say
about words drowns in a large constant part. Two better starts:

- **matched**: the last layer is scaled, so that image tokens are as long as word embeddings (root mean square), and its
  bias centres them;
- **ridge**: the last layer is solved by ridge regression (Hoerl & Kennard 1970) from what the first layer makes of the
  vision tower's features to the mean embedding of the words for what stands there, in training scenes. Only these
  words, which their captions hold, are used; nothing of the LLM but its embeddings.

Either leaves the first layer at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from paperlib.models.parts import connector, vision_tower, word_embeddings
from paperlib.models.vlm import VLM
from paperlib.tasks.scenes import CELLS, Scene, draw_scene

STARTS = ("random", "matched", "ridge")
EMPTY = "nothing"  # the word for a place where nothing stands


@torch.no_grad()
def start_connector(vlm: VLM, how: str, n: int = 2000, seed: int = 0, penalty: float = 1e-2) -> None:
    """Give a LLaVA-like connector (two linear layers) one of the `STARTS`, in place.

    n: training scenes that are looked at. penalty: of the ridge regression, as a share of the mean variance of what
    the first layer gives. Raises ValueError for an unknown start.
    """
    if how not in STARTS:
        raise ValueError(f"There is no start {how!r} of a connector: use one of {', '.join(STARTS)}.")
    if how == "random":
        return
    scenes = [draw_scene("train", seed, index) for index in range(n)]
    bridge: Any = connector(vlm.base)
    hidden = bridge.act(bridge.linear_1(image_features(vlm, scenes)))  # [n, tokens, D]
    rows, last = hidden.flatten(0, 1), bridge.linear_2
    words = word_embeddings(vlm.base).weight.float()
    if how == "matched":
        out = last(rows)
        scale = words.square().mean().sqrt() / (out - out.mean(0)).square().mean().sqrt()
        last.bias.copy_(scale * (last.bias - out.mean(0)))
        last.weight.mul_(scale)
        return
    wanted = torch.stack([place_targets(vlm, scene) for scene in scenes]).flatten(0, 1)
    at, mean = rows.mean(0), wanted.mean(0)
    centred = (rows - at).double()
    gram = centred.T @ centred / len(rows)
    gram.diagonal().add_(penalty * gram.diagonal().mean())
    solved = torch.linalg.solve(gram, centred.T @ (wanted - mean).double() / len(rows)).float()
    last.weight.copy_(solved.T)
    last.bias.copy_(mean - at @ solved)


@torch.no_grad()
def image_features(vlm: VLM, scenes: Sequence[Scene], batch_size: int = 64) -> torch.Tensor:
    """The vision tower's features of scenes, as the connector reads them, [N, tokens, D_vision]."""
    processor: Any = vlm.processor
    found = []
    for first in range(0, len(scenes), batch_size):
        images = [scene.render() for scene in scenes[first : first + batch_size]]
        pixels = processor.image_processor(images, return_tensors="pt")["pixel_values"].to(vlm.device)
        states = vision_tower(vlm.base)(pixels, output_hidden_states=True).hidden_states
        features = states[vlm.base.config.vision_feature_layer]
        found.append(features[:, 1:] if vlm.base.config.vision_feature_select_strategy == "default" else features)
    return torch.cat(found)


def place_targets(vlm: VLM, scene: Scene) -> torch.Tensor:
    """For each image token the mean embedding of the words for what stands in its cell, [tokens, D].

    Image tokens form a square, row by row; cells are the quarters of the picture.
    """
    side = round(vlm.base.config.image_seq_length**0.5)
    in_cell = {thing.cell: f"{thing.size} {thing.name}" for thing in scene.things}
    embedded = word_embeddings(vlm.base).weight.float()

    def mean_of(text: str) -> torch.Tensor:
        return embedded[vlm.tokenizer(" " + text, add_special_tokens=False)["input_ids"]].mean(0)

    of = [mean_of(in_cell.get(cell, EMPTY)) for cell in CELLS]
    rows = [2 * (2 * (i // side) // side) + 2 * (i % side) // side for i in range(side**2)]
    return torch.stack([of[cell] for cell in rows])
