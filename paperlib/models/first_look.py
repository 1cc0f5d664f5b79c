"""What a first look at a model shows: its parts, a prompt token by token, and how large each signal is."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torch import nn

from paperlib.models.capture import token_states
from paperlib.models.parts import connector, vision_parameters, vision_tower, word_embeddings
from paperlib.models.processors import encode
from paperlib.models.token_sets import spelled
from paperlib.models.vlm import VLM


def parts(vlm: VLM) -> list[dict]:
    """The parts of a model in the order in which a picture passes them: {"part", "class", "parameters"} each.

    The tower is counted without the connector, of which it may be a part. Parameters that the head shares with the word
    embeddings count once.
    """
    found = {
        "vision tower": vision_tower(vlm.model),
        "connector": connector(vlm.model),
        "word embeddings": word_embeddings(vlm.model),
        "blocks of the LLM": vlm.layers,
    }
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in found.items()}
    counts["vision tower"] = sum(p.numel() for _, p in vision_parameters(vlm.model))
    return [{"part": name, "class": type(part).__name__, "parameters": counts[name]} for name, part in found.items()]


def prompt_tokens(vlm: VLM, question: str, image: Image.Image, answer: str) -> list[tuple[str, str]]:
    """Every token of a question about a picture, with its answer, as the model reads them: (token, role).

    Roles are image, question, answer, and template for the chat format.
    """
    prompt = vlm.prompt(question)
    batch = vlm.batch([prompt], [image], [answer])
    spans = vlm.spans(batch)[0]
    # Counted from the prompt's end: what stands before the question is longer in the batch, by the picture's tokens.
    behind = len(encode(vlm.tokenizer, prompt)["input_ids"]) - spelled(vlm, [prompt], [question])[0]
    roles = dict.fromkeys((int(spans.question[-1]) + 1 - behind).tolist(), "question")
    roles |= dict.fromkeys(spans.image.tolist(), "image") | dict.fromkeys(spans.answer.tolist(), "answer")
    words = vlm.tokenizer.convert_ids_to_tokens(batch["input_ids"][0])
    return [(word, roles.get(i, "template")) for i, word in enumerate(words)]


@torch.no_grad()
def signals(vlm: VLM, image: Image.Image) -> list[dict]:
    """From pixels to image tokens, and the word embeddings beside them: {"signal", "shape", "rms"} each.

    rms: root mean square of the entries. Image tokens and words stand in one sequence, so their ratio tells how much
    louder the one is than the other.
    """
    batch = vlm.batch([vlm.prompt("What is this?")], [image])
    seen: dict[str, torch.Tensor] = {}

    def note(module: nn.Module, args: tuple, output: Any) -> None:
        seen["features of the vision tower"] = args[0]  # what the connector is given

    with connector(vlm.model).register_forward_hook(note):
        (tokens,) = token_states(vlm, batch, [0])
    found = {
        "pixels": batch["pixel_values"],
        **seen,
        "image tokens": tokens[0],
        "word embeddings": word_embeddings(vlm.model).weight,
    }
    return [
        {"signal": name, "shape": " x ".join(map(str, value.shape)), "rms": float(value.float().square().mean().sqrt())}
        for name, value in found.items()
    ]
