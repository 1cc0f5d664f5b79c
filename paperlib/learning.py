"""Loss curves: smoothing, and how many updates it takes to reach a loss."""

from collections.abc import Sequence

import numpy as np


def smoothed(loss: Sequence[float], width: int) -> np.ndarray:
    """The mean over each value and the width - 1 before it (fewer at the beginning), [updates].

    Raises ValueError for a width below 1.
    """
    if width < 1:
        raise ValueError(f"A loss is smoothed over at least one update, got a width of {width}.")
    loss = np.asarray(loss, float)
    total = np.concatenate([[0.0], loss.cumsum()])
    end = np.arange(1, len(loss) + 1)
    start = np.maximum(0, end - width)
    return (total[end] - total[start]) / (end - start)


def updates_to(loss: Sequence[float], level: float, width: int) -> int | None:
    """After how many updates the mean over ``width`` of them first lies at or below a level; None if it never does.

    Means over fewer updates, at the beginning, do not count.
    """
    reached = np.flatnonzero(smoothed(loss, width)[width - 1:] <= level)
    return int(reached[0]) + width if len(reached) else None
