"""Image tokens that enter the decoder at a block of one's choice: the blocks below run over the text alone.

The paper reads from its measurements that visual features bypass a language model's early blocks. Here they do so by
construction: with an entry at block k, image positions are left out of the sequence in blocks 0 to k - 1, which saves
their arithmetic and, in training, the backward pass. What the connector made of the picture joins at block k, times
``scale``, a number that brings it to the norm of the residual stream there. Text keeps the position ids of the whole
sequence, so that the gap that the picture will fill is there from the start. With scale 1, this computes for text what
`interventions.bypass(vlm, image, enter=k, visible=False)` does. For models built as LLaVA-1.5 is.

    install(vlm.model, k, measure_scale(vlm, batch, k))
    vlm.answer(picture, "What is it?")  # as ever
    with images(model, input_ids == image_token_id):  # tells a decoder that is called by itself
        model.get_decoder()(inputs_embeds=...)
"""

import contextlib
import json
import math
from collections.abc import Callable, Iterator
from functools import partial
from numbers import Integral, Real
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from transformers import LlavaModel
from transformers.cache_utils import DynamicLayer

from .results import write_json

FILE = "entry.json"


class Entry:
    """An entry in force, made by `install`. block: the first that sees image tokens. scale: what they are multiplied
    with when they enter."""

    def __init__(self, base: nn.Module, block: int, scale: float):
        self.core, self.decoder, self.image_token = base.model, base.get_decoder(), base.config.image_token_id
        self.blocks, self.block, self.scale = self.decoder.layers, int(block), float(scale)
        self._where: torch.Tensor | None = None
        # Hooks would run inside of a compiled block and not at all after an interrupt; these do neither.
        self.core.forward, self.decoder.forward, self.decoder._entry = self._look, self._decode, self

    @contextlib.contextmanager
    def images(self, where: torch.Tensor) -> Iterator[None]:
        """Tell which positions of the decoder's input hold image tokens, bool [B, T], for as long as the block runs."""
        outer, self._where = self._where, where
        try:
            yield
        finally:
            self._where = outer

    def _look(self, input_ids=None, pixel_values=None, *args, **kwargs):
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

    def _decode(self, *args, **kwargs):
        """The decoder's forward."""
        where, cache = self._where, kwargs.get("past_key_values")
        forward = partial(type(self.decoder).forward, self.decoder, *args, **kwargs)
        blocks, numbers = self.decoder.layers, {block: i for i, block in enumerate(self.blocks)}
        numbers = [numbers.get(block, self.block) for block in blocks]  # a pass may take some of the blocks only
        if min(numbers, default=self.block) >= self.block:
            return forward()
        if numbers[0] != 0:
            raise ValueError(f"Image tokens enter at block {self.block}, but the decoder was started above block 0: "
                             f"start it there, or at block {self.block} or above.")
        if where is None:
            raise ValueError("The decoder does not know where image tokens are: call the whole model, or the decoder "
                             "within paperlib.entry.images(model, input_ids == image_token_id).")
        earlier = getattr(cache, "image_positions", None)
        if where.any():
            if cache is not None and cache.get_seq_length():
                raise ValueError("Image tokens can enter only in the first pass that fills a key-value cache: give "
                                 "pictures and the text before them in one pass.")
            around = _Split(self, where)
        elif earlier is not None:
            around = partial(_hide, earlier)
        else:
            return forward()
        self.decoder.layers = nn.ModuleList([_Around(around, i, block) if i < self.block else block
                                             for i, block in zip(numbers, blocks)])
        try:
            return forward()
        finally:
            self.decoder.layers = blocks


def install(model: nn.Module, block: int, scale: float = 1.0) -> Entry:
    """Let image tokens enter at a block from now on, until `remove`. model: a PeftModel will do, and so will a VLM.

    Block 0 with scale 1 is the model as it was. Raises ValueError for a block that doesn't exist, a scale that isn't
    finite and above 0 (or, at block 0, not 1), a model that is not a LLaVA or has an entry already.
    """
    base = _base(model)
    if not isinstance(getattr(base, "model", None), LlavaModel):
        raise ValueError(f"{type(base).__name__} is not built as LLaVA-1.5 is: use a LlavaForConditionalGeneration.")
    if entered(base) is not None:
        raise ValueError("Image tokens have an entry in this model already: call remove(model) first.")
    depth = len(base.get_decoder().layers)
    if isinstance(block, bool) or not isinstance(block, Integral) or not 0 <= block < depth:
        raise ValueError(f"Image tokens can't enter at block {block!r}: this model has blocks 0 to {depth - 1}.")
    if isinstance(scale, bool) or not isinstance(scale, Real) or not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"The scale of image tokens must be finite and above 0, got {scale!r}: take what "
                         f"measure_scale(vlm, batch, block) returns.")
    if block == 0 and scale != 1:
        raise ValueError(f"The scale of image tokens at block 0 must be 1, got {scale!r}: they are there what the "
                         f"connector makes of them.")
    return Entry(base, block, scale)


def entered(model: nn.Module) -> Entry | None:
    """The entry in force in a model, a PeftModel or a VLM."""
    return vars(_base(model).get_decoder()).get("_entry")


def remove(model: nn.Module) -> None:
    """Let image tokens enter at the bottom again; nothing happens where they do."""
    entry = entered(model)
    if entry is not None:
        del entry.core.forward, entry.decoder.forward, entry.decoder._entry  # the classes' own methods are back


def images(model: nn.Module, where: torch.Tensor) -> contextlib.AbstractContextManager:
    """`Entry.images` of the entry in force; does nothing where there is none."""
    entry = entered(model)
    return contextlib.nullcontext() if entry is None else entry.images(where)


@torch.no_grad()
def measure_scale(vlm, batch: dict, block: int) -> float:
    """The scale at which image tokens enter a block as large as text is there, in L2 norm: that of text tokens over
    that of the connector's output, from one batch with pictures.

    Text counts by its median without each row's first token, for single tokens hold massive activations (Sun et al.,
    arXiv 2402.17762). At block 0 nothing is to be matched and it is 1. Raises ValueError as `install` does, and for a
    batch without pictures.
    """
    image = batch["input_ids"] == vlm.image_token_id
    if batch.get("pixel_values") is None or not image.any():
        raise ValueError("The scale of image tokens is measured on pictures: give a batch that has some.")
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


def save(folder: Path, entry: Entry | None) -> None:
    """Write an entry beside a model's adapters; with None, take away what an earlier run left there."""
    path = Path(folder) / FILE
    if entry is None:
        path.unlink(missing_ok=True)
    else:
        write_json(path, {"enter": entry.block, "scale": entry.scale})


def load(folder: Path, model: nn.Module) -> Entry | None:
    """Install the entry that `save` wrote; None if the folder has none.

    Raises ValueError as `install` does, and for a file that is damaged.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return None
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{FILE} in {path.parent.name} cannot be read: take the folder again.") from error
    if not isinstance(told, dict) or told.keys() != {"enter", "scale"}:
        raise ValueError(f"{FILE} in {path.parent.name} must hold 'enter' and 'scale': take the folder again.")
    return install(model, told["enter"], told["scale"])


def _base(model) -> nn.Module:
    model = model if isinstance(model, nn.Module) else model.model  # a VLM
    return model.get_base_model() if hasattr(model, "get_base_model") else model


class _Around(nn.Module):
    """A block below the entry, with something around it for one pass."""

    def __init__(self, around: Callable, number: int, block: nn.Module):
        super().__init__()
        self.around, self.number, self.block = around, number, block

    def forward(self, state, **kwargs):
        return self.around(self.number, self.block, state, kwargs)


class _Split:
    """A pass over text and image tokens, bool [B, T]: apart below the entry, together from there on."""

    def __init__(self, entry: Entry, where: torch.Tensor):
        counts = where.sum(1)
        if (counts != counts[0]).any():
            raise ValueError(f"All rows of a batch need the same number of image tokens to enter together, but got "
                             f"{counts.tolist()}: make a batch for each number.")
        self.entry, self.where, self.n_image = entry, where, int(counts[0])
        order = where.byte().argsort(dim=1, stable=True)  # text, then image tokens, each in their order
        self.back = order.argsort(dim=1)
        self.text, self.image = order.split([where.shape[1] - self.n_image, self.n_image], dim=1)
        self.cut: dict[str, tuple] = {}  # argument -> as it came, at text positions

    def __call__(self, number: int, block: nn.Module, state: torch.Tensor, kwargs: dict):
        enter = self.entry.block
        if block._forward_pre_hooks:  # those of capture and interventions count positions of the whole sequence
            raise ValueError(f"Block {number} holds text alone, since image tokens enter at block {enter}: capture and "
                             f"intervene from layer {enter} on, or call remove(model) first.")
        if number == 0:
            state = self._apart(state)
        names = ("attention_mask", "position_embeddings", "position_ids")
        state = block(state, **kwargs | {name: self._at_text(name, kwargs.get(name)) for name in names})
        if kwargs.get("past_key_values") is not None:
            self._fill(kwargs["past_key_values"], number)
        if number < enter - 1:
            return state
        state = torch.cat([state, self.entering.to(state.dtype)], dim=1)
        return state.take_along_dim(self.back[..., None], dim=1)

    def _apart(self, state: torch.Tensor) -> torch.Tensor:
        """The states of text [B, T - n, D]; those of image tokens are kept."""
        if state.shape[:2] != self.where.shape:
            raise ValueError(f"Image tokens are told for {tuple(self.where.shape)} rows and positions, but the decoder "
                             f"got {tuple(state.shape[:2])}: tell them for the same batch.")
        self.entering = state.take_along_dim(self.image[..., None], dim=1) * self.entry.scale
        text = state.take_along_dim(self.text[..., None], dim=1)
        # Image and text come in one tensor, so a connector that learns would have the gradient go on to words that
        # don't, through all blocks below the entry.
        return text if self.entry.decoder.get_input_embeddings().weight.requires_grad else text.detach()

    def _at_text(self, name: str, value):
        """An argument of the lower blocks at text positions, made once for all blocks that are given the same."""
        if value is None:  # as a mask: causal, which dropping tokens does not change
            return None
        if name not in self.cut or self.cut[name][0] is not value:
            if name == "attention_mask":
                if value.ndim != 4 or value.shape[-2:] != (self.where.shape[1],) * 2:
                    raise ValueError("The attention mask does not give queries by keys: use attn_implementation="
                                     "'eager' or 'sdpa', and a key-value cache that grows (DynamicCache) or none.")
                cut = value.take_along_dim(self.text[:, None, :, None], 2).take_along_dim(self.text[:, None, None], 3)
            elif name == "position_embeddings":
                cut = tuple(part.take_along_dim(self.text[..., None], dim=1) for part in value)
            else:
                cut = value.take_along_dim(self.text, dim=1)
            self.cut[name] = (value, cut)
        return self.cut[name][1]

    def _fill(self, cache, number: int) -> None:
        """Bring a lower block's keys and values to the length of the others, with zeros for image tokens; `_hide`
        closes them to later passes."""
        layer = cache.layers[number]
        if type(layer) is not DynamicLayer:
            raise ValueError(f"Image tokens can't enter above block 0 with a {type(layer).__name__} in the key-value "
                             f"cache: use a DynamicCache, or none.")
        for name in ("keys", "values"):
            text = getattr(layer, name)  # [B, heads, T - n, D of a head]
            zeros = text.new_zeros(*text.shape[:2], self.n_image, text.shape[-1])
            setattr(layer, name, torch.cat([text, zeros], 2).take_along_dim(self.back[:, None, :, None], 2))
        cache.image_positions = self.where


def _hide(positions: torch.Tensor, number: int, block: nn.Module, state: torch.Tensor, kwargs: dict):
    """A lower block in a later pass, with a cache: it does not see the image's ``positions``, bool [B, P]."""
    n_keys = kwargs["past_key_values"].get_seq_length(number) + state.shape[1]
    closed = F.pad(positions, (0, n_keys - positions.shape[1]))[:, None, None]
    mask = kwargs.get("attention_mask")
    if mask is None:  # only where one query sees all keys
        mask = ~closed
    elif mask.dtype == torch.bool:
        mask = mask & ~closed
    else:
        mask = mask.masked_fill(closed, torch.finfo(mask.dtype).min)
    return block(state, **kwargs | {"attention_mask": mask})
