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

from paperlib.models.residual import editing, past
from paperlib.models.token_sets import TokenSet, check_fit, flat
from paperlib.models.vlm import VLM


def close(mask: torch.Tensor | None, closed: torch.Tensor, causal: bool = True) -> torch.Tensor:
    """The mask with further edges closed.

    mask: None (all edges, or all from later to earlier tokens if ``causal``), or bool or float of [B or 1, heads or 1,
    Q, K], queries before keys. closed: bool [B, 1, Q, K or more], of which the last K keys are taken: a sliding window
    leaves the first ones out. The queries are the last Q of all tokens. Raises ValueError for any other mask.
    """
    if mask is None:
        queries, keys = closed.shape[-2:]
        ones = torch.ones(queries, keys, dtype=torch.bool, device=closed.device)
        return (ones.tril(keys - queries) if causal else ones) & ~closed
    fits = isinstance(mask, torch.Tensor) and mask.ndim == 4 and mask.shape[-2] == closed.shape[-2]
    if not fits or mask.shape[-1] > closed.shape[-1]:
        raise ValueError(
            "The attention mask does not give queries by keys: use attn_implementation='eager' or 'sdpa', "
            "and a key-value cache that grows (DynamicCache) or none."
        )
    closed = closed[..., -mask.shape[-1] :]
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
    """Close edges in the given blocks for as long as the ``with`` block runs.

    closed: (B, T) -> bool [B, 1, T + 1, T], queries before keys, for a pass over B whole sequences of T tokens. The
    last query stands for every token that is generated after them: it has that query's closed edges, and sees itself
    and all tokens between. Those tokens come one by one with a key-value cache, and the sequences end together
    (`models.left_padding`); anything else is refused with a ValueError in the pass itself.

    This is an intervention (`residual.editing`), registered with the lowest of the blocks.
    """
    prompt: list[int] = []  # rows and tokens of the last pass over whole sequences

    @lru_cache(maxsize=1)
    def whole(n_rows: int, length: int, device: torch.device) -> torch.Tensor:
        return closed(n_rows, length).to(device)

    @lru_cache(maxsize=1)  # one for all blocks of a pass
    def edges(n_rows: int, length: int, before: int, device: torch.device) -> torch.Tensor:
        if not before:
            return whole(n_rows, length, device)[:, :, :-1]
        return nn.functional.pad(whole(*prompt, device)[:, :, -1:], (0, before + length - prompt[1]))

    def before_block(block: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        if "attention_mask" not in kwargs:
            raise ValueError(f"{type(block).__name__} takes no attention_mask by name: this family is not supported.")
        (n_rows, length), before, mask = args[0].shape[:2], past(vlm), kwargs["attention_mask"]
        if before:
            _check_growth(prompt, n_rows, length, before, mask)
        else:
            prompt[:] = [n_rows, length]
        causal = getattr(getattr(block, "self_attn", None), "is_causal", True)
        mask = close(mask, edges(n_rows, length, before, args[0].device), causal)
        return args, kwargs | {"attention_mask": mask}

    with contextlib.ExitStack() as stack:
        for i in blocks:
            stack.callback(vlm.layers[i].register_forward_pre_hook(before_block, with_kwargs=True).remove)
        stack.enter_context(editing(vlm, first=min(blocks, default=len(vlm.layers))))
        yield


def from_others(positions: TokenSet, n_rows: int, length: int) -> torch.Tensor:
    """The edges by which all other tokens attend to these, those that follow included, bool [B, 1, T + 1, T]."""
    check_fit(positions, n_rows, length)
    inside = torch.zeros(n_rows, length + 1, dtype=torch.bool)
    inside[flat(positions, inside.device)] = True
    return (~inside[:, None, :, None]) & inside[:, None, None, :-1]


def _check_growth(prompt: list[int], n_rows: int, length: int, before: int, mask: torch.Tensor | None) -> None:
    """Raises ValueError unless a pass adds one token to each of the sequences whose pass was seen."""
    if not prompt or prompt[0] != n_rows or before < prompt[1] or length != 1:
        raise ValueError(
            "With a key-value cache, attention edges can be closed only from the prompt's pass on and one new token at "
            "a time: enter the intervention before the prompt's pass, and give the tokens that follow one by one."
        )
    if before == prompt[1] and isinstance(mask, torch.Tensor):  # the first new token; it sees the prompt's last one
        last = mask[..., -2].float()
        if ((last == 0) if mask.dtype == torch.bool else last < 0).any():
            raise ValueError(
                "The rows of this batch end apart, so the tokens that follow a prompt cannot be told from it: use "
                "left_padded(batch), and make token sets from that."
            )
