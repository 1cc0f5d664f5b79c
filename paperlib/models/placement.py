"""Several models and one GPU: as many stay on it as its memory holds, and the others wait on the CPU.

A model is brought back before any of its parts runs, so experiments need not know. Models may share parameters
(`grafting.shared`); what is shared moves once, and stays while one of them is in use.
"""

from __future__ import annotations

from collections.abc import Iterable
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
        self._models: list[Any] = []  # the one that was used last stands last
        self._weights: dict[int, list[nn.Parameter]] = {}  # as they are without an intervention in force

    @property
    def device(self) -> torch.device:
        """Where models run."""
        return self.accelerator.device

    def add(self, vlm: Any) -> None:
        """Take care of a model from now on. vlm: a `VLM`."""
        self._models.insert(0, vlm)
        self._weights[id(vlm)] = list(vlm.model.parameters())
        vlm.placement = self
        base = vlm.base
        parts = (base, base.model, base.get_decoder(), base.get_decoder().norm, base.get_output_embeddings())
        seeing = (word_embeddings(base), connector(base), vision_tower(base))
        for part in {id(part): part for part in (*parts, *seeing) if part is not None}.values():
            part.register_forward_pre_hook(lambda module, args: self.use(vlm), prepend=True)

    def use(self, vlm: Any) -> None:
        """Bring a model to the device. Raises VLMError if it does not fit there even alone."""
        if self._models[-1] is vlm and all(self.accelerator.holds(p) for p in self._weights[id(vlm)][:1]):
            return
        own = self._weights[id(vlm)]
        away, kept = [p for p in own if not self.accelerator.holds(p)], {id(p) for p in own}
        needed, spare = _size(away), SPARE * _size(own)
        for other in [m for m in self._models if m is not vlm]:
            if needed + spare <= self.accelerator.free():
                break
            theirs = self._weights[id(other)]
            self.accelerator.release(p for p in theirs if id(p) not in kept and self.accelerator.holds(p))
        if needed > (free := self.accelerator.free()):
            raise VLMError(
                f"{vlm.name} needs {needed / 1e9:.1f} GB more on {self.device} and {free / 1e9:.1f} GB are free: end "
                f"what else runs there, choose dtype=bfloat16, a smaller model, or device=cpu."
            )
        self.accelerator.take(away)
        for module in vlm.model.modules():  # few and small: they stay
            for name, buffer in module._buffers.items():
                module._buffers[name] = None if buffer is None else buffer.to(self.device)
        self._models.remove(vlm)
        self._models.append(vlm)


def _size(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
