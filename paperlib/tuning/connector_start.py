"""Where a connector starts before stage 1, and how long its output may grow in it.

A connector is an MLP of two linear layers. It starts at random (`models.assemble` gives image tokens about the length
of words), or from a **ridge** solution: the first layer gives random projections of the standardised features of the
vision tower, and the last one is solved by ridge regression (Hoerl & Kennard 1970), from there to the mean embedding of
the words for what stands at each place, in training scenes. Only these words, which captions hold, are used, and
nothing of the LLM but its embeddings. (Random first layer, solved last one: Huang et al. 2006, Extreme learning
machine, Neurocomputing 70.)

In tuning the output grows far beyond the length of words. `matched` holds it there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from paperlib.models.parts import connector, word_embeddings
from paperlib.models.vlm import VLM
from paperlib.tasks.scenes import CELLS, Scene, draw_scene
from paperlib.tuning.finetune import tower_features

STARTS = ("random", "ridge")
EMPTY = "nothing"  # the word for a place where nothing stands


@torch.no_grad()
def start_connector(vlm: VLM, how: str, n: int = 2000, seed: int = 0, penalty: float = 1e-2) -> None:
    """Give a connector of two linear layers one of the `STARTS`, in place; "random" leaves it as it is.

    n: training scenes that are looked at. penalty: of the ridge regression, as a share of the mean variance of what
    the first layer gives. Raises ValueError for an unknown start.
    """
    if how not in STARTS:
        raise ValueError(f"There is no start {how!r} of a connector: use one of {', '.join(STARTS)}.")
    if how == "random":
        return
    scenes = [draw_scene("train", seed, index) for index in range(n)]
    bridge: Any = connector(vlm.base)
    features = image_features(vlm, scenes).flatten(0, 1)
    _project_standardised(bridge.linear_1, features, seed)
    wanted = torch.cat([place_targets(vlm, scene) for scene in scenes])
    _solve(bridge.linear_2, bridge.act(bridge.linear_1(features)), wanted, penalty)


def _project_standardised(layer: Any, features: torch.Tensor, seed: int) -> None:
    """Random weights, so that each output is a sum of standardised features and varies by about 1."""
    mean, spread = features.mean(0), features.std(0).clamp(min=1e-6)
    shape, generator = layer.weight.shape, torch.Generator().manual_seed(seed)
    layer.weight.copy_(torch.randn(shape, generator=generator) / shape[1] ** 0.5 / spread)
    layer.bias.copy_(-layer.weight @ mean)


def _solve(layer: Any, rows: torch.Tensor, wanted: torch.Tensor, penalty: float) -> None:
    """The ridge regression of wanted [N, D] on rows [N, H]."""
    at, mean = rows.mean(0), wanted.mean(0)
    centred = (rows - at).double()
    gram = centred.T @ centred / len(rows)
    gram.diagonal().add_(penalty * gram.diagonal().mean())
    solved = torch.linalg.solve(gram, centred.T @ (wanted - mean).double() / len(rows)).float()
    layer.weight.copy_(solved.T)
    layer.bias.copy_(mean - at @ solved)


@contextlib.contextmanager
def matched(vlm: VLM, n: int = 200, seed: int = 0) -> Iterator[None]:
    """Hold the connector's output at the length of words (root mean square over a batch) while it is tuned.

    At the end the last layer takes over the scale, as it is over n training scenes, so that the model is a plain one.
    """
    bridge: Any = connector(vlm.base)
    size = float(word_embeddings(vlm.base).weight.detach().float().square().mean().sqrt())

    def scale_of(output: torch.Tensor) -> torch.Tensor:
        return size / output.detach().float().square().mean().sqrt()

    handle = bridge.register_forward_hook(lambda module, args, output: output * scale_of(output).to(output.dtype))
    try:
        yield
    finally:
        handle.remove()
        with torch.no_grad():
            factor = scale_of(bridge(image_features(vlm, [draw_scene("train", seed, i) for i in range(n)])))
            bridge.linear_2.weight.mul_(factor)
            bridge.linear_2.bias.mul_(factor)


def image_features(vlm: VLM, scenes: Sequence[Scene], batch_size: int = 64) -> torch.Tensor:
    """`finetune.tower_features` of scenes, in batches, [N, tokens, D_vision]."""
    batches = [scenes[first : first + batch_size] for first in range(0, len(scenes), batch_size)]
    return torch.cat([tower_features(vlm, vlm.base, [scene.render() for scene in batch]) for batch in batches])


def place_targets(vlm: VLM, scene: Scene) -> torch.Tensor:
    """For each image token the mean embedding of the words for what stands in its cell, [tokens, D].

    Image tokens form a square, row by row; cells are the quarters of the picture.
    """
    side = round(vlm.base.config.image_seq_length**0.5)
    in_cell = {thing.cell: f"{thing.size} {thing.name}" for thing in scene.things}
    embedded = word_embeddings(vlm.base).weight.detach().float()

    def mean_of(text: str) -> torch.Tensor:
        return embedded[vlm.tokenizer(" " + text, add_special_tokens=False)["input_ids"]].mean(0)

    of = [mean_of(in_cell.get(cell, EMPTY)) for cell in CELLS]
    rows = [2 * (2 * (i // side) // side) + 2 * (i % side) // side for i in range(side**2)]
    return torch.stack([of[cell] for cell in rows])
