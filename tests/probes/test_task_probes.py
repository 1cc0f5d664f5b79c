"""Tests of paperlib.probes.task_probes on planted states: a label written in from a known layer on is read there."""

import numpy as np
import pytest
import torch

from paperlib.figures.curves import layer_curves
from paperlib.probes.probing import probe, transfer
from paperlib.probes.task_probes import (
    PARTS,
    accuracy_by_part,
    best,
    change,
    correct_by_part,
    onset_of,
    probe_panel,
    read,
    read_across,
    read_held_out,
    read_words,
    rows_of,
)
from paperlib.stats.interval import Interval
from paperlib.tasks.probe_tasks import probe_tasks
from paperlib.tasks.word_tasks import WordTask

LAYERS, WIDTH = 10, 24


@pytest.fixture(scope="module")
def task():
    return probe_tasks(96)["category"]


def planted(task, start, seed=0, shift=0.0):
    """Noise, with the label's own direction added from a layer on."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(7).normal(size=(len(set(task.labels)), WIDTH))
    states = rng.normal(size=(len(task.labels), LAYERS, WIDTH)) + shift
    states[:, start:] += 4 * directions[np.unique(task.labels, return_inverse=True)[1]][:, None]
    return torch.from_numpy(states).float()


@pytest.fixture(scope="module")
def results(task):
    return read(task, planted(task, 6), 3, controls=1)


def test_seen_concepts_are_cross_validated_and_held_out_ones_left_out(task, results):
    seen = ~task.held_out
    alone = probe(planted(task, 6)[seen], task.labels[seen], task.groups[seen], 3, types=task.groups[seen])
    assert [r.accuracy for r in results] == [r.accuracy for r in alone]
    assert len(results[0].correct) == seen.sum()


def test_held_out_concepts_are_tested_and_never_trained_on(task):
    found = read_held_out(task, planted(task, 6))
    assert set(found[0].groups) == set(task.types[task.held_out]) and len(found[0].correct) == task.held_out.sum()
    assert found[0].accuracy.value < 0.4 < 0.9 < found[9].accuracy.value


def test_rows_say_layer_depth_and_which(results):
    rows = rows_of(results, probe="category", stage="tuned")
    assert [row["depth"] for row in rows] == pytest.approx(np.arange(LAYERS) / (LAYERS - 1))
    assert rows[3]["layer"] == 3 and rows[3]["accuracy"] == results[3].accuracy and rows[3]["stage"] == "tuned"
    assert rows[0]["majority"] == results[0].majority and rows[0]["selectivity"] == results[0].selectivity


def test_thirds_are_means_over_their_layers(results):
    parts = correct_by_part(results)
    assert list(parts) == list(PARTS)
    by_hand = {"layer 0": [0], "early third": [1, 2], "middle third": [3, 4, 5], "late third": [6, 7, 8, 9]}
    for name, layers in by_hand.items():
        right = np.mean([results[i].correct for i in layers], axis=0)
        assert parts[name] == pytest.approx(right)
        assert accuracy_by_part(results)[name].value == pytest.approx(right.mean())


def test_changes_are_paired(results, task):
    rise = change((results, "late third"), (results, "layer 0"))
    assert rise.low > 0.5 and change((results, "late third"), (results, "late third")).value == 0
    with pytest.raises(ValueError, match="same examples"):
        change((results, "late third"), (read_held_out(task, planted(task, 6)), "late third"))


def test_the_onset_is_where_it_was_planted(results, task):
    assert 5 / 9 <= onset_of(results).value <= 6 / 9
    assert onset_of(read(task, planted(task, 0), 3)) is None, "what is there from the first layer on sets in nowhere"


def test_the_first_of_the_best_layers(results):
    assert best(results).accuracy.value == max(r.accuracy.value for r in results) and best(results).layer >= 6


def test_transfer_takes_captions_of_seen_scenes_or_of_all(task):
    captions, pictures, seen = planted(task, 3, 1, shift=2.0), planted(task, 6, 2), ~task.held_out
    found = read_across(task, captions, pictures, 3)["centre"]
    assert set(found) == {(a, b) for a in ("captions", "pictures") for b in ("captions", "pictures")}
    sides = {
        "captions": (captions[seen], task.labels[seen], task.groups[seen]),
        "pictures": (pictures[seen], task.labels[seen], task.groups[seen]),
    }
    alone = transfer(sides, 3, controls=0, alignments=("centre",))["centre"]
    few = read_across(task, captions[seen], pictures, 3, learn=["captions"])["centre"]
    route = ("captions", "pictures")
    assert [r.accuracy for r in found[route]] == [r.accuracy for r in alone[route]] == [r.accuracy for r in few[route]]
    assert set(few) == {("captions", "captions"), route}


def test_a_panel_of_probes_holds_controls_baseline_and_n():
    low, high = Interval(0.2, 0.1, 0.3, 40), Interval(0.5, 0.4, 0.6, 40)
    rows = [
        {"stage": stage, "depth": at, "accuracy": high, "control": control, "majority": 0.25}
        for stage, control in (("stage 1", None), ("tuned", low))
        for at in (0, 0.5, 1)
    ]
    panel = probe_panel(rows, "colour")
    assert [line["label"] for line in panel["lines"]] == ["stage 1", "tuned", "control task (shuffled labels)"]
    assert panel["lines"][1]["y"] == [50, 50, 50] and panel["lines"][2]["high"] == [30, 30, 30]
    assert panel["marks"] == [[25.0, "majority baseline"]] and panel["n"] == 40
    assert len(layer_curves({"xlabel": "layer (relative depth)", "panels": [panel]}).axes) == 1


def test_words_are_read_from_the_modality_that_holds_them():
    """Layer 1 of both modalities holds the word in one form, apart by a shift; layer 2 of pictures alone does."""
    rng = np.random.default_rng(0)
    rows = np.sort(rng.permutation(100)[:80])
    held = rng.permutation(np.arange(100) % 2).astype(bool)
    states = {}
    for number, side in enumerate(("captions", "pictures")):
        layers = rng.normal(size=(100, 3, 6))
        layers[:, 1, 0] += 6 * held + 20 * number
        layers[:, 2, 0] += 6 * held * number
        states[side] = torch.tensor(layers, dtype=torch.float32)
    task = WordTask("dog", rows, np.where(held[rows], "yes", "no"))
    found = read_words([task], states["captions"], states["pictures"], folds=4)
    assert list(found) == ["dog"] and len(found["dog"]) == 4
    for (trained, tested), results in found["dog"].items():
        level = [result.accuracy.value for result in results]
        assert level[0] < 0.7 < 0.95 < level[1] and results[1].accuracy.n == 80
        assert (level[2] > 0.95) == (trained == tested == "pictures"), (trained, tested)
