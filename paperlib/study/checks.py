"""Checks of arguments that every module makes alike."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike


def whole(
    value: Any, name: str, least: int = 1, most: int | None = None, why: str = "", error: type[Exception] = ValueError
) -> int:
    """The value as an int, if it is a whole number from `least` to `most`: an int or one of numpy's.

    True, 3.0 and "3" are refused: each is a slip more often than a count. Raises `error`, in one sentence that `why`
    ends, for anything else.
    """
    if (
        isinstance(value, bool)
        or not isinstance(value, Integral)
        or not least <= int(value) <= (int(value) if most is None else most)
    ):
        span = f"of at least {least:,}" if most is None else f"from {least:,} to {most:,}"
        raise error(f"{name} must be a whole number {span}, got {shown(value)}{why and ': '}{why}.")
    return int(value)


def seeded(seed: Any, error: type[Exception] = ValueError) -> np.random.Generator:
    """Numpy's generator from a seed, a whole number of at least 0: None would draw otherwise each time."""
    import numpy as np

    return np.random.default_rng(whole(seed, "seed", 0, error=error))


def share(value: Any, name: str, error: type[Exception] = ValueError) -> float:
    """The value as a float, if it is a number between 0 and 1, both excluded."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < 1:
        raise error(f"{name} must lie between 0 and 1, got {shown(value)}.")
    return float(value)


def finite(values: ArrayLike, name: str, ndim: int | None = None, error: type[Exception] = ValueError) -> np.ndarray:
    """The values as a float64 array, if they are finite real numbers [N] (`ndim` = 1) or a table of them (2)."""
    import numpy as np  # here, so that a study's parameters are checked before anything is installed

    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as fault:  # rows of unequal length, or a tensor on a GPU
        raise error(f"{name} must be one array of numbers: give all rows the same length.") from fault
    if array.dtype.kind not in "biuf" or ndim not in (None, array.ndim):
        wanted = {None: "", 1: " in one row", 2: " in a table"}[ndim]
        raise error(f"{name} must be numbers{wanted}, got an array of {array.dtype} of shape {list(array.shape)}.")
    array = array.astype(float)
    if bad := int((~np.isfinite(array)).sum()):
        raise error(f"{name} must be finite, and {bad} of {array.size} are NaN or infinite: leave those out.")
    return array


def shown(value: Any) -> str:
    """A value on one short line, as messages show it."""
    if type(value) is int and value.bit_length() > 200:  # Python refuses to print the longest
        return f"a number of {value.bit_length()} bits"
    if getattr(value, "shape", ()):  # rows of numbers are many lines
        return f"{type(value).__name__} of shape {list(value.shape)}"
    return " ".join(reprlib.repr(value).split())


def check_numbers(numbers: Iterable[int], end: int, what: str) -> list[int]:
    """The numbers of blocks or layers, ascending, each once. Raises ValueError for any but whole numbers below end."""
    numbers = list(numbers)
    bad = [n for n in numbers if isinstance(n, bool) or not isinstance(n, Integral) or not 0 <= n < end]
    if bad:
        raise ValueError(f"There is no {what} {bad[0]!r}: this model has {what}s 0 to {end - 1}.")
    return sorted(set(numbers))
