"""Checks of the states that probes and distances between modalities are given, and the device they run on."""

from collections.abc import Mapping

import torch

from paperlib.study.study import device_fault


def check_states(states: Mapping) -> dict[str, torch.Tensor]:
    """States by name as float32 tensors [N, L+1, D].

    Probes standardise every dimension, so each may have a unit of its own. A dimension whose values are too large or
    too small to be squared in float32 is scaled to about 1, in the same way on all sides.
    Raises ValueError for anything that is not real numbers, for other shapes, for layers or widths that differ, and for
    values that are not finite.
    """
    try:
        tensors = {name: torch.as_tensor(part).detach() for name, part in states.items()}
    except (ValueError, TypeError, RuntimeError, AttributeError) as error:
        raise ValueError(
            "States must be numbers [examples, layers, width]: give tensors or arrays of floats."
        ) from error
    shapes = [tuple(part.shape) for part in tensors.values()]
    if any(part.is_complex() or part.dtype == torch.bool for part in tensors.values()):
        raise ValueError("States must be real numbers, not complex ones or truth values: give floats.")
    if any(len(shape) != 3 or 0 in shape for shape in shapes) or len({shape[1:] for shape in shapes}) > 1:
        raise ValueError(f"States must be [examples, layers, width], alike in the last two; got {shapes}.")
    if not all(bool(part.isfinite().all()) for part in tensors.values()):
        raise ValueError("Some states are NaN or infinite: capture them again, or leave these examples out.")
    tensors = {name: part if part.dtype == torch.float64 else part.float() for name, part in tensors.items()}
    exponent = (
        torch.stack([part.abs().amax(0).cpu().double() for part in tensors.values()]).amax(0).frexp()[1]
    )  # [L+1, D]
    unusual = (exponent < -17) | (exponent > 50)  # squares, or what `logistic.moments` takes for a constant
    if bool(unusual.any()):
        unit = torch.where(unusual, -exponent, 0).clamp(-1000, 1000).double().exp2()  # powers of two round nothing
        tensors = {name: part.double() * unit.to(part.device) for name, part in tensors.items()}
    return {name: part.float() for name, part in tensors.items()}


def pick_device(name: str) -> str:
    """The device that "auto" means here, or the one that is named. Raises ValueError for one that is not there."""
    if fault := device_fault(str(name)):
        raise ValueError(fault)
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
