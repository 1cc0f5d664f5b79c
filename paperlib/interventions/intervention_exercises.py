"""Exercises on interventions that check themselves (docs/teach/exercises.md), on a tiny model with random weights."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from PIL import Image

from paperlib.models.vlm import VLM, Batch, load_vlm
from paperlib.stats.rule_exercises import Check

Intervention = Callable[[VLM, Batch, float], AbstractContextManager]


def hidden_block(seed: int = 0) -> VLM:
    """A tiny model in which one block alone, drawn from the seed, carries anything from one token to another.

    The attention of all other blocks adds nothing, so a picture reaches the answer in that block or not at all.
    """
    vlm = load_vlm("tiny", device="cpu")
    with torch.no_grad():
        for block, layer in enumerate(vlm.layers):
            weight = layer.self_attn.o_proj.weight
            weight.mul_(20.0 if block == _hidden(vlm, seed) else 0.0)
    return vlm


def _hidden(vlm: VLM, seed: int) -> int:
    return random.Random(f"hidden block {seed}").randrange(len(vlm.layers))


def asked(vlm: VLM) -> Batch:
    """One question about a red picture, for the exercises."""
    return vlm.batch([vlm.prompt("What is it?")], [Image.new("RGB", (64, 64), "red")])


def check_found(vlm: VLM, block: int, seed: int = 0) -> Check:
    """Find the circuit: whether this is the block that `hidden_block` left working."""
    if block != _hidden(vlm, seed):
        return Check(False, "closing the edge in that block changes nothing that the model says.")
    return Check(True, "nothing else in this model brings the picture to the answer.")


@torch.no_grad()
def check_intervention(intervention: Intervention) -> Check:
    """Add an intervention: ``intervention(vlm, batch, factor)`` is a context manager that does nothing at factor 1.

    Asked are: the same logits at factor 1; others at factor 0; the model as it was afterwards, after an error as well.
    """
    vlm = load_vlm("tiny", device="cpu")
    batch = asked(vlm)
    clean = vlm.model(**batch).logits
    with intervention(vlm, batch, 1.0):
        same = torch.equal(vlm.model(**batch).logits, clean)
    if not same:
        return Check(False, "at factor 1 it must do nothing, and the logits move.")
    with intervention(vlm, batch, 0.0):
        moved = not torch.equal(vlm.model(**batch).logits, clean)
    if not moved:
        return Check(False, "at factor 0 the logits stay as they are.")
    if not torch.equal(vlm.model(**batch).logits, clean):
        return Check(False, "the model is not as it was when the block of `with` has ended.")
    try:
        with intervention(vlm, batch, 0.0):
            raise RuntimeError("an error inside")
    except RuntimeError:
        pass
    if not torch.equal(vlm.model(**batch).logits, clean):
        return Check(False, "after an error inside, the model is not as it was.")
    return Check(True, "it acts, it can do nothing, and it undoes itself.")
