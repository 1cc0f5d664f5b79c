"""Late entry: image tokens enter the decoder at a chosen block, and the blocks below run over text alone.

The paper concludes from its measurements that visual features bypass a language model's early blocks. Here they do so
by construction. With an entry at block k, image positions are left out of the sequence in blocks 0 to k - 1, which
saves their arithmetic and, in training, the backward pass. The connector's output joins at block k, times ``scale``,
which brings it to the norm of the residual stream there. Text keeps the position ids of the whole sequence, with a gap
for the picture. With scale 1, text is computed as under `interventions.bypass(vlm, image, enter=k, visible=False)`.
Only models built like LLaVA-1.5 are supported.

    install(vlm.model, k, measure_scale(vlm, batch, k))
    vlm.answer(picture, "What is it?")  # called as before
    with images(model, input_ids == image_token_id):  # needed if the decoder is called by itself
        model.get_decoder()(inputs_embeds=...)
"""

import contextlib
import json
import math
from collections.abc import Callable, Iterator
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import LlavaModel

from paperlib.models.split_pass import Around, Split, hide
from paperlib.models.unwrapping import base_model
from paperlib.study.results import write_json

FILE = "entry.json"


class LateEntry:
    """An entry in force, made by `install`. block: the first that sees image tokens. scale: their factor there."""

    def __init__(self, base: Any, block: int, scale: float):
        self.core, self.decoder, self.image_token = base.model, base.get_decoder(), base.config.image_token_id
        self.blocks, self.block, self.scale = self.decoder.layers, int(block), float(scale)
        self._where: torch.Tensor | None = None
        # Hooks would run inside of a compiled block and not at all after an interrupt; these do neither.
        self.core.forward, self.decoder.forward, self.decoder._entry = self._look, self._decode, self
        base.config.image_entry = {"enter": self.block, "scale": self.scale}  # so that save_pretrained writes it

    @contextlib.contextmanager
    def images(self, where: torch.Tensor) -> Iterator[None]:
        """Say which positions of the decoder's input hold image tokens, bool [B, T], within the ``with`` block."""
        outer, self._where = self._where, where
        try:
            yield
        finally:
            self._where = outer

    def _look(
        self, input_ids: torch.Tensor | None = None, pixel_values: torch.Tensor | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        """The forward of the model around the decoder, which knows where image tokens are."""
        forward = partial(type(self.core).forward, self.core, input_ids, pixel_values, *args, **kwargs)
        if input_ids is None:
            return forward()
        encoded = (kwargs.get("mm_encoder_outputs") or {}).get("image")  # how `generate` hands pictures on
        if pixel_values is None and encoded is None:  # an image token without a picture is a word
            where = torch.zeros_like(input_ids, dtype=torch.bool)
        else:
            where = input_ids == self.image_token
        with self.images(where):
            return forward()

    def _decode(self, *args: Any, **kwargs: Any) -> Any:
        """The decoder's forward."""
        where, cache = self._where, kwargs.get("past_key_values")
        forward = partial(type(self.decoder).forward, self.decoder, *args, **kwargs)
        blocks, number_of = self.decoder.layers, {block: i for i, block in enumerate(self.blocks)}
        numbers = [number_of.get(block, self.block) for block in blocks]  # a pass may take some of the blocks only
        if min(numbers, default=self.block) >= self.block:
            return forward()
        if numbers[0] != 0:
            raise ValueError(
                f"Image tokens enter at block {self.block}, but the decoder was started above block 0: "
                f"start it there, or at block {self.block} or above."
            )
        if where is None:
            raise ValueError(
                "The decoder does not know where image tokens are: call the whole model, or call the decoder "
                "within paperlib.models.late_entry.images(model, input_ids == image_token_id)."
            )
        earlier = getattr(cache, "image_positions", None)
        if where.any():
            if cache is not None and cache.get_seq_length():
                raise ValueError(
                    "Image tokens can enter only in the first pass that fills a key-value cache: give "
                    "pictures and the text before them in one pass."
                )
            around: Callable = Split(self, where)
        elif earlier is not None:
            around = partial(hide, earlier)
        else:
            return forward()
        self.decoder.layers = nn.ModuleList(
            [Around(around, i, block) if i < self.block else block for i, block in zip(numbers, blocks, strict=True)]
        )
        try:
            return forward()
        finally:
            self.decoder.layers = blocks


def install(model: nn.Module, block: int, scale: float = 1.0) -> LateEntry:
    """Let image tokens enter at a block from now on, until `remove`.

    model: a transformers model, a PeftModel around it, or a VLM. Block 0 with scale 1 is the model as it was. Raises
    ValueError for a block that doesn't exist, a scale that isn't finite and above 0 (at block 0: that isn't 1), and a
    model that is not a LLaVA or has an entry already.
    """
    check(model, block, scale)
    return LateEntry(_base(model), block, scale)


def check(model: nn.Module, block: int, scale: float = 1.0) -> None:
    """Raises the ValueError that `install` would raise; nothing is changed."""
    base = _base(model)
    if not isinstance(getattr(base, "model", None), LlavaModel):
        raise ValueError(f"{type(base).__name__} is not built like LLaVA-1.5: use a LlavaForConditionalGeneration.")
    if entry_of(base) is not None:
        raise ValueError("This model has a late entry already: call remove(model) first.")
    depth = len(base.get_decoder().layers)
    if isinstance(block, bool) or not isinstance(block, Integral) or not 0 <= block < depth:
        raise ValueError(f"Image tokens can't enter at block {block!r}: this model has blocks 0 to {depth - 1}.")
    if isinstance(scale, bool) or not isinstance(scale, Real) or not (math.isfinite(scale) and scale > 0):
        raise ValueError(
            f"The scale of image tokens must be finite and above 0, got {scale!r}: take what "
            f"measure_scale(vlm, batch, block) returns."
        )
    if block == 0 and scale != 1:
        raise ValueError(
            f"The scale of image tokens at block 0 must be 1, got {scale!r}: they are the connector's output there."
        )


def entry_of(model: nn.Module) -> LateEntry | None:
    """The entry in force in a model (or a PeftModel or VLM around it), or None."""
    return vars(_base(model).get_decoder()).get("_entry")


def remove(model: nn.Module) -> None:
    """Let image tokens enter at block 0 again; does nothing if they do already."""
    entry = entry_of(model)
    if entry is not None:
        del entry.core.forward, entry.decoder.forward, entry.decoder._entry  # the classes' own methods are back
        del _base(model).config.image_entry


def images(model: nn.Module, where: torch.Tensor) -> contextlib.AbstractContextManager:
    """`LateEntry.images` of the entry in force; does nothing where there is none."""
    entry = entry_of(model)
    return contextlib.nullcontext() if entry is None else entry.images(where)


@torch.no_grad()
def measure_scale(vlm: Any, batch: dict, block: int) -> float:
    """The scale that gives image tokens the L2 norm of text at a block: median norm of text tokens over mean norm of
    the connector's output, from one batch with pictures.

    The median, and without each row's first token, because single tokens hold massive activations (Sun et al.,
    arXiv 2402.17762). At block 0 it is 1. vlm: a `VLM`. Raises ValueError as `install` does, and for a batch without
    pictures.
    """
    image = batch["input_ids"] == vlm.image_token_id
    if batch.get("pixel_values") is None or not image.any():
        raise ValueError("The scale of image tokens is measured on pictures: give a batch with pictures.")
    entry, found = install(vlm.model, block), []
    handle = vlm.layers[block].register_forward_pre_hook(lambda _, args: found.append(args[0].float().norm(dim=-1)))
    try:
        if block == 0:
            return 1.0
        entry.core(**batch, use_cache=False)
    finally:
        handle.remove()
        remove(vlm.model)
    text = batch["attention_mask"].bool() & ~image
    text[:, 0] = False
    return (found[0][text].median() / found[0][image].mean()).item()


def save(folder: Path, entry: LateEntry | None) -> None:
    """Write an entry beside a model's adapters; None removes what an earlier run left there."""
    path = Path(folder) / FILE
    if entry is None:
        path.unlink(missing_ok=True)
    else:
        write_json(path, {"enter": entry.block, "scale": entry.scale})


def load(folder: Path, model: nn.Module) -> LateEntry | None:
    """Install the entry that `save` wrote; None if the folder has none.

    Raises ValueError as `install` does, and for a file that is damaged.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return None
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{FILE} in {path.parent.name} cannot be read: take the folder again.") from error
    return _install_saved(model, saved, f"{FILE} in {path.parent.name}")


def restore(model: nn.Module) -> LateEntry | None:
    """Install the entry that `save_pretrained` wrote into a model's configuration; None if there is none.

    `paperlib.models.loading` calls this; without it image tokens would enter at block 0. Raises ValueError as `load`
    does.
    """
    saved = getattr(model.config, "image_entry", None)
    return None if saved is None else _install_saved(model, saved, "image_entry in the model's configuration")


def _install_saved(model: Any, saved: Any, where: str) -> LateEntry:
    if not isinstance(saved, dict) or saved.keys() != {"enter", "scale"}:
        raise ValueError(f"{where} must hold 'enter' and 'scale': take the folder again.")
    return install(model, saved["enter"], saved["scale"])


def _base(model: Any) -> Any:
    return base_model(model if isinstance(model, nn.Module) else model.model)
