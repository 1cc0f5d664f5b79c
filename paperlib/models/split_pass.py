"""One pass below a late entry (`paperlib.models.late_entry`): blocks run over text alone, and image tokens wait."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers.cache_utils import DynamicLayer


class Around(nn.Module):
    """A block below the entry. For one pass, ``around(number, block, state, kwargs)`` is called in its place."""

    def __init__(self, around: Callable, number: int, block: nn.Module):
        super().__init__()
        self.around, self.number, self.block = around, number, block

    def forward(self, state: torch.Tensor, **kwargs: Any) -> Any:
        """``state``: [B, T, D], as the block itself would get it."""
        return self.around(self.number, self.block, state, kwargs)


class Split:
    """A pass in which image tokens, ``where`` bool [B, T], wait below the entry and join the text there."""

    def __init__(self, entry: Any, where: torch.Tensor):
        counts = where.sum(1)
        if (counts != counts[0]).any():
            raise ValueError(
                f"All rows of a batch need the same number of image tokens to enter together, but got "
                f"{counts.tolist()}: make a batch for each number."
            )
        self.entry, self.where, self.n_image = entry, where, int(counts[0])
        order = where.byte().argsort(dim=1, stable=True)  # text, then image tokens, each in their order
        self.back = order.argsort(dim=1)
        self.text, self.image = order.split([where.shape[1] - self.n_image, self.n_image], dim=1)
        self.cut: dict[str, tuple] = {}  # argument -> as it came, at text positions

    def __call__(self, number: int, block: nn.Module, state: torch.Tensor, kwargs: dict) -> torch.Tensor:
        """A block below the entry, on text alone; the last one returns the states of all tokens, [B, T, D]."""
        enter = self.entry.block
        if block._forward_pre_hooks:  # those of capture and interventions count positions of the whole sequence
            raise ValueError(
                f"Block {number} holds text alone, since image tokens enter at block {enter}: capture and "
                f"intervene from layer {enter} on, or call remove(model) first."
            )
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
            raise ValueError(
                f"The places of image tokens are given for {tuple(self.where.shape)} rows and positions, but the "
                f"decoder got {tuple(state.shape[:2])}: give those of the same batch."
            )
        self.entering = state.take_along_dim(self.image[..., None], dim=1) * self.entry.scale
        text = state.take_along_dim(self.text[..., None], dim=1)
        # Image and text come in one tensor, so a connector that learns would have the gradient go on to words that
        # don't, through all blocks below the entry.
        return text if self.entry.decoder.get_input_embeddings().weight.requires_grad else text.detach()

    def _at_text(self, name: str, value: Any) -> Any:
        """An argument of the lower blocks at text positions, made once for all blocks that are given the same."""
        if value is None:  # as a mask: causal, which dropping tokens does not change
            return None
        if name not in self.cut or self.cut[name][0] is not value:
            if name == "attention_mask":
                if value.ndim != 4 or value.shape[-2:] != (self.where.shape[1],) * 2:
                    raise ValueError(
                        "The attention mask does not give queries by keys: use attn_implementation="
                        "'eager' or 'sdpa', and a key-value cache that grows (DynamicCache) or none."
                    )
                queries: Any = value.take_along_dim(self.text[:, None, :, None], 2)
                cut = queries.take_along_dim(self.text[:, None, None], 3)
            elif name == "position_embeddings":
                cut = tuple(part.take_along_dim(self.text[..., None], dim=1) for part in value)
            else:
                cut = value.take_along_dim(self.text, dim=1)
            self.cut[name] = (value, cut)
        return self.cut[name][1]

    def _fill(self, cache: Any, number: int) -> None:
        """Bring a lower block's keys and values to the length of the others, with zeros for image tokens; `hide`
        closes them to later passes.
        """
        layer = cache.layers[number]
        if type(layer) is not DynamicLayer:
            raise ValueError(
                f"Image tokens can't enter above block 0 with a {type(layer).__name__} in the key-value "
                f"cache: use a DynamicCache, or none."
            )
        for name in ("keys", "values"):
            text = getattr(layer, name)  # [B, heads, T - n, D of a head]
            zeros = text.new_zeros(*text.shape[:2], self.n_image, text.shape[-1])
            setattr(layer, name, torch.cat([text, zeros], 2).take_along_dim(self.back[:, None, :, None], 2))
        cache.image_positions = self.where


def hide(positions: torch.Tensor, number: int, block: nn.Module, state: torch.Tensor, kwargs: dict) -> Any:
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
