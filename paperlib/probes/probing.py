"""Linear probes: what can be read from the states of each layer, and if what one modality teaches reads another.

A probe is a multinomial logistic regression on standardised states (`paperlib.probes.logistic`), always tested on groups
(scenes, or concepts) that it has not learnt from. Beside every accuracy stand that of the best constant answer and that
of a control task (Hewitt & Liang 2019, "Designing and interpreting probes with control tasks"), the same probe on
shuffled labels; accuracy minus control is called selectivity.

States are [N, L+1, D]: example, layer (0 = input embedding), width; numpy arrays or torch tensors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real

import numpy as np
import torch
from sklearn.model_selection import StratifiedGroupKFold

from paperlib.probes.logistic import fit, moments, standardise
from paperlib.probes.states import check_states, pick_device
from paperlib.stats.accuracy import Interval
from paperlib.stats.bootstrap import control_labels, group_intervals
from paperlib.stats.effects import paired_difference
from paperlib.study.checks import shown, whole

ALIGNMENTS = ("centre", "standardise", "none")


@dataclass(frozen=True)
class ProbeResult:
    """One layer's probe. Intervals are over groups; ``control`` and ``selectivity`` are None without a control task."""

    layer: int
    accuracy: Interval
    chance: float  # of always giving the most frequent answer
    control: Interval | None  # mean accuracy of the control tasks
    selectivity: Interval | None  # accuracy minus control, paired by example
    controls: tuple[float, ...] = field(repr=False)  # accuracy of each control task, the null of `permutation_p`
    correct: np.ndarray = field(repr=False)  # [n] bool, tested examples in their order
    groups: np.ndarray = field(repr=False)  # [n]

    def to_dict(self) -> dict:
        """What goes into a figure's JSON: all but what belongs to single examples and control tasks."""
        return {name: getattr(self, name) for name in ("layer", "accuracy", "chance", "control", "selectivity")}


def probe(
    states,
    labels,
    groups,
    folds: int | Sequence[int] = 5,
    l2: float = 0.03,
    controls: int = 1,
    types=None,
    seed: int = 0,
    device: str = "auto",
) -> list[ProbeResult]:
    """Cross-validated probes of all layers, one result a layer.

    Args:
        states: [N, L+1, D].
        labels: [N], numbers or words; None and NaN are refused.
        groups: [N], what never stands on both sides of a split: the scene, or the concept.
        folds: how many (assigned by group, stratified by label, from ``seed``); or [N] integers, the fold in which each
            example is tested, -1 for examples that are only learnt from. ``np.where(held_out, 0, -1)`` learns from
            seen concepts and tests on held-out ones.
        l2: penalty, as in `paperlib.probes.logistic`. Between 0.01 and 0.1, accuracies on 600 scenes moved by 1 to 5 points.
        controls: number of control tasks, see `resampling.control_labels`. 0 halves the time.
        types: [N], what decides the label in the control task; the groups if None. Give the concept where folds are by
            scene and the label follows from the concept: a probe can then learn the control task by heart, and
            selectivity says how much of its accuracy is no such thing. With the groups, control is chance level.
        device: "auto" takes a GPU where there is one.

    Raises:
        ValueError: shapes that differ, values that are not finite, one class only, too few groups or examples of a
            class for the folds, a group in two folds.
    """
    side = {"": (states, labels, groups)}
    folds, types = folds if folds is None or np.isscalar(folds) else {"": folds}, None if types is None else {"": types}
    return transfer(side, folds, l2, controls, types, ("none",), seed, device)["none"]["", ""]


def transfer(
    sides: Mapping[str, tuple],
    folds: int | Mapping[str, Sequence[int]] = 5,
    l2: float = 0.03,
    controls: int = 1,
    types: Mapping[str, Sequence] | None = None,
    alignments: Sequence[str] = ("centre", "none"),
    seed: int = 0,
    device: str = "auto",
    learn: Sequence[str] | None = None,
) -> dict[str, dict[tuple[str, str], list[ProbeResult]]]:
    """Probes that learn on one modality and are tested on each: {alignment: {(learnt on, tested on): results}}.

    Folds are common to all modalities, so that a probe that learnt on captions meets no image of their scenes, and all
    cells of the matrix are tested on the same scenes after learning from the same others.

    Modalities lie apart in the residual stream (the modality gap; Liang et al. 2022), which alone can break a transfer.
    Each alignment decides what is taken out of the tested modality, from its own examples in the folds learnt from and
    without their labels: "centre" its mean, "standardise" its mean and deviations; "none" takes out what was taken out
    of the modality learnt on, so that the gap counts. Tests within a modality are the same in all three.

    Args:
        sides: name -> (states [N, L+1, D], labels [N], groups [N]); N may differ, L and D may not.
        folds, types: as in `probe`; arrays per name.
        learn: the sides that probes learn on, all of them if None; every side is tested on.

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
        raise ValueError(f"Probes learn on some of {', '.join(sides)}, got {', '.join(map(str, learn)) or 'none'}.")
    states = check_states({name: side[0] for name, side in sides.items()})
    labels = _joined({name: side[1] for name, side in sides.items()}, states, "labels")
    groups = _joined({name: side[2] for name, side in sides.items()}, states, "groups")
    if any(label is None or label != label for label in labels.tolist()):
        raise ValueError("Some examples have no label (None or NaN): leave them out.")
    words, codes = np.unique(labels, return_inverse=True)
    if len(words) < 2:
        raise ValueError(f"All labels are {str(words[0])!r}: a probe needs at least two classes.")
    if folds is None or np.isscalar(folds):
        fold = assign_folds(labels, groups, folds, seed)
    else:
        fold = _joined(folds, states, "fold numbers")
        if fold.dtype.kind not in "iu":
            raise ValueError(f"Fold numbers must be whole numbers, got an array of {fold.dtype}: cast them to int.")
    rng, kinds = np.random.default_rng(seed), groups if types is None else _joined(types, states, "types")
    tasks = np.stack([codes, *(control_labels(codes, kinds, rng) for _ in range(controls))])  # [T, all examples]

    ends = np.cumsum([len(part) for part in states.values()])[:-1]
    parts = zip(states, np.split(tasks, ends, axis=1), np.split(fold, ends), np.split(groups, ends))
    split = {name: _Side(states[name], torch.from_numpy(t), torch.from_numpy(f), g) for name, t, f, g in parts}
    _check_folds(split, groups, fold, words)
    correct = {(a, m, n): [] for a in alignments for m in learn for n in split}  # a [T, tested] for each layer
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


def difference(a: ProbeResult, b: ProbeResult, seed: int = 0) -> Interval:
    """Accuracy of a minus accuracy of b on the same examples (another layer, or another model), interval over groups.

    Raises ValueError if the examples are not the same.
    """
    if not np.array_equal(a.groups, b.groups):
        raise ValueError("A difference needs two probes tested on the same examples in the same order.")
    return paired_difference(a.correct, b.correct, a.groups, (-1, 1), seed=seed)


def assign_folds(labels, groups, folds: int = 5, seed: int = 0) -> np.ndarray:
    """A fold for each example [N]: groups stay whole, and classes spread evenly as far as they allow.

    What `probe` does; a study of many models saves time by doing it once.
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
    fold = np.empty(len(codes), int)
    parts = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(codes, codes, groups)
    for number, (_, tested) in enumerate(parts):
        fold[tested] = number
    return fold


@dataclass(frozen=True)
class _Side:
    """One modality."""

    states: torch.Tensor  # [N, L+1, D]
    tasks: torch.Tensor  # [T, N], the labels and then those of the control tasks
    fold: torch.Tensor  # [N]
    groups: np.ndarray  # [N]


def _tested(learnt: str, layer: int, split: dict[str, _Side], classes: int, l2: float, start, alignments, device):
    """Learn on one modality at one layer, from the solution of the layer before, and test on all.

    -> the solution, {(alignment, learnt, tested): correct [T, tested examples]}
    """
    side = split[learnt]
    numbers = torch.cat([s.fold for s in split.values()]).unique()
    numbers, repeats = numbers[numbers >= 0].to(device), len(side.tasks)

    def outside(fold):  # [T * K, N], the examples that each problem learns from, or is aligned by
        return (fold.to(device) != numbers[:, None]).repeat(repeats, 1)

    raw = side.states[:, layer].to(device)
    labels = side.tasks.to(device).repeat_interleave(len(numbers), dim=0)
    solution, correct = fit(standardise(raw), labels, outside(side.fold), classes, l2, start), {}
    for name, other in split.items():
        features = standardise(other.states[:, layer].to(device), like=raw)
        tested = (other.fold >= 0).nonzero().flatten().to(device)
        problem = torch.searchsorted(numbers, other.fold.to(device)[tested])
        for alignment in alignments:
            mean = scale = None  # those of the modality learnt on
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
    groups, chance = side.groups[tested], np.bincount(side.tasks[0].numpy()[tested]).max() / tested.sum()
    own, shuffled = correct[:, 0].astype(float), correct[:, 1:].astype(float)
    control = selectivity = [None] * len(own)
    if shuffled.shape[1]:
        control = group_intervals(shuffled.mean(axis=1), groups, (0, 1), seed=seed)
        selectivity = group_intervals(own - shuffled.mean(axis=1), groups, (-1, 1), seed=seed)
    accuracy = group_intervals(own, groups, (0, 1), seed=seed)
    return [
        ProbeResult(
            i,
            accuracy[i],
            float(chance),
            control[i],
            selectivity[i],
            tuple(shuffled[i].mean(axis=1).tolist()),
            correct[i, 0],
            groups,
        )
        for i in range(len(own))
    ]


def _joined(columns: Mapping[str, Sequence], states: Mapping, what: str) -> np.ndarray:
    for name in states:
        if name not in columns or len(columns[name]) != len(states[name]):
            raise ValueError(
                f"There are {len(states[name])} states{name and ' of '}{name}, which need as many {what}, "
                f"but {len(columns.get(name, ()))} came."
            )
    return np.concatenate([np.asarray(columns[name]) for name in states])


def _check_folds(split: dict[str, _Side], groups, fold, words) -> None:
    pairs = np.unique(np.stack([np.unique(groups, return_inverse=True)[1], fold]), axis=1)
    if len(np.unique(pairs[0])) < pairs.shape[1]:
        raise ValueError("A group lies in two folds: give all its examples the same fold number.")
    for name, side in split.items():
        if not bool((side.fold >= 0).any()):
            raise ValueError(f"No example{name and ' of '}{name} is ever tested: all its fold numbers are negative.")
    for number in np.unique(fold[fold >= 0]):
        tested = set().union(*(side.tasks[0][side.fold == number].tolist() for side in split.values()))
        for name, side in split.items():
            missing = tested - set(side.tasks[0][side.fold != number].tolist())
            if missing:
                raise ValueError(
                    f"Fold {number} tests the class {str(words[min(missing)])!r}, of which there are no "
                    f"{name or 'states'} elsewhere to learn from: use fewer folds, or drop such classes."
                )
