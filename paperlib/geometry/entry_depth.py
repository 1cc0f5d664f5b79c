"""At which depth of an LLM do pictures enter? A rule that reads it from what the connector's output looks like.

Before any block has run, which layer of captions do the image tokens share most neighbours with? The place of that best
match alone tells little. Captions are more like scenes in the middle of an LLM than at its start, whoever looks: a
connector with random weights finds its best match there too. And a connector that carries more of the scene lifts the
match with all layers in proportion, wherever they are. So the rule compares with such a control:

- **depth**: the relative depth of the caption layer of the best match; at or above ``least`` (one quarter);
- **advantage**: overlap with the best layer from ``least`` on, less the mean over layers of the first sixth; above 0;
- **surplus**: the advantage, less that of an untrained connector behind the same vision tower; above 0;
- **relative**: the same difference, each advantage as a share of its best match above chance, so that 0 means a
  connector that is better at all depths alike; above 0.

`verdicts.by_entry_depth` makes the verdict of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from paperlib.geometry.distances import GeometryError
from paperlib.geometry.subsampling import jackknife
from paperlib.stats.conditions import Verdict
from paperlib.stats.interval import Interval
from paperlib.stats.verdicts import by_entry_depth

FIRST = 1 / 6  # of the depth: the early captions
FLOOR = 1e-3  # a best match of less than that above chance is none, and would make shares of it explode


@dataclass(frozen=True)
class EntryDepth:
    """The four readings, see above, and the verdict. Advantage and surplus are in units of the overlap."""

    depth: Interval
    advantage: Interval
    surplus: Interval
    relative: Interval
    verdict: Verdict


def entry_depth(
    depth: Sequence[float],
    overlaps: ArrayLike,
    control: ArrayLike,
    total: int,
    share: float = 0.5,
    least: float = 1 / 4,
) -> EntryDepth:
    """Read the rule.

    depth: relative depth of each caption layer. overlaps, control: [1 + n, layers], the share of neighbours that the
    trained and the untrained connector's output have in common with each, less what chance gives; row 0 from all
    `total` points, the others from subsamples of ``share`` of them, the same for both (`subsampling.subsampled`).
    The best layers are those of row 0 in all rows, each connector's its own, so that noise makes no maxima.
    Raises GeometryError for other shapes, or if no layer is as deep as ``least``; and as `subsampling.jackknife`.
    """
    x, both = np.asarray(depth, float), [np.asarray(values, float) for values in (overlaps, control)]
    if x.ndim != 1 or any(values.ndim != 2 or values.shape != (len(both[0]), len(x)) for values in both):
        raise GeometryError(
            f"Entry depth needs two tables of overlaps [1 + n, {x.size} layers] alike, got "
            f"{list(both[0].shape)} and {list(both[1].shape)}."
        )
    late, first = x >= least, x <= max(FIRST, x.min())
    if not late.any():
        raise GeometryError(f"No caption layer lies at {least:.2f} of the depth or deeper: measure deeper layers.")
    (points, shares), (other_points, other_shares) = (_advantage(values, first, late) for values in both)
    where, advantage, surplus, relative = (
        jackknife(values, total, share)
        for values in (x[both[0].argmax(1)], points, points - other_points, shares - other_shares)
    )
    return EntryDepth(where, advantage, surplus, relative, by_entry_depth(where, [advantage, surplus, relative], least))


def _advantage(overlaps: np.ndarray, first: np.ndarray, late: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Best late overlap less the early one, and that as a share of the best late one, [1 + n] each."""
    best = np.where(late, overlaps[0], -np.inf).argmax()
    gained = overlaps[:, best] - overlaps[:, first].mean(1)
    return gained, gained / np.maximum(overlaps[:, best], FLOOR)
