"""Probes of the five probing tasks (`paperlib.tasks.probe_tasks`), and what notebooks say of them: rows, thirds, onset.

Probes are trained and tested on scenes of seen concepts; `read_held_out` alone is tested on held-out ones.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from paperlib.figures.rows import lines_of
from paperlib.probes.probing import ProbeResult, probe, transfer
from paperlib.stats.bootstrap import Interval, group_intervals
from paperlib.stats.effects import paired_difference
from paperlib.stats.onset import onset
from paperlib.stats.votes import regions
from paperlib.tasks.probe_tasks import ProbeTask
from paperlib.tasks.word_tasks import WordTask

PARTS = ("layer 0", "early third", "middle third", "late third")


def read(task: ProbeTask, states: torch.Tensor, folds: int, seed: int = 0, controls: int = 0) -> list[ProbeResult]:
    """A probe at each layer, cross-validated over scenes of seen concepts. states: [N, L+1, D] of all scenes."""
    seen = ~task.held_out
    groups = task.groups[seen]
    return probe(states[seen], task.labels[seen], groups, folds, controls=controls, types=groups, seed=seed)


def read_held_out(task: ProbeTask, states: torch.Tensor, seed: int = 0, controls: int = 0) -> list[ProbeResult]:
    """A probe at each layer, trained on seen concepts and tested on held-out ones; intervals are over concepts."""
    folds = np.where(task.held_out, 0, -1).tolist()
    return probe(states, task.labels, task.types, folds, controls=controls, types=task.types, seed=seed)


def read_across(
    task: ProbeTask,
    captions: torch.Tensor,
    pictures: torch.Tensor,
    folds: int,
    seed: int = 0,
    learn: Sequence[str] | None = None,
    alignments: Sequence[str] = ("centre",),
) -> dict[str, dict[tuple[str, str], list[ProbeResult]]]:
    """Transfer between captions and pictures: {alignment: {(trained on, tested on): results by layer}}.

    captions: [M, L+1, D] of the scenes of seen concepts, or [N, L+1, D] of all; pictures: [N, L+1, D] of all scenes.
    learn: which modalities probes are trained on, both if None.
    """
    seen = ~task.held_out
    of = {"captions": captions if len(captions) == seen.sum() else captions[seen], "pictures": pictures[seen]}
    sides = {name: (part, task.labels[seen], task.groups[seen]) for name, part in of.items()}
    return transfer(sides, folds, controls=0, alignments=alignments, seed=seed, learn=learn)


def read_words(
    tasks: Sequence[WordTask], captions: torch.Tensor, pictures: torch.Tensor, folds: int, seed: int = 0
) -> dict[str, dict[tuple[str, str], list[ProbeResult]]]:
    """Transfer between captions and natural pictures, centred: {word: {(trained on, tested on): results by layer}}.

    captions, pictures: [N, L+1, D] of all pairs; a task takes its own.
    """
    found = {}
    for task in tasks:
        both = {"captions": captions[task.rows], "pictures": pictures[task.rows]}
        sides = {name: (states, task.labels, task.rows) for name, states in both.items()}
        found[task.word] = transfer(sides, folds, controls=0, alignments=("centre",), seed=seed)["centre"]
    return found


def rows_of(results: Sequence[ProbeResult], **named: str) -> list[dict]:
    """A table's rows, one a layer: ``named``, layer, relative depth; accuracy, control, selectivity, majority (shares).

    Control and selectivity are None without a control task; majority is the accuracy of the most frequent label.
    """
    last = len(results) - 1
    return [{**named, "layer": r.layer, "depth": r.layer / last} | _numbers(r) for r in results]


def probe_panel(rows: Sequence[Mapping], title: str) -> dict:
    """A panel of `paperlib.figures.curves.layer_curves`: accuracy by stage, the control task and the majority baseline.

    rows: of one probe at one place, as `rows_of` makes them, with a column "stage".
    """
    shuffled = "control task (shuffled labels)"
    controlled = [{**row, "stage": shuffled, "accuracy": row["control"]} for row in rows if row["control"] is not None]
    return {
        "title": title,
        "ylabel": "accuracy (%)",
        "lines": lines_of([*rows, *controlled], y="accuracy", scale=100, looks={shuffled: {"colour": 6, "dash": 2}}),
        "marks": [[100 * rows[0]["majority"], "majority baseline"]],
        "n": rows[0]["accuracy"].n,
    }


def _depths(results: Sequence[ProbeResult]) -> list[float]:
    return [layer / (len(results) - 1) for layer in range(len(results))]


def _numbers(result: ProbeResult) -> dict:
    return {name: getattr(result, name) for name in ("accuracy", "control", "selectivity", "majority")}


def correct_by_part(results: Sequence[ProbeResult]) -> dict[str, np.ndarray]:
    """How often each example is right, [n] from 0 to 1: at layer 0, and as a mean over the layers of each third."""
    right = np.stack([r.correct for r in results]).astype(float)
    third = regions(_depths(results))
    third[0] = -1  # layer 0 stands for itself
    return {name: right[third == i].mean(0) for i, name in enumerate(PARTS, -1)}


def accuracy_by_part(results: Sequence[ProbeResult], seed: int = 0) -> dict[str, Interval]:
    """Accuracy at layer 0 and, as a mean over layers, in each third of the depth."""
    parts = correct_by_part(results)
    found = group_intervals(list(parts.values()), results[0].groups.tolist(), (0, 1), seed=seed)
    return dict(zip(parts, found, strict=True))


def change(a: tuple[Sequence[ProbeResult], str], b: tuple[Sequence[ProbeResult], str], seed: int = 0) -> Interval:
    """Accuracy of a minus that of b, each (results, one of `PARTS`), on the same examples; interval over groups.

    Raises ValueError if the examples are not the same.
    """
    (first, part), (second, other) = a, b
    if not np.array_equal(first[0].groups, second[0].groups):
        raise ValueError("A change needs two probes tested on the same examples in the same order.")
    mine, theirs = correct_by_part(first)[part], correct_by_part(second)[other]
    return paired_difference(mine.tolist(), theirs.tolist(), first[0].groups.tolist(), (-1, 1), seed=seed)


def onset_of(
    results: Sequence[ProbeResult], seed: int = 0, level: float = 0.95, above_majority: bool = False
) -> Interval | None:
    """The relative depth at which accuracy sets in (`paperlib.stats.onset`), None where it does not clearly rise.

    above_majority: whether the rise is counted from the majority baseline, and not from layer 0.
    """
    base = results[0].majority if above_majority else None
    right = np.stack([r.correct for r in results]).astype(float)
    return onset(right, _depths(results), results[0].groups.tolist(), seed, level, base)


def best(results: Sequence[ProbeResult]) -> ProbeResult:
    """The layer of the highest accuracy, the first if several are equal: optimistic, being the best of many."""
    return max(results, key=lambda r: r.accuracy.value)
