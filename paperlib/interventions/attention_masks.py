"""Closing attention edges in the mask that a decoder block receives, in each of its three forms.

transformers gives a block no mask if sdpa can do plain causal attention, a bool mask (True: may attend) for sdpa
otherwise, and a float mask for eager attention, which is added to the scores. False written into a float mask closes
nothing, because it becomes the 0 of an open edge.
"""

import contextlib
from collections.abc import Callable, Iterator
from functools import lru_cache

import torch
from torch import nn

from paperlib.models.residual import editing
from paperlib.models.vlm import VLM


def close(mask: torch.Tensor | None, closed: torch.Tensor, causal: bool = True) -> torch.Tensor:
    """The mask with further edges closed.

    mask: None (all edges, or all from later to earlier tokens if ``causal``), or bool or float of [B or 1, heads or 1,
    T, T], queries before keys. closed: bool [B, 1, T, T]. Raises ValueError for any other mask.
    """
    if mask is None:
        ones = torch.ones(closed.shape[-2:], dtype=torch.bool, device=closed.device)
        return (ones.tril() if causal else ones) & ~closed
    if not isinstance(mask, torch.Tensor) or mask.ndim != 4 or mask.shape[-2:] != closed.shape[-2:]:
        raise ValueError(
            "The attention mask does not give queries by keys: use attn_implementation='eager' or 'sdpa' "
            "and no key-value cache."
        )
    if mask.dtype == torch.bool:
        return mask & ~closed
    return torch.where(closed, torch.finfo(mask.dtype).min, mask)


def check_attention(vlm: VLM) -> None:
    """Raises ValueError if the decoder's attention takes no mask of queries by keys (flash and flex attention)."""
    implementation = vlm.model.get_decoder().config._attn_implementation
    if implementation not in ("eager", "sdpa"):
        raise ValueError(
            f"Attention edges can't be closed in {implementation!r}: call "
            f"vlm.model.set_attn_implementation('sdpa') first."
        )


@contextlib.contextmanager
def closing(vlm: VLM, blocks: list[int], closed: Callable[[int, int], torch.Tensor]) -> Iterator[None]:
    """Close ``closed(B, T)``, bool [B, 1, T, T], in the given blocks for as long as the ``with`` block runs.

    This is an intervention (`residual.editing`), registered with the lowest of the blocks.
    """

    @lru_cache(maxsize=1)  # one for all blocks of a pass
    def edges(n_rows: int, length: int, device: torch.device) -> torch.Tensor:
        return closed(n_rows, length).to(device)

    def before(block: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        if "attention_mask" not in kwargs:
            raise ValueError(f"{type(block).__name__} takes no attention_mask by name: this family is not supported.")
        causal = getattr(getattr(block, "self_attn", None), "is_causal", True)
        mask = close(kwargs["attention_mask"], edges(*args[0].shape[:2], args[0].device), causal)
        return args, kwargs | {"attention_mask": mask}

    with contextlib.ExitStack() as stack:
        for i in blocks:
            stack.callback(vlm.layers[i].register_forward_pre_hook(before, with_kwargs=True).remove)
        stack.enter_context(editing(vlm, first=min(blocks, default=len(vlm.layers))))
        yield
