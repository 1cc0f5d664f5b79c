"""Bands: which decoder blocks are tuned, by name, and the rule that chooses one before anything is tuned.

Blocks count from 0. "mid", "early" and "late" are a third of the depth each, "sparse" spreads as many blocks uniformly
(Wang et al., arXiv 2412.12785, keep most of tuning so), and "complement" is everything but "mid". A range is written
as in Python: "6:17" is blocks 6 to 16, the band that the paper tunes in LLaVA-1.5-7B.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np

NAMES = ("full", "none", "mid", "early", "late", "complement", "sparse")


class BandError(ValueError):
    """A band cannot be used; the message is one sentence that says what to give instead."""


def band(spec: str | Iterable[int], depth: int) -> tuple[int, ...]:
    """The blocks of a band in a decoder of ``depth`` blocks, ascending.

    spec: one of `NAMES`, a range "a:b" with a < b <= depth, or block numbers. Raises BandError for anything else: a
    range that is empty, reversed or reaches beyond the model, numbers that are no blocks or come twice.
    """
    if not _whole(depth) or depth < 1:
        raise BandError(f"A decoder has one block or more, got {depth!r}: give their number.")
    size, start = max(1, round(depth / 3)), (depth - max(1, round(depth / 3))) // 2
    named = {
        "full": range(depth),
        "none": range(0),
        "mid": range(start, start + size),
        "early": range(size),
        "late": range(depth - size, depth),
        "complement": [i for i in range(depth) if not start <= i < start + size],
        "sparse": [int((i + 0.5) * depth / size) for i in range(size)],
    }
    if isinstance(spec, str):
        if spec in named:
            return tuple(named[spec])
        ends = re.fullmatch(r"([0-9]{1,9}):([0-9]{1,9})", spec)
        if ends is None:
            raise BandError(
                f"There is no band {spec[:40]!r}: give one of {', '.join(NAMES)}, a range such as '6:17', "
                f"or a list of blocks."
            )
        first, end = int(ends[1]), int(ends[2])
        if not first < end <= depth:
            raise BandError(
                f"The band {spec!r} is not in this model, whose blocks are 0 to {depth - 1}: give a range "
                f"'a:b' with a < b <= {depth}."
            )
        return tuple(range(first, end))
    try:
        blocks = list(spec)
    except TypeError:
        raise BandError(
            f"A band can't be made from a {type(spec).__name__}: give one of {', '.join(NAMES)}, a range such as "
            f"'6:17', or a list of blocks."
        ) from None
    if not blocks or not all(_whole(i) and 0 <= i < depth for i in blocks) or len(set(blocks)) < len(blocks):
        told = str(blocks) if len(str(blocks)) < 80 else f"{str(blocks)[:80]}..."
        raise BandError(
            f"A band's blocks must be different numbers from 0 to {depth - 1}, at least one of them, got "
            f"{told}: for no block at all give 'none'."
        )
    return tuple(sorted(int(i) for i in blocks))


def _whole(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def choose_band(profiles: Sequence[Sequence[float]], size: int) -> tuple[int, ...]:
    """The ``size`` neighbouring blocks with the largest of `band_scores`; of equals the lowest window."""
    score = band_scores(profiles, size)
    start = int(np.flatnonzero(np.isclose(score, score.max()))[0])
    return tuple(range(start, start + size))


def band_scores(profiles: Sequence[Sequence[float]], size: int) -> np.ndarray:
    """The mean of every window of ``size`` neighbouring blocks, by its first block, [depth - size + 1].

    profiles: measured before tuning, one value for the output of each block, [depth] each; larger speaks for tuning the
    block. Each is rescaled to [0, 1] over the depth, and windows average over profiles. Raises BandError for no
    profiles, profiles of different or too small length, and values that are not finite or all the same.
    """
    try:
        curves = [np.asarray(p, float) for p in profiles]
    except (TypeError, ValueError):
        curves = []
    if not curves or any(c.ndim != 1 for c in curves):
        raise BandError("A band is chosen by profiles, each a list with one number for each block: give at least one.")
    lengths = {len(c) for c in curves}
    if len(lengths) != 1 or not _whole(size) or not 1 <= size <= min(lengths):
        raise BandError(
            f"A band of {size!r} blocks needs profiles of one and the same length, at least that, got "
            f"lengths {sorted(lengths)}."
        )
    values = np.array(curves)
    low, high = values.min(axis=1, keepdims=True), values.max(axis=1, keepdims=True)
    if not np.isfinite(values).all() or (high == low).any():
        raise BandError(
            "A band is chosen by profiles of finite values that differ over the depth: leave out the one that does not."
        )
    return np.convolve(((values - low) / (high - low)).mean(axis=0), np.full(size, 1 / size), "valid")
