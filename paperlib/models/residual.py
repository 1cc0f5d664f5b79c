"""The residual stream of the decoder: run it, watch its states, edit them, and know which edits are in force.

Layer 0 is the input embedding, layer l the state that block l reads (blocks count from 0), and layer L what the last
block returns, before the final norm. So block l reads layer l and writes layer l + 1. Some families add something
between two blocks, as Qwen3-VL adds visual features (DeepStack, arXiv 2406.04334). The layer includes it: what a block
reads is all that it knows of the blocks below. ``output_hidden_states`` of transformers lacks it there.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from paperlib.models.vlm import VLM
from paperlib.study.checks import check_numbers

Hook = tuple[int, Callable[[torch.Tensor], torch.Tensor | None]]  # (layer, function of its state)
_ACTIVE: WeakKeyDictionary[nn.Module, dict[object, int]] = WeakKeyDictionary()
_PAST: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()


def run(vlm: VLM, batch: dict) -> torch.Tensor:
    """The decoder's output after the final norm, [B, T, D]: a whole pass but for the head of the language model.

    Raises ValueError if the model is in training mode, where dropout and batch statistics would change states.
    """
    if vlm.base.training:
        raise ValueError("The model is in training mode: call vlm.model.eval() first.")
    return vlm.base.model(**batch, use_cache=False).last_hidden_state


def on_layer(vlm: VLM, layer: int, function: Callable, first: bool = False) -> RemovableHandle:
    """Call ``function(state)`` with the state of a layer, [B, T, D], in every pass until the handle is removed.

    What it returns replaces the state, unless it is None. Nothing is registered, so experiments use `watching` and
    `editing` instead. Functions on one layer run in the order in which they came, but with ``first`` before all others.
    Raises ValueError for a layer that the model does not have.
    """
    check_numbers([layer], len(vlm.layers) + 1, "layer")
    if layer < len(vlm.layers):

        def before(block: nn.Module, args: tuple) -> tuple | None:
            new = function(args[0])
            return None if new is None else (new, *args[1:])

        return vlm.layers[layer].register_forward_pre_hook(before, prepend=first)

    def after(block: nn.Module, args: tuple, output: Any) -> Any:
        new = function(output[0] if isinstance(output, tuple) else output)
        return (new, *output[1:]) if new is not None and isinstance(output, tuple) else new

    return vlm.layers[-1].register_forward_hook(after, prepend=first)


@contextlib.contextmanager
def watching(vlm: VLM, hooks: Iterable[tuple[int, Callable[[torch.Tensor], object]]]) -> Iterator[None]:
    """Show the state of a layer, [B, T, D], to each (layer, function) pair for as long as the ``with`` block runs.

    What the functions return is dropped, so the pass stays as it is.
    """
    with contextlib.ExitStack() as stack:
        for layer, function in hooks:
            stack.callback(on_layer(vlm, layer, _reading(function)).remove)
        yield


@contextlib.contextmanager
def editing(vlm: VLM, hooks: Iterable[Hook] = (), first: int | None = None) -> Iterator[None]:
    """An intervention, for as long as the ``with`` block runs.

    hooks: (layer, function) pairs; a function gets the state of its layer, [B, T, D], and what it returns replaces the
    state (None leaves it). first: the first block that may compute something else under the intervention, if that is
    below all layers of ``hooks``, or if there are none because the change is another one, such as of weights.

    The intervention is registered with that block, so that `interventions.tracing.Trace.resume` cannot skip it. Within
    it, `past` tells a pass over a prompt from one over tokens that follow. Raises ValueError without hooks and without
    ``first``, and for a layer that the model does not have.
    """
    hooks = list(hooks)
    changed = [layer for layer, _ in hooks] + ([] if first is None else [first])
    if not changed:
        raise ValueError("An intervention without hooks must say which block it changes first: give `first`.")
    decoder = vlm.model.get_decoder()
    active, me = _ACTIVE.setdefault(decoder, {}), object()
    with contextlib.ExitStack() as stack:
        stack.callback(decoder.register_forward_pre_hook(_note_past, with_kwargs=True).remove)
        stack.callback(decoder.register_forward_hook(_forget_past, always_call=True).remove)
        for layer, function in hooks:
            stack.callback(on_layer(vlm, layer, function).remove)
        active[me] = min(changed)
        stack.callback(active.pop, me)
        yield


def interventions(vlm: VLM) -> dict[object, int]:
    """The interventions that act on a model now, each with the number of the first block that it may change."""
    return dict(_ACTIVE.get(vlm.model.get_decoder(), {}))


def past(vlm: VLM) -> int:
    """How many positions lie in the key-value cache in the decoder's present pass, under an intervention (`editing`).

    0 without a cache, and in the pass over a prompt that fills it. A state [B, T, D] then holds the positions from this
    one on: in generation, the T = 1 token that was written last.
    """
    return _PAST.get(vlm.model.get_decoder(), 0)


def in_prompt(vlm: VLM, hooks: Iterable[Hook]) -> list[Hook]:
    """Hooks for `editing` that act in passes over whole sequences, and not on tokens that are generated after them.

    They raise ValueError for such a token if the pass over its prompt was not seen, for then nothing was changed.
    """
    seen: list[bool] = []

    def acting(function: Callable) -> Callable:
        def act(state: torch.Tensor) -> torch.Tensor | None:
            if not past(vlm):
                seen[:] = [True]
                return function(state)
            if not seen:
                raise ValueError(
                    "The prompt lies in the key-value cache already, where its states cannot be changed: enter the "
                    "intervention before the prompt's pass."
                )
            return None

        return act

    return [(layer, acting(function)) for layer, function in hooks]


def _note_past(decoder: nn.Module, args: tuple, kwargs: dict) -> None:
    cache = kwargs.get("past_key_values")
    _PAST[decoder] = 0 if cache is None else int(cache.get_seq_length())


def _forget_past(decoder: nn.Module, args: tuple, output: Any) -> None:
    _PAST.pop(decoder, None)


def _reading(function: Callable[[torch.Tensor], object]) -> Callable[[torch.Tensor], None]:
    def read(state: torch.Tensor) -> None:
        function(state)

    return read
