"""The residual stream of the decoder: running it, reading and replacing its states, and who replaces them now.

Layer 0 is the input embedding, layer l the state that block l reads (blocks count from 0), and layer L what the last
block returns, before the final norm. So block l reads layer l and writes layer l + 1. Where a family adds something
between two blocks, as Qwen3-VL adds visual features (DeepStack, arXiv 2406.04334), the layer has it in: what a block
reads is all that the blocks from there on know of those below. ``output_hidden_states`` of transformers lacks it there.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from paperlib.models.vlm import VLM
from paperlib.study.checks import check_numbers

_ACTIVE: WeakKeyDictionary[nn.Module, dict[object, int]] = WeakKeyDictionary()


def run(vlm: VLM, batch: dict) -> torch.Tensor:
    """The decoder's output after the final norm, [B, T, D]: a whole pass but for the head of the language model.

    Raises ValueError if the model is in training mode, where dropout and batch statistics would change states.
    """
    model = vlm.model.get_base_model() if hasattr(vlm.model, "get_base_model") else vlm.model
    if model.training:
        raise ValueError("The model is in training mode: call vlm.model.eval() first.")
    return model.model(**batch, use_cache=False).last_hidden_state


def on_layer(vlm: VLM, layer: int, function: Callable, first: bool = False) -> RemovableHandle:
    """Call ``function(state)`` with the state of a layer, [B, T, D], in every pass until the handle is removed.

    What it returns replaces the state, unless it is None. Functions on one layer run in the order in which they were
    put there; one that is to be ``first`` runs before those that are there already.
    Raises ValueError for a layer that the model does not have.
    """
    check_numbers([layer], len(vlm.layers) + 1, "layer")
    if layer < len(vlm.layers):

        def before(block, args):
            new = function(args[0])
            return None if new is None else (new, *args[1:])

        return vlm.layers[layer].register_forward_pre_hook(before, prepend=first)

    def after(block, args, output):
        new = function(output[0] if isinstance(output, tuple) else output)
        return (new, *output[1:]) if new is not None and isinstance(output, tuple) else new

    return vlm.layers[-1].register_forward_hook(after, prepend=first)


@contextlib.contextmanager
def hooked(vlm: VLM, hooks: Iterable[tuple[int, Callable]]) -> Iterator[None]:
    """`on_layer` for (layer, function) pairs, for as long as the block runs."""
    with contextlib.ExitStack() as stack:
        for layer, function in hooks:
            stack.callback(on_layer(vlm, layer, function).remove)
        yield


@contextlib.contextmanager
def acting(vlm: VLM, first: int) -> Iterator[None]:
    """Note, for as long as the block runs, that an intervention changes nothing that blocks below ``first`` compute."""
    active, me = _ACTIVE.setdefault(vlm.model.get_decoder(), {}), object()
    active[me] = first
    try:
        yield
    finally:
        del active[me]


def interventions(vlm: VLM) -> dict[object, int]:
    """The interventions that act on a model now, each with the number of the first block that it may change."""
    return dict(_ACTIVE.get(vlm.model.get_decoder(), {}))
