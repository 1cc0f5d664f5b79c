"""States of pictures and of captions, each where a user's turn begins, so that the two can be compared.

A picture is read at its image tokens, a caption at its own tokens. What stands before either is the start of the user's
turn and nothing else.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from paperlib.models.capture import capture
from paperlib.models.vlm import VLM

BATCH = 64


def picture_states(vlm: VLM, pictures: Sequence[Image.Image], cache: Path | None = None) -> dict[str, torch.Tensor]:
    """{"image mean", "image last": [N, L + 1, D]} of pictures, kept in the folder ``cache``.

    The decoder is causal: what follows the image tokens cannot change them, so the prompt ends there.
    Raises as `capture.capture`.
    """
    front, placeholder, _ = vlm.prompt("").partition(vlm.tokenizer.convert_ids_to_tokens(vlm.image_token_id))
    prompt = front + placeholder if placeholder else vlm.prompt("")
    return capture(
        vlm,
        [prompt] * len(pictures),
        pictures,
        batch_size=BATCH,
        fast=True,
        positions=("image mean", "image last"),
        cache=cache,
    )


def caption_states(vlm: VLM, captions: Sequence[str], cache: Path | None = None) -> dict[str, torch.Tensor]:
    """{"text mean", "text last": [N, L + 1, D]} of captions, kept in the folder ``cache``.

    In some LLMs a text's first full stop or line break holds massive values (see `paperlib.models.capture`).
    A line break before the caption takes that role, so the caption's full stop, where "text last" reads, does not.
    Raises as `capture.capture`.
    """
    front = vlm.prompt("Look.", False).partition("Look.")[0].rstrip() + "\n"
    return capture(
        vlm,
        [front] * len(captions),
        None,
        captions,
        batch_size=BATCH,
        fast=True,
        positions=("text mean", "text last"),
        cache=cache,
    )
