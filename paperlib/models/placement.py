"""Several models and one GPU: as many stay on it as its memory holds, and the others wait on the CPU.

A model is brought back before any of its parts runs, so experiments need not know. Models may share parameters
(`grafting.shared`); what is shared moves once, and stays while one of them is in use.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from paperlib.models.input_checks import VLMError
from paperlib.models.parts import connector, vision_tower, word_embeddings

SPARE = 0.2  # of a model's size: left free beside it, for what passes need


class Accelerator:
    """A device with a memory of its own."""

    def __init__(self, device: torch.device):
        self.device = device

    def free(self) -> int:
        """Bytes that can still be taken: what the device has left, and what torch holds of it without using it."""
        if self.device.type != "cuda":
            return 0 if self.device.type == "cpu" else 2**62  # elsewhere nobody can be asked: let it try
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info(self.device)[0]

    def holds(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor is there."""
        return tensor.device.type == self.device.type

    def take(self, tensors: Iterable[torch.Tensor]) -> None:
        """Bring tensors here, in place."""
        for tensor in tensors:
            tensor.data = tensor.data.to(self.device)

    def release(self, tensors: Iterable[torch.Tensor]) -> None:
        """Bring tensors to the CPU, in place."""
        for tensor in tensors:
            tensor.data = tensor.data.to("cpu")


class Placement:
    """The models that share a device. `add` each; those that were not used for the longest time leave it first."""

    def __init__(self, accelerator: Accelerator):
        """accelerator: the device, and how much of its memory is free."""
        self.accelerator = accelerator
        self._held: list[_Held] = []  # the one that was used last stands last
        self._current: _Held | None = None

    @property
    def device(self) -> torch.device:
        """Where models run."""
        return self.accelerator.device

    def add(self, vlm: Any) -> None:
        """Take care of a model, a `VLM`, for as long as someone holds it."""
        held = _Held(vlm, self._forget)
        self._held.insert(0, held)
        vlm.placement = self
        base = vlm.base
        parts = (base, base.model, base.get_decoder(), base.get_decoder().norm, base.get_output_embeddings())
        seeing = (word_embeddings(base), connector(base), vision_tower(base))
        for part in {id(part): part for part in (*parts, *seeing)}.values():
            part.register_forward_pre_hook(_Bring(self, held), prepend=True)

    def use(self, vlm: Any) -> None:
        """Bring a model to the device. Raises VLMError if it does not fit there even alone."""
        self._bring(next(held for held in self._held if held.vlm() is vlm))

    def _bring(self, held: _Held) -> None:
        here, kept = self.accelerator.holds, {id(weight) for weight in held.weights}
        if held is self._current and here(held.weights[0]):
            return
        away = [weight for weight in held.weights if not here(weight)]
        needed, spare = _size(away), SPARE * _size(held.weights)
        for other in [other for other in self._held if other is not held]:
            if needed + spare <= self.accelerator.free():
                break
            self.accelerator.release([w for w in other.weights if id(w) not in kept and here(w)])
        if needed > (free := self.accelerator.free()):
            raise VLMError(
                f"{held.name} needs {needed / 1e9:.1f} GB more on {self.device} and {free / 1e9:.1f} GB are free: end "
                f"what else runs there, choose dtype=bfloat16, a smaller model, or device=cpu."
            )
        self.accelerator.take(away)
        for module in held.modules:  # their buffers are few and small: they stay
            for name, buffer in module._buffers.items():
                module._buffers[name] = None if buffer is None else buffer.to(self.device)
        self._held.remove(held)
        self._held.append(held)
        self._current = held

    def _forget(self, held: _Held) -> None:
        self._held.remove(held)
        self._current = None if self._current is held else self._current

    def __deepcopy__(self, memo: dict) -> None:
        """A copy of a model is taken care of only once it is added."""


class _Held:
    """A model that is taken care of, and its weights as they are without an intervention in force."""

    def __init__(self, vlm: Any, forget: Callable[[_Held], None]):
        self.vlm = weakref.ref(vlm, lambda _: forget(self))
        self.name, self.weights, self.modules = vlm.name, list(vlm.model.parameters()), list(vlm.model.modules())


class _Bring:
    """A hook that brings a model to the device before one of its parts runs. In a copy of the model it does nothing."""

    def __init__(self, placement: Placement | None, held: _Held | None):
        self.placement, self.held = placement, held

    def __call__(self, module: nn.Module, args: tuple) -> None:
        if self.placement is not None and self.held is not None:
            self.placement._bring(self.held)

    def __deepcopy__(self, memo: dict) -> _Bring:
        return _Bring(None, None)


def _size(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
