"""An estimate with its confidence limits: what statistics return, and what tables and figures show."""

import math
import re
from collections.abc import Iterable
from numbers import Real
from typing import NamedTuple, Self

from paperlib.study.checks import shown, whole


class _Estimate(NamedTuple):
    value: float
    low: float
    high: float
    n: int


class Interval(_Estimate):
    """An estimate with its confidence limits, from `n` examples. In JSON it is a list of four numbers.

    Formats apply to all three numbers; without a format they have three significant digits. Shares are shown in percent
    by "%", and differences of shares in percentage points by "p", which leaves the unit to the sentence.
    Raises ValueError for numbers that are NaN or infinite, low above high, or n below 1.

    >>> interval = Interval(2.94, 2.0, 3.8, n=90)
    >>> f"{interval:.1f}", f"{interval:+.1f}", str(interval)
    ('2.9 [2.0, 3.8]', '+2.9 [+2.0, +3.8]', '2.94 [2, 3.8]')
    >>> f"{Interval(0.93, 0.75, 1.17, n=90):.0%}"
    '93 % [75, 117]'
    >>> f"{Interval(0.029, 0.02, 0.038, n=90):+.1p} points"
    '+2.9 [+2.0, +3.8] points'
    """

    __slots__ = ()

    def __new__(cls, value: float, low: float, high: float, n: int) -> Self:  # noqa: D102 (the class says it)
        whole(n, "n of an interval")
        if not all(isinstance(x, Real) and math.isfinite(x) for x in (value, low, high)) or low > high:
            raise ValueError(
                f"An interval needs a finite value and finite limits in order, got {shown(value)} and "
                f"{shown(low)} to {shown(high)}: look for NaN or empty groups in what it was computed from."
            )
        return super().__new__(cls, value, low, high, n)

    @classmethod
    def _make(cls, values: Iterable) -> Self:  # type: ignore[override]  # `_replace` calls it, and would not check
        return cls(*values)

    def __format__(self, spec: str) -> str:
        scale, unit = (100, " %" if spec[-1] == "%" else "") if spec.endswith(("%", "p")) else (1, "")
        spec = spec[:-1] + "f" if scale == 100 else spec or ".3g"
        if "z" not in spec:  # no minus before a number that rounds to zero
            spec = re.sub("^([+ -]?)", r"\1z", spec)
        value, low, high = (format(scale * float(number), spec) for number in self[:3])
        return f"{value}{unit} [{low}, {high}]"

    def scaled(self, by: float) -> "Interval":
        """The estimate in another unit: value and both ends times a factor above 0."""
        return Interval(by * self.value, by * self.low, by * self.high, self.n)

    def __str__(self) -> str:
        return format(self, "")
