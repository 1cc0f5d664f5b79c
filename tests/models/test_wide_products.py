"""Linear layers in 16 bits on a CPU without units for them: the product is float32's, rounded once."""

import pytest
import torch
from small_models import picture, tiny_vlm
from torch import nn

from paperlib.models import wide_products
from paperlib.models.vlm import VLM
from paperlib.models.wide_products import FEW, WideLinear, widen


@pytest.fixture(params=[False, True], ids=["without units", "with units"])
def units(request, monkeypatch):
    monkeypatch.setattr(wide_products, "bfloat16_units", lambda device: request.param)
    return request.param


def layer(dtype, bias=True):
    torch.manual_seed(0)
    return nn.Linear(64, 48, bias).to(dtype).eval()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("bias", [True, False])
def test_a_product_is_that_of_float64_rounded_once(dtype, bias):
    plain, x = layer(dtype, bias), torch.randn(2, FEW, 64, generator=torch.Generator().manual_seed(1)).to(dtype)
    exact = nn.functional.linear(x.double(), plain.weight.double(), plain.bias.double() if bias else None)
    plain.__class__ = WideLinear
    with torch.no_grad():
        found = plain(x)
    assert found.dtype == dtype and found.shape == (2, FEW, 48)
    # Where float32's own error puts a number on the other side of a border, the neighbour is right as well.
    apart = found != exact.to(dtype)
    assert apart.float().mean() < 0.01
    assert torch.allclose(found.double(), exact, rtol=2 * torch.finfo(dtype).eps, atol=1e-6)


def test_layers_change_only_where_there_are_no_units(units):
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)).bfloat16()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    widen(model)
    assert [type(part) for part in model] == ([nn.Linear] if units else [WideLinear]) + [nn.ReLU] + (
        [nn.Linear] if units else [WideLinear]
    )
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_float32_few_rows_and_gradients_go_the_usual_way(monkeypatch):
    taken = []
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: taken.append(x.dtype) or x)
    with torch.no_grad():
        wide = layer(torch.float32)
        wide.__class__ = WideLinear
        wide(torch.zeros(99, 64))
        half = layer(torch.bfloat16)
        half.__class__ = WideLinear
        half(torch.zeros(FEW, 64, dtype=torch.bfloat16))
        assert taken == [torch.float32, torch.bfloat16]
        half(torch.zeros(FEW + 1, 64, dtype=torch.bfloat16))
        assert len(taken) == 2
    half(torch.zeros(FEW + 1, 64, dtype=torch.bfloat16))
    assert len(taken) == 3


def test_every_model_in_16_bits_is_widened_and_says_nearly_the_same(monkeypatch):
    monkeypatch.setattr(wide_products, "bfloat16_units", lambda device: True)
    usual = tiny_vlm()
    usual.model.bfloat16()
    prompts, pictures = [usual.prompt("What is at the top left of it?")] * 3, [picture(i) for i in range(3)]
    with torch.no_grad():
        plain = usual.model(**usual.batch(prompts, pictures)).logits
        monkeypatch.setattr(wide_products, "bfloat16_units", lambda device: False)
        wide = VLM(usual.name, usual.model, usual.processor)
        assert any(isinstance(module, WideLinear) for module in wide.model.modules())
        found = wide.model(**wide.batch(prompts, pictures)).logits
    assert torch.allclose(found, plain, atol=0.05 * float(plain.float().std()), rtol=0.05)
