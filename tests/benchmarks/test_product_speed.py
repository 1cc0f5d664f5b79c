"""A product of weights in bfloat16, as torch makes it and in float32 (`paperlib.models.wide_products`), in one run."""

import time

import pytest
import torch
from torch import nn

from paperlib.models.precision import bfloat16_units
from paperlib.models.wide_products import FEW, WideLinear


def seconds(layer: nn.Module, x: torch.Tensor, times: int = 3) -> float:
    layer(x)
    start = time.perf_counter()
    for _ in range(times):
        layer(x)
    return (time.perf_counter() - start) / times


@pytest.mark.skipif(bfloat16_units(torch.device("cpu")), reason="this CPU multiplies in bfloat16 itself")
@pytest.mark.parametrize("rows", [FEW + 1, 256, 1280])
@torch.no_grad()
def test_wide_products_against_emulated_ones(benchmark, rows):
    """An MLP's first matrix of a 7B model; ``rows`` tokens. Where widening begins it must not lose much."""
    layer = nn.Linear(4096, 11008, bias=False, dtype=torch.bfloat16)
    x = torch.randn(rows, 4096, dtype=torch.bfloat16)
    emulated = seconds(layer, x, 1)
    layer.__class__ = WideLinear
    wide = benchmark.pedantic(seconds, (layer, x))
    text = (
        f"{rows} rows: {1000 * emulated:.0f} ms emulated, {1000 * wide:.0f} ms in float32, ratio {emulated / wide:.1f}"
    )
    benchmark.extra_info["products"] = text
    print(f"\n{text}")
    assert emulated / wide > (0.8 if rows <= 2 * FEW else 3)
