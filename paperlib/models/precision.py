"""Mixed precision: bfloat16 matrix products, float32 residual stream, on hardware that has units for bfloat16.

A CPU without such units emulates bfloat16 many times slower than float32, so the choice of precision is made here.
"""

import contextlib
import os
from contextlib import AbstractContextManager

import torch

from paperlib.models.input_checks import VLMError
from paperlib.study.study import device_fault

# Values of ONEDNN_MAX_CPU_ISA that switch such units off; oneDNN ignores other values.
_WITHOUT_UNITS = {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"}


def chosen_device(device: str) -> str:
    """The device that a name stands for: "auto" takes a GPU if there is one. Raises VLMError if it is not there."""
    if missing := device_fault(str(device)):
        raise VLMError(missing)
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def bfloat16_units(device: torch.device) -> bool:
    """Whether a device multiplies in bfloat16 faster than in float32: a CPU with AMX or AVX-512 BF16, most GPUs.

    The variables ONEDNN_MAX_CPU_ISA and ATEN_CPU_CAPABILITY, which make a CPU act like an older one, are obeyed.
    """
    if device.type == "cpu":
        # torch asks the CPU itself and ignores the variables.
        there = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
        limit = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or ""
        return (
            there
            and limit.upper() not in _WITHOUT_UNITS
            and torch.backends.cpu.get_cpu_capability() not in ("DEFAULT", "NO AVX", "AVX2")
        )
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def product_dtype(device: torch.device, fast: bool = True) -> torch.dtype:
    """The precision of matrix products: bfloat16 if that is allowed (``fast``) and the device has units for it."""
    return torch.bfloat16 if fast and bfloat16_units(device) else torch.float32


def held_dtype(dtype: str, device: torch.device | str, built: bool) -> torch.dtype:
    """In which precision weights are held: "float32", "bfloat16", "float16", or what "auto" comes to.

    That is float32 on a CPU, and for the models that this project builds (built); bfloat16 on a GPU for all others.
    """
    if dtype == "auto":
        return torch.float32 if built or torch.device(device).type == "cpu" else torch.bfloat16
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[dtype]


def dtype_name(dtype: torch.dtype) -> str:
    """The name that records and figures use: "bfloat16" or "float32"."""
    return str(dtype).removeprefix("torch.")


def mixed_precision(device: torch.device, fast: bool = True) -> AbstractContextManager:
    """A ``with`` block in which linear layers and attention run in bfloat16; the residual stream stays in float32.

    About twice as fast, measured on a CPU with AMX (torch's own switch for float32 products, "medium", gained nothing
    there). Weights are rounded once per block, so one block should hold a whole evaluation. Nothing changes if not
    ``fast``, or if the hardware has no units for bfloat16.
    """
    if product_dtype(device, fast) == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def float32_products(device: torch.device) -> AbstractContextManager:
    """A ``with`` block in which `mixed_precision` around it has no effect: logits need all digits of float32."""
    return torch.autocast(device.type, enabled=False)
