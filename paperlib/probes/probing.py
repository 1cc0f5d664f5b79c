"""Linear probes: what can be read from each layer, and whether a probe trained on one modality reads the other.

A probe is a multinomial logistic regression on standardised states (`paperlib.probes.logistic`). It is always tested on
groups (scenes, or concepts) that it was not trained on. Each accuracy comes with the majority baseline, and with the
accuracy on a control task: the same probe on shuffled labels (Hewitt & Liang 2019, "Designing and interpreting probes
with control tasks"). Accuracy minus control is the selectivity.

States are [N, L+1, D]: example, layer (0 = input embedding), width; numpy arrays or torch tensors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from paperlib.probes.folds import assign_folds, check_folds, joined
from paperlib.probes.logistic import Fit, fit, moments, standardise
from paperlib.probes.state_checks import check_states, pick_device
from paperlib.stats.accuracy import Interval
from paperlib.stats.bootstrap import group_intervals
from paperlib.stats.effects import paired_difference
from paperlib.stats.permutation import control_labels
from paperlib.study.checks import seeded, shown, whole

ALIGNMENTS = ("centre", "standardise", "none")


@dataclass(frozen=True)
class ProbeResult:
    """One layer's probe. Intervals are over groups; ``control`` and ``selectivity`` are None without a control task."""

    layer: int
    accuracy: Interval
    majority: float  # accuracy of always giving the most frequent label
    control: Interval | None  # mean accuracy of the control tasks
    selectivity: Interval | None  # accuracy minus control, paired by example
    controls: tuple[float, ...] = field(repr=False)  # accuracy of each control task, the null of `permutation_p`
    correct: np.ndarray = field(repr=False)  # [n] bool, tested examples in their order
    groups: np.ndarray = field(repr=False)  # [n]

    def to_dict(self) -> dict:
        """What a figure's JSON stores: everything but the values of single examples and control tasks."""
        return {name: getattr(self, name) for name in ("layer", "accuracy", "majority", "control", "selectivity")}


def probe(
    states: ArrayLike | torch.Tensor,
    labels: ArrayLike,
    groups: ArrayLike,
    folds: int | ArrayLike = 5,
    l2: float = 0.03,
    controls: int = 1,
    types: ArrayLike | None = None,
    seed: int = 0,
    device: str = "auto",
) -> list[ProbeResult]:
    """Cross-validated probes of all layers, one result a layer.

    Args:
        states: [N, L+1, D].
        labels: [N], numbers or words; None and NaN are refused.
        groups: [N], the scene or the concept: a group is never on both sides of a split.
        folds: how many (assigned by group, stratified by label, from ``seed``); or [N] integers, the fold in which each
            example is tested, -1 for examples that are never tested. ``np.where(held_out, 0, -1)`` trains on seen
            concepts and tests on held-out ones.
        l2: penalty, as in `probes.logistic`. From 0.01 to 0.1, accuracies on 600 scenes moved by 1 to 5 points.
        controls: number of control tasks (`control_labels`). 0 halves the time.
        types: [N], what decides the label in the control task; the groups if None. If folds are by scene and the label
            follows from the concept, give the concept: a probe can then memorise the control task, and selectivity is
            the accuracy beyond memorising. With the groups, control is near the majority baseline.
        seed: of the folds, the control tasks and the intervals.
        device: "auto" takes a GPU if there is one.

    Raises:
        ValueError: shapes that differ, values that are not finite, one class only, too few groups or examples of a
            class for the folds, a group in two folds.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> states, labels = rng.normal(size=(60, 2, 8)), np.arange(60) % 2
        >>> states[:, 1, 0] += 6 * labels  # layer 1 knows the label, layer 0 does not
        >>> below, above = probe(states, labels, groups=np.arange(60), device="cpu")
        >>> above.accuracy.value > 0.95 > 0.8 > below.accuracy.value
        True
        >>> above.majority
        0.5
    """
    own_folds: Any = folds if folds is None or np.isscalar(folds) else {"": folds}
    sides, own_types = {"": (states, labels, groups)}, None if types is None else {"": types}
    return transfer(sides, own_folds, l2, controls, own_types, ("none",), seed, device)["none"]["", ""]


def transfer(
    sides: Mapping[str, tuple],
    folds: int | Mapping[str, ArrayLike] = 5,
    l2: float = 0.03,
    controls: int = 1,
    types: Mapping[str, ArrayLike] | None = None,
    alignments: Sequence[str] = ("centre", "none"),
    seed: int = 0,
    device: str = "auto",
    learn: Sequence[str] | None = None,
) -> dict[str, dict[tuple[str, str], list[ProbeResult]]]:
    """Probes trained on one modality and tested on each: {alignment: {(trained on, tested on): results}}.

    Folds are common to all modalities. A probe trained on captions is thus never tested on a picture of one of their
    scenes, and all cells of the matrix are trained and tested on the same scenes.

    The modalities are apart in the residual stream (the modality gap; Liang et al. 2022), which alone can break a
    transfer. An alignment says what is taken out of the tested modality, estimated without labels on its own examples
    in the training folds: "centre" its mean, "standardise" its mean and its deviation. "none" uses the mean and the
    deviation of the modality that the probe was trained on, so the gap counts. Within a modality all three agree.

    Args:
        sides: name -> (states [N, L+1, D], labels [N], groups [N]); N may differ, L and D may not.
        folds: as in `probe`; arrays by name.
        l2: as in `probe`.
        controls: as in `probe`.
        types: as in `probe`; arrays by name.
        alignments: some of "centre", "standardise" and "none".
        seed: as in `probe`.
        device: as in `probe`.
        learn: the sides that probes are trained on, all of them if None; each is tested on every side.

    Raises:
        ValueError: as `probe`, or an unknown alignment or side.
    """
    if not alignments or not set(alignments) <= set(ALIGNMENTS):
        raise ValueError(f"Alignments must be some of {', '.join(ALIGNMENTS)}, got {', '.join(alignments) or 'none'}.")
    controls = whole(controls, "controls", 0, 10**4)
    if isinstance(l2, bool) or not isinstance(l2, Real) or not 0 < l2 < np.inf:
        raise ValueError(f"l2 must be a penalty above 0, got {shown(l2)}.")
    learn = list(sides) if learn is None else list(learn)
    if not learn or not set(learn) <= set(sides):
        raise ValueError(f"Train probes on some of {', '.join(sides)}, got {', '.join(map(str, learn)) or 'none'}.")
    states = check_states({name: side[0] for name, side in sides.items()})
    labels = joined({name: side[1] for name, side in sides.items()}, states, "labels")
    groups = joined({name: side[2] for name, side in sides.items()}, states, "groups")
    if any(label is None or label != label for label in labels.tolist()):
        raise ValueError("Some examples have no label (None or NaN): leave them out.")
    words, codes = np.unique(labels, return_inverse=True)
    if len(words) < 2:
        raise ValueError(f"All labels are {str(words[0])!r}: a probe needs at least two classes.")
    if folds is None or np.isscalar(folds):
        fold = assign_folds(labels, groups, folds, seed)
    else:
        fold = joined(folds, states, "fold numbers")
        if fold.dtype.kind not in "iu":
            raise ValueError(f"Fold numbers must be whole numbers, got an array of {fold.dtype}: cast them to int.")
    rng, kinds = seeded(seed), groups if types is None else joined(types, states, "types")
    tasks = np.stack([codes, *(control_labels(codes, kinds, rng) for _ in range(controls))])  # [T, all examples]

    ends = np.cumsum([len(part) for part in states.values()])[:-1]
    parts = zip(states, np.split(tasks, ends, axis=1), np.split(fold, ends), np.split(groups, ends), strict=True)
    split = {name: _Side(states[name], torch.from_numpy(t), torch.from_numpy(f), g) for name, t, f, g in parts}
    check_folds({name: (side.tasks[0].numpy(), side.fold.numpy()) for name, side in split.items()}, groups, fold, words)
    correct: dict[tuple[str, str, str], list[np.ndarray]] = {
        (a, m, n): [] for a in alignments for m in learn for n in split
    }  # a [T, tested] for each layer
    for learnt in learn:
        solution = None
        for layer in range(states[learnt].shape[1]):
            solution, found = _tested(learnt, layer, split, len(words), l2, solution, alignments, pick_device(device))
            for key, value in found.items():
                correct[key].append(value)
    return {
        a: {(m, n): _results(np.stack(correct[a, m, n]), split[n], seed) for m in learn for n in split}
        for a in alignments
    }


def probe_difference(a: ProbeResult, b: ProbeResult, seed: int = 0) -> Interval:
    """Accuracy of a minus accuracy of b on the same examples (another layer, or another model), interval over groups.

    Raises ValueError if the examples are not the same.
    """
    if not np.array_equal(a.groups, b.groups):
        raise ValueError("A difference needs two probes tested on the same examples in the same order.")
    return paired_difference(a.correct, b.correct, a.groups, (-1, 1), seed=seed)


@dataclass(frozen=True)
class _Side:
    """One modality."""

    states: torch.Tensor  # [N, L+1, D]
    tasks: torch.Tensor  # [T, N], the labels and then those of the control tasks
    fold: torch.Tensor  # [N]
    groups: np.ndarray  # [N]


def _tested(
    learnt: str,
    layer: int,
    split: dict[str, _Side],
    classes: int,
    l2: float,
    start: Fit | None,
    alignments: Sequence[str],
    device: str,
) -> tuple[Fit, dict[tuple[str, str, str], np.ndarray]]:
    """Train on one modality at one layer, starting from the solution of the layer below, and test on all.

    -> the solution, {(alignment, trained on, tested on): correct [T, tested examples]}
    """
    side = split[learnt]
    numbers = torch.cat([s.fold for s in split.values()]).unique()
    numbers, repeats = numbers[numbers >= 0].to(device), len(side.tasks)

    def outside(fold: torch.Tensor) -> torch.Tensor:  # [T * K, N], what each problem is trained on, or aligned by
        return (fold.to(device) != numbers[:, None]).repeat(repeats, 1)

    raw = side.states[:, layer].to(device)
    labels = side.tasks.to(device).repeat_interleave(len(numbers), dim=0)
    solution, correct = fit(standardise(raw), labels, outside(side.fold), classes, l2, start), {}
    for name, other in split.items():
        features = standardise(other.states[:, layer].to(device), like=raw)
        tested = (other.fold >= 0).nonzero().flatten().to(device)
        problem = torch.searchsorted(numbers, other.fold.to(device)[tested])
        for alignment in alignments:
            mean = scale = None  # those of the modality that it was trained on
            if alignment != "none" and name != learnt:
                mean, own_scale = moments(features, outside(other.fold))
                scale = own_scale if alignment == "standardise" else None
            said = solution.logits(features, mean, scale).argmax(0).unflatten(0, (repeats, len(numbers)))  # [T, K, N]
            right = said[:, problem, tested] == other.tasks.to(device)[:, tested]
            correct[alignment, learnt, name] = right.cpu().numpy()
    return solution, correct


def _results(correct: np.ndarray, side: _Side, seed: int) -> list[ProbeResult]:
    """From correct [L+1, T, n], the first task being the true one."""
    tested = side.fold.numpy() >= 0
    groups, majority = side.groups[tested], np.bincount(side.tasks[0].numpy()[tested]).max() / tested.sum()
    own, shuffled = correct[:, 0].astype(float), correct[:, 1:].astype(float)
    control: Sequence[Interval | None] = [None] * len(own)
    selectivity = control
    if shuffled.shape[1]:
        control = group_intervals(shuffled.mean(axis=1), groups, (0, 1), seed=seed)
        selectivity = group_intervals(own - shuffled.mean(axis=1), groups, (-1, 1), seed=seed)
    accuracy = group_intervals(own, groups, (0, 1), seed=seed)
    return [
        ProbeResult(
            i,
            accuracy[i],
            float(majority),
            control[i],
            selectivity[i],
            tuple(shuffled[i].mean(axis=1).tolist()),
            correct[i, 0],
            groups,
        )
        for i in range(len(own))
    ]
