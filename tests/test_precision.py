"""Fast products are bfloat16 where the hardware has them, inside the block alone, and never for logits."""

import pytest
import torch

from paperlib import precision
from paperlib.precision import bfloat16_units, exact_products, fast_products

CPU = torch.device("cpu")


@pytest.fixture(params=[True, False])
def units(request, monkeypatch):
    monkeypatch.setattr(precision, "bfloat16_units", lambda device: request.param)
    return request.param


def product():
    return torch.nn.functional.linear(torch.full((2, 3), 1.001), torch.full((2, 3), 1.001)).dtype


def test_inside_and_outside(units):
    expected = torch.bfloat16 if units else torch.float32
    with fast_products(CPU):
        assert product() == expected
        with exact_products(CPU):
            assert product() == torch.float32
        assert product() == expected
    assert product() == torch.float32
    with fast_products(CPU, fast=False):
        assert product() == torch.float32


def test_other_devices_have_no_units():
    assert not bfloat16_units(torch.device("meta"))
    assert isinstance(bfloat16_units(CPU), bool)
