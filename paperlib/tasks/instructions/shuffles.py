"""Seeded orders: of rows that can be found by number, and of rows that stream by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np

BUFFER = 2048  # rows of a stream that are held; with pictures inside about 200 MB

Row = TypeVar("Row")


def permutation(n: int, seed: int, epoch: int) -> np.ndarray:
    """The numbers 0 to n - 1 in the order of a pass, int64 [n]."""
    return _rng(seed, epoch).permutation(n)


def buffered(rows: Iterable[Row], seed: int, epoch: int, size: int = BUFFER) -> Iterator[Row]:
    """The rows of a pass, each drawn from the ``size`` next ones, so that a row moves forward by at most so much."""
    rng = _rng(seed, epoch)
    held: list[Row] = []
    for row in rows:
        if len(held) < size:
            held.append(row)
            continue
        chosen = int(rng.integers(size))
        yield held[chosen]
        held[chosen] = row
    yield from (held[i] for i in rng.permutation(len(held)))


def _rng(seed: int, epoch: int) -> np.random.Generator:
    return np.random.default_rng([57, seed, epoch])
