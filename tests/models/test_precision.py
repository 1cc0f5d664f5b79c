"""Fast products are bfloat16 where the hardware has them, inside the block alone, and never for logits."""

import os
import re
import subprocess
import sys

import pytest
import torch

from paperlib.models import precision
from paperlib.models.precision import bfloat16_units, float32_products, mixed_precision, product_dtype
from paperlib.study.study import CODE_ROOT

CPU = torch.device("cpu")


@pytest.fixture(params=[True, False])
def units(request, monkeypatch):
    monkeypatch.setattr(precision, "bfloat16_units", lambda device: request.param)
    return request.param


def product():
    return torch.nn.functional.linear(torch.full((2, 3), 1.001), torch.full((2, 3), 1.001)).dtype


def test_inside_and_outside(units):
    expected = torch.bfloat16 if units else torch.float32
    with mixed_precision(CPU):
        assert product() == expected
        with float32_products(CPU):
            assert product() == torch.float32
        assert product() == expected
    assert product() == torch.float32
    with mixed_precision(CPU, fast=False):
        assert product() == torch.float32


def test_other_devices_have_no_units():
    assert not bfloat16_units(torch.device("meta"))
    assert isinstance(bfloat16_units(CPU), bool)


# ---------------------------------------------------------------- what the machine has, and plays


@pytest.fixture
def able(monkeypatch):
    """A CPU that has both kinds of units, whatever runs this."""
    for variable in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")


@pytest.mark.parametrize(
    "variable, word, has",
    [
        ("ONEDNN_MAX_CPU_ISA", "AVX2", False),
        ("ONEDNN_MAX_CPU_ISA", "avx512_core", False),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_VNNI", False),
        ("DNNL_MAX_CPU_ISA", "SSE41", False),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16", True),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_AMX", True),
        ("ONEDNN_MAX_CPU_ISA", "ALL", True),
        ("ONEDNN_MAX_CPU_ISA", "", True),
    ],
)
def test_a_lesser_oneDNN_is_obeyed(able, monkeypatch, variable, word, has):
    monkeypatch.setenv(variable, word)
    assert bfloat16_units(CPU) == has
    assert product_dtype(CPU) == (torch.bfloat16 if has else torch.float32)
    assert product_dtype(CPU, fast=False) == torch.float32


@pytest.mark.parametrize("capability, has", [("AVX2", False), ("DEFAULT", False), ("AVX512", True)])
def test_a_lesser_torch_is_obeyed(able, monkeypatch, capability, has):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert bfloat16_units(CPU) == has


def test_a_cpu_without_units_has_none(able, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert bfloat16_units(CPU)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert not bfloat16_units(CPU)


def test_a_process_that_plays_avx2_computes_in_float32():
    """As a reader starts it: nothing is patched."""
    code = (
        "import torch; from paperlib.models.precision import *; device = torch.device('cpu')\n"
        "with mixed_precision(device): x = torch.nn.functional.linear(torch.ones(2, 3), torch.ones(2, 3))\n"
        "print(dtype_name(x.dtype), dtype_name(product_dtype(device)))"
    )
    played = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "PYTHONPATH": str(CODE_ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=played, capture_output=True, text=True)
    assert done.stdout.split() == ["float32", "float32"], done.stderr[-1000:]


def test_nothing_goes_to_bfloat16_without_asking():
    """Autocast is switched on, and weights are rounded, where `product_dtype` has been asked; one more place that
    doesn't ask would make a CPU without units many times slower."""
    files = [
        *(CODE_ROOT / "paperlib").rglob("*.py"),
        *(CODE_ROOT / "tests" / "benchmarks").glob("*.py"),
        *(CODE_ROOT / "notebooks").glob("*.ipynb"),
    ]
    forced = re.compile(r"autocast\((?!.*enabled=False)|\.bfloat16\(|(to|dtype)\(torch\.bfloat16")
    found = sorted(
        path.name for path in files for line in path.read_text(encoding="utf-8").splitlines() if forced.search(line)
    )
    rounding = ["finetune.py", "precision.py", "scaled_training.py"]
    assert found == rounding, "both training loops round the frozen LLM where product_dtype says so"


def test_weights_are_held_in_bfloat16_on_a_gpu_but_for_what_is_built_here():
    for dtype, device, built, expected in (
        ("auto", "cpu", False, torch.float32),
        ("auto", "cuda:0", False, torch.bfloat16),
        ("auto", "cuda:0", True, torch.float32),
        ("float16", "cpu", True, torch.float16),
        ("bfloat16", "cpu", False, torch.bfloat16),
        ("float32", "cuda", False, torch.float32),
    ):
        assert precision.held_dtype(dtype, device, built) == expected
