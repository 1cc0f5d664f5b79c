"""Five measures of how alike pictures and captions are at one layer, each with its interval and its null.

Point clouds are centred first. The first three are given twice: without massive dimensions, under the measure's name,
and with them, under the name with `KEPT` behind it. They are the same where no dimension is massive.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch

from paperlib.geometry.neighbors import Neighbors
from paperlib.geometry.similarity import (
    cka,
    information_imbalance,
    mutual_knn,
    neighborhood_overlap,
    permutation_null,
    without_outliers,
)
from paperlib.geometry.subsampling import subsample_interval
from paperlib.stats.bootstrap import Interval

OVERLAP, MUTUAL, CKA = "neighbourhood overlap", "mutual kNN", "CKA"
TO_CAPTIONS, TO_PICTURES = "Information Imbalance, pictures to captions", "Information Imbalance, captions to pictures"
MEASURES = (OVERLAP, MUTUAL, CKA, TO_CAPTIONS, TO_PICTURES)
KEPT = ", massive dimensions kept"
UNITS = {OVERLAP: "%", MUTUAL: "%", CKA: "", TO_CAPTIONS: "", TO_PICTURES: ""}
LARGER_IS_CLOSER = {OVERLAP: True, MUTUAL: True, CKA: True, TO_CAPTIONS: False, TO_PICTURES: False}


def measures(images: torch.Tensor, texts: torch.Tensor, k: int = 16, n: int = 20, seed: int = 0) -> dict[str, Interval]:
    """Every measure of pictures and captions [N, D] at one layer, with intervals from n subsamples; units: `UNITS`.

    Raises GeometryError as the measures do.
    """
    x, y = _centred(images), _centred(texts)
    (clean_x, massive_x), (clean_y, massive_y) = without_outliers(x), without_outliers(y)
    kept = _by_coordinates(x, y, k, n, seed)
    found = dict(_by_coordinates(clean_x, clean_y, k, n, seed) if massive_x or massive_y else kept)
    a, b = (Neighbors.of(cloud, 4 * k, keep=True) for cloud in (images, texts))
    found |= {
        TO_CAPTIONS: subsample_interval(information_imbalance, a, b, n=n, seed=seed),
        TO_PICTURES: subsample_interval(information_imbalance, b, a, n=n, seed=seed),
    }
    return found | {name + KEPT: value for name, value in kept.items()}


def nulls(images: torch.Tensor, texts: torch.Tensor, k: int = 16, n: int = 100, seed: int = 0) -> dict[str, float]:
    """What unrelated pairs reach: the 95 % point of each of the first three measures over n shuffles. For Information
    Imbalance it is 1, which is no information.
    """
    x, y, found = _centred(images), _centred(texts), {}
    for name, function, options in (
        (OVERLAP, neighborhood_overlap, {"k": k}),
        (MUTUAL, mutual_knn, {"k": k}),
        (CKA, cka, {}),
    ):
        values = permutation_null(function, x, y, n, seed, **options)
        found[name] = (100 if UNITS[name] == "%" else 1) * float(np.quantile(values, 0.95))
    return found | {TO_CAPTIONS: 1.0, TO_PICTURES: 1.0}


def layers_apart(rows: Iterable[Mapping], measure: str, a: str, b: str) -> tuple[int, int, int]:
    """At how many layers the interval of stage ``a`` lies wholly on the closer side of that of stage ``b``, at how many
    wholly on the other, and how many there are. rows: {"measure", "stage", "depth", "value": Interval}.
    """
    rows = [row for row in rows if row["measure"] == measure]
    one, other = ({row["depth"]: row["value"] for row in rows if row["stage"] == stage} for stage in (a, b))
    higher = sum(one[depth].low > other[depth].high for depth in one)
    lower = sum(one[depth].high < other[depth].low for depth in one)
    closer, further = (higher, lower) if LARGER_IS_CLOSER[measure] else (lower, higher)
    return closer, further, len(one)


def _by_coordinates(a: torch.Tensor, b: torch.Tensor, k: int, n: int, seed: int) -> dict[str, Interval]:
    near = [Neighbors.of(cloud, 4 * k, keep=True) for cloud in (a, b)]
    cosine = [Neighbors.of(cloud, 4 * k, "cosine") for cloud in (a, b)]
    wanted: dict[str, tuple[Callable[[Neighbors, Neighbors], float], list[Neighbors]]] = {
        OVERLAP: (lambda x, y: 100 * neighborhood_overlap(x, y, k), near),
        MUTUAL: (lambda x, y: 100 * mutual_knn(x, y, k), cosine),
        CKA: (cka, near),
    }
    return {name: subsample_interval(measure, *both, n=n, seed=seed) for name, (measure, both) in wanted.items()}


def _centred(cloud: torch.Tensor) -> torch.Tensor:
    return cloud - cloud.mean(0)
