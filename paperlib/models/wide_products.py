"""Weights in 16 bits on a CPU without units for them: products are made in float32 and rounded to 16 bits again.

Such a CPU emulates products in 16 bits. Widening a weight for each product is many times faster, and the sums are
float32's in both ways, so results differ by a last rounding. Weights stay in 16 bits; one of them at a time is held in
float32 beside itself. `tests/benchmarks/test_product_speed.py` measures both ways.
"""

import torch
from torch import nn
from torch.nn import functional

from paperlib.models.precision import bfloat16_units

FEW = 32  # rows, up to which widening the weight takes longer than the emulated product


class WideLinear(nn.Linear):
    """A linear layer that multiplies in float32 where its weight has 16 bits and lies on a CPU.

    Gradients go the usual way: they would keep the wide weights until the end of the pass.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As of `torch.nn.Linear`: [..., in] to [..., out], in the precision of x."""
        rows = x.numel() // max(1, x.shape[-1])
        usual = x.device.type != "cpu" or x.dtype not in (torch.bfloat16, torch.float16) or torch.is_grad_enabled()
        if usual or rows <= FEW:
            return super().forward(x)
        bias = None if self.bias is None else self.bias.float()
        return functional.linear(x.float(), self.weight.float(), bias).to(x.dtype)


def widen(model: nn.Module) -> None:
    """Let every linear layer of a model be a `WideLinear`, if this CPU has no units for products in 16 bits.

    On a GPU, and for weights in float32, nothing changes.
    """
    if bfloat16_units(torch.device("cpu")):
        return
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = WideLinear
