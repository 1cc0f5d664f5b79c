"""A device of so many bytes that does not exist: placement is decided as on a GPU, and weights stay on the CPU."""

import torch

from paperlib.models.placement import Accelerator


def size(model):
    return sum(p.numel() * p.element_size() for p in model.parameters())


class Pretended(Accelerator):
    """A device of so many bytes, on which everything is in truth on the CPU."""

    def __init__(self, capacity):
        super().__init__(torch.device("cpu"))
        self.capacity, self.there, self.moved = capacity, {}, 0

    def free(self):
        return self.capacity - sum(w.numel() * w.element_size() for w in self.there.values())

    def holds(self, tensor):
        return id(tensor) in self.there

    def take(self, tensors):
        self.there |= {id(tensor): tensor for tensor in tensors}
        self.moved += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        assert self.free() >= 0

    def release(self, tensors):
        for tensor in tensors:
            del self.there[id(tensor)]

    def holds_all(self, vlm):
        return all(self.holds(p) for p in vlm.model.parameters())
