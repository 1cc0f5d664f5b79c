"""Checks of arguments that every module makes alike."""

from __future__ import annotations

import reprlib
from numbers import Integral


def whole(value, name: str, least: int = 1, most: int | None = None, why: str = "",
          error: type[Exception] = ValueError) -> int:
    """The value as an int, if it is a whole number from `least` to `most`: an int or one of numpy's.

    True, 3.0 and "3" are refused: each is a slip more often than a count. Raises `error`, in one sentence that `why`
    ends, for anything else.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or not least <= value <= (value if most is None else most):
        span = f"of at least {least:,}" if most is None else f"from {least:,} to {most:,}"
        raise error(f"{name} must be a whole number {span}, got {shown(value)}{why and ': '}{why}.")
    return int(value)


def shown(value) -> str:
    """A value on one short line, as messages show it."""
    if type(value) is int and value.bit_length() > 200:  # Python refuses to print the longest
        return f"a number of {value.bit_length()} bits"
    return " ".join(reprlib.repr(value).split())
