"""Permutation tests: labels shuffled as their groups allow, and p-values from what shuffled labels give."""

import numpy as np
from numpy.typing import ArrayLike

from paperlib.study.checks import finite


def control_labels(labels: ArrayLike, types: ArrayLike, rng: np.random.Generator) -> np.ndarray:
    """Labels [N] shuffled between types [N]: the labels of a control task (Hewitt & Liang 2019, arXiv 1909.03368).

    If every type has one label (concepts and their category), types exchange labels, and all examples of a type get the
    same one. If labels vary within a type (questions about one scene), the types are put in a new order and their
    labels are laid down one type after the other, so that labels of one type stay together.
    Raises ValueError if labels and types differ in length.
    """
    labels, types = np.asarray(labels), np.asarray(types)
    if labels.ndim != 1 or labels.shape != types.shape:
        raise ValueError(f"Each label needs its type, got labels {list(labels.shape)} and types {list(types.shape)}.")
    _, first, member = np.unique(types, return_index=True, return_inverse=True)
    if (labels == labels[first][member]).all():
        return rng.permutation(labels[first])[member]
    place = rng.permutation(len(first))
    shuffled = np.empty_like(labels)
    shuffled[np.argsort(member, kind="stable")] = labels[np.argsort(place[member], kind="stable")]
    return shuffled


def permutation_p(observed: ArrayLike, null: ArrayLike, correction: str | None = "max") -> np.ndarray:
    """p-values [K] of observed values [K], one per layer, from permutations [R, K] that did the same to all layers.

    (1 + number of permutations with a value at least as large) / (1 + R). correction: "max" compares with the largest
    value of each permutation over all layers (Westfall & Young 1993), None corrects nothing.
    Raises ValueError for shapes that differ, values that are not finite, or an unknown correction.
    """
    found, shuffled = finite(observed, "Observed values", 1), finite(null, "Values of the null")
    if shuffled.ndim != 2 or shuffled.shape[1:] != found.shape or not shuffled.size:
        raise ValueError(f"The null must be permutations x {found.size} values, got shape {shuffled.shape}.")
    if correction not in ("max", None):
        raise ValueError(f"The correction must be 'max' or None, got {correction!r}.")
    reference = shuffled.max(axis=1, keepdims=True) if correction == "max" else shuffled
    return (1 + (reference >= found).sum(axis=0)) / (1 + len(shuffled))
