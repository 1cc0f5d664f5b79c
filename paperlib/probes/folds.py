"""Which examples a probe is tested on together: folds keep groups (scenes, or concepts) whole."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import StratifiedGroupKFold

from paperlib.study.checks import whole


def assign_folds(labels: ArrayLike, groups: ArrayLike, folds: int = 5, seed: int = 0) -> np.ndarray:
    """A fold for each example [N]: groups stay whole, and classes are spread as evenly as groups allow.

    `probe` does this itself; to probe many models, do it once and pass the result.
    Raises ValueError for fewer than two folds, or fewer groups or examples of a class than folds.
    """
    folds = whole(folds, "The number of folds", 0)
    if np.ndim(labels) != 1 or np.shape(labels) != np.shape(groups):
        raise ValueError(
            f"Each label needs its group, got labels {list(np.shape(labels))} and groups {list(np.shape(groups))}."
        )
    words, codes = np.unique(labels, return_inverse=True)
    counts, n_groups = np.bincount(codes), len(np.unique(groups))
    if not 2 <= folds <= min(n_groups, counts.min()):
        raise ValueError(
            f"There must be at least 2 folds, and no more than groups or examples of any class: {folds} "
            f"folds, {n_groups} groups, and {counts.min()} of class {str(words[counts.argmin()])!r}."
        )
    seed, fold = whole(seed, "seed", 0, 2**32 - 1), np.empty(len(codes), int)  # the most is scikit-learn's
    parts = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(codes, codes, groups)
    for number, (_, tested) in enumerate(parts):
        fold[tested] = number
    return fold


def joined(columns: Mapping[str, Any], states: Mapping, what: str) -> np.ndarray:
    """The columns of all sides in one array, in the order of ``states``.

    Raises ValueError, with ``what`` as the name of the columns, unless each has as many entries as its states.
    """
    for name in states:
        if name not in columns or len(columns[name]) != len(states[name]):
            raise ValueError(
                f"There are {len(states[name])} states{name and ' of '}{name}, which need as many {what}, "
                f"but {len(columns.get(name, ()))} came."
            )
    return np.concatenate([np.asarray(columns[name]) for name in states])


def check_folds(
    sides: Mapping[str, tuple[np.ndarray, np.ndarray]], groups: np.ndarray, fold: np.ndarray, words: np.ndarray
) -> None:
    """Raises ValueError if probes cannot be tested on these folds.

    sides: name -> (labels as codes [N], fold [N]) of each modality. groups, fold: [all examples]. words: the label of
    each code.
    """
    pairs = np.unique(np.stack([np.unique(groups, return_inverse=True)[1], fold]), axis=1)
    if len(np.unique(pairs[0])) < pairs.shape[1]:
        raise ValueError("A group lies in two folds: give all its examples the same fold number.")
    for name, (_, own) in sides.items():
        if not (own >= 0).any():
            raise ValueError(f"No example{name and ' of '}{name} is ever tested: all its fold numbers are negative.")
    for number in np.unique(fold[fold >= 0]):
        tested = {code for codes, own in sides.values() for code in codes[own == number].tolist()}
        for name, (codes, own) in sides.items():
            missing = tested - set(codes[own != number].tolist())
            if missing:
                raise ValueError(
                    f"Fold {number} tests the class {str(words[min(missing)])!r}, of which there are no "
                    f"{name or 'states'} elsewhere to learn from: use fewer folds, or drop such classes."
                )
