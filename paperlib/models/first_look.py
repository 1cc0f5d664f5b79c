"""What a first look at a model shows: its parts, a prompt token by token, and how large each signal is."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image

from paperlib.models.vlm import VLM


def parts(vlm: VLM) -> list[dict]:
    """The parts of a LLaVA in the order in which a picture passes them: {"part", "class", "parameters"} each.

    "blocks" counts the LLM's transformer blocks; parameters that the head shares with the word embeddings count once.
    """
    core: Any = vlm.model.model  # a stock LlavaModel
    found = {
        "vision tower": core.vision_tower,
        "connector": core.multi_modal_projector,
        "word embeddings": core.language_model.embed_tokens,
        "blocks of the LLM": vlm.layers,
    }
    return [
        {"part": name, "class": type(part).__name__, "parameters": sum(p.numel() for p in part.parameters())}
        for name, part in found.items()
    ]


def prompt_tokens(vlm: VLM, question: str, image: Image.Image, answer: str) -> list[tuple[str, str]]:
    """Every token of a question about a picture, with its answer, as the model reads them: (token, role).

    Roles are image, question, answer, and template for the chat format.
    """
    batch = vlm.batch([vlm.prompt(question)], [image], [answer])
    spans = vlm.spans(batch)[0]
    start = int(spans.question[0])  # the chat format puts the question right behind the picture
    roles = dict.fromkeys(range(start, start + len(vlm.tokenizer(question)["input_ids"])), "question")
    roles |= dict.fromkeys(spans.image.tolist(), "image") | dict.fromkeys(spans.answer.tolist(), "answer")
    words = vlm.tokenizer.convert_ids_to_tokens(batch["input_ids"][0])
    return [(word, roles.get(i, "template")) for i, word in enumerate(words)]


@torch.no_grad()
def signals(vlm: VLM, image: Image.Image) -> list[dict]:
    """From pixels to image tokens, and the word embeddings beside them: {"signal", "shape", "rms"} each.

    rms: root mean square of the entries. Image tokens and words stand in one sequence, so their ratio tells how much
    louder the one is than the other.
    """
    model: Any = vlm.model
    pixels = vlm.batch([vlm.prompt("What is this?")], [image])["pixel_values"]
    found = {
        "pixels": pixels,
        "features of the vision tower": model.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-1],
        "image tokens": model.get_image_features(pixels).pooler_output[0],
        "word embeddings": model.get_input_embeddings().weight,
    }
    return [
        {"signal": name, "shape": " x ".join(map(str, value.shape)), "rms": float(value.float().square().mean().sqrt())}
        for name, value in found.items()
    ]
