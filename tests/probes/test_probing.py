"""Probes on planted states, against scikit-learn fold by fold, and against states made to leak."""

import json

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from small_models import one_sentence

from paperlib.probes.probing import probe, probe_difference, transfer
from paperlib.scoring.records import Record
from paperlib.stats import accuracy as intervals
from paperlib.study import results

N, D, L2 = 180, 12, 0.03  # the default penalty


def planted(seed=0, n=N, signal=(0.0, 0.5, 3.0), classes=3, labels=None):
    """States of three layers that hold the label with rising strength, on dimensions of different scale, and labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, size=n) if labels is None else labels
    code = np.random.default_rng(99).normal(size=(classes, D))
    states = np.stack([rng.normal(size=(n, D)) + s * code[labels] for s in signal], axis=1)
    return (states * np.geomspace(0.01, 100, D) + 5).astype(np.float32), labels


def theirs(states, labels, learn):
    """scikit-learn's scaler and probe, fitted to some rows of one layer."""
    scaler = StandardScaler().fit(states[learn])
    model = LogisticRegression(C=1 / (L2 * learn.sum()), tol=1e-9, max_iter=5000)
    return scaler, model.fit(scaler.transform(states[learn]), labels[learn])


def test_a_planted_label_is_found_where_it_is():
    states, labels = planted()
    found = probe(states, labels, np.arange(N))
    assert [r.layer for r in found] == [0, 1, 2]
    assert found[0].accuracy.low < 1 / 3 < found[0].accuracy.high
    assert found[0].accuracy.high < found[1].accuracy.low and found[1].accuracy.value < found[2].accuracy.value
    assert found[2].accuracy.value > 0.97
    for r in found:
        assert r.accuracy.n == N and r.majority == np.bincount(labels).max() / N
        assert abs(r.control.value - 1 / 3) < 0.12 and r.controls == (pytest.approx(r.control.value),)
        assert r.selectivity.value == pytest.approx(r.accuracy.value - r.control.value)
        assert r.selectivity.low < r.selectivity.value < r.selectivity.high


def test_predictions_are_scikit_learns_fold_by_fold():
    states, labels = planted(signal=(0.3, 0.6, 1.0))
    groups, fold = np.arange(N) // 3, np.arange(N) // 3 % 4
    found = probe(states, labels, groups, folds=fold, controls=0)
    for r in found:
        expected = np.empty(N, int)
        for k in range(4):
            scaler, model = theirs(states[:, r.layer], labels, fold != k)
            expected[fold == k] = model.predict(scaler.transform(states[fold == k, r.layer]))
        assert (r.correct != (expected == labels)).sum() <= 1  # one example may lie on the border
        assert r.control is None and r.selectivity is None and r.controls == ()


def records(result):
    """One record for each tested example."""
    return [
        Record(str(i), "", "", str(group), "", "", bool(correct), (), ())
        for i, (correct, group) in enumerate(zip(result.correct, result.groups))
    ]


def test_the_interval_is_that_of_records():
    states, labels = planted(signal=(0.0, 0.5, 30.0))
    groups = np.arange(N) // 2
    for r in probe(states, labels, groups, controls=0, seed=3):
        assert r.accuracy == pytest.approx(intervals.accuracy(records(r), seed=3))
    assert r.accuracy.value == 1 and r.accuracy.low < 1


def test_order_of_examples_and_kind_of_array_do_not_matter():
    states, labels = planted()
    fold, order = np.arange(N) % 3, np.random.default_rng(5).permutation(N)
    plain = probe(states, labels, np.arange(N), folds=fold, controls=0)
    words = np.array(["ant", "bee", "cow"])[labels]
    moved = probe(torch.tensor(states[order]), list(words[order]), order, folds=fold[order].tolist(), controls=0)
    for a, b in zip(plain, moved):
        assert (a.correct[order] != b.correct).sum() <= 1 and a.majority == b.majority


def test_a_layer_alone_is_what_it_is_among_others():
    """Starting from the layer before saves steps and changes no more than rounding does."""
    states, labels = planted(signal=(2.0, 0.3, 0.6))
    together, alone = probe(states, labels, np.arange(N))[2], probe(states[:, 2:], labels, np.arange(N))[0]
    assert (together.correct != alone.correct).sum() <= 2


def test_held_out_concepts():
    """Learnt from seen concepts alone; tested, and counted, on held-out ones alone."""
    states, labels = planted(signal=(0.3, 0.6, 1.0))
    concept = np.arange(N) % 30
    held_out = concept >= 24
    states[held_out] += 0.3
    for r in probe(states, labels, concept, folds=np.where(held_out, 0, -1)):
        scaler, model = theirs(states[:, r.layer], labels, ~held_out)
        right = model.predict(scaler.transform(states[held_out, r.layer])) == labels[held_out]
        assert (r.correct != right).sum() <= 1 and r.accuracy.n == held_out.sum() == len(r.groups)
        assert (
            set(r.groups) == set(range(24, 30)) and r.majority == np.bincount(labels[held_out]).max() / held_out.sum()
        )


def test_control_by_type_shows_what_a_probe_learns_by_heart():
    """The state names the concept, and the label is the concept's: random labels of concepts are learnt as well."""
    rng = np.random.default_rng(2)
    concept, codes = rng.integers(0, 12, size=240), np.eye(12)
    states, labels = (5 * codes[concept] + rng.normal(size=(240, 12)))[:, None], concept % 3
    by_concept = probe(states, labels, np.arange(240), types=concept, controls=3)[0]
    by_scene = probe(states, labels, np.arange(240), controls=3)[0]
    assert by_concept.control.value > 0.9 and abs(by_concept.selectivity.value) < 0.06
    assert by_scene.control.value < 0.5 and by_scene.selectivity.low > 0.4
    assert len(by_scene.controls) == 3 and by_scene.control.value == pytest.approx(np.mean(by_scene.controls))


# ---------------------------------------------------------------- transfer


def two_modalities(gap, stretch=1.0, n=120):
    """Images and captions of the same scenes that code the label alike, captions shifted and stretched."""
    labels = np.random.default_rng(3).integers(0, 3, size=n)
    images, _ = planted(seed=1, n=n, labels=labels, signal=(0.0, 2.0))
    captions, _ = planted(seed=2, n=n, labels=labels, signal=(0.0, 2.0))
    mean, scale = captions.mean(0), np.geomspace(0.01, 100, D)
    direction = np.random.default_rng(4).normal(size=D)
    captions = (captions - mean) * stretch + mean + gap * direction * scale
    scenes = [f"scene {i}" for i in range(n)]
    return {"images": (images, labels, scenes), "captions": (captions.astype(np.float32), labels, scenes)}


def value(found, alignment, learnt, tested, layer=1):
    return found[alignment][learnt, tested][layer].accuracy.value


def test_transfer_across_a_gap():
    """A shared code behind a shift: centring finds it, in both directions, and without it the answers are poor."""
    found = transfer(two_modalities(gap=6), alignments=("centre", "none"), controls=0)
    for learnt, tested in (("images", "captions"), ("captions", "images")):
        assert value(found, "centre", learnt, tested) > 0.85 > 0.75 > value(found, "none", learnt, tested)
        assert value(found, "centre", learnt, tested, layer=0) < 0.5
    for name in ("images", "captions"):
        assert value(found, "centre", name, name) == value(found, "none", name, name) > 0.85
    assert set(found["centre"]) == {(a, b) for a in ("images", "captions") for b in ("images", "captions")}


def test_each_cell_is_scikit_learns():
    """Every alignment, direction and fold by hand: scalers of the folds learnt from, fitted to each modality."""
    sides, fold = two_modalities(gap=1, stretch=np.geomspace(0.05, 10, D)), np.arange(120) % 3
    sides["captions"][0][fold == 0] += np.geomspace(0.01, 100, D, dtype=np.float32)  # no two folds are alike
    found = transfer(
        sides, folds={"images": fold, "captions": fold}, controls=0, alignments=("centre", "standardise", "none")
    )
    labels, differ = sides["images"][1], 0
    for learnt in sides:
        for tested in sides:
            expected = {a: np.empty(120, bool) for a in found}
            for k in range(3):
                scaler, model = theirs(sides[learnt][0][:, 1], labels, fold != k)
                own = StandardScaler().fit(sides[tested][0][fold != k, 1])
                x = sides[tested][0][fold == k, 1]
                for a, z in {
                    "none": scaler.transform(x),
                    "standardise": own.transform(x),
                    "centre": (x - own.mean_) / scaler.scale_,
                }.items():
                    expected[a][fold == k] = model.predict(z) == labels[fold == k]
            for a, right in expected.items():
                assert (found[a][learnt, tested][1].correct != right).sum() <= 1
            differ += min((expected[a] != expected[b]).sum() > 3 for a in expected for b in set(expected) - {a})
    assert differ  # or the three alignments could not be told apart here


def test_transfer_never_shares_a_scene():
    """Both modalities hold the scene's identity and nothing else: the label could only be known by its scene."""
    rng = np.random.default_rng(6)
    codes, labels = rng.normal(size=(100, 100)), rng.permutation(np.arange(100) % 2)
    sides = {name: ((codes + 0.01 * rng.normal(size=(100, 100)))[:, None], labels, np.arange(100)) for name in "ab"}
    shared, strangers = transfer(sides), transfer({"a": sides["a"], "b": (*sides["b"][:2], np.arange(100, 200))})
    assert shared["none"]["a", "b"][0].accuracy.value < 0.65 < 0.8 < strangers["none"]["a", "b"][0].accuracy.value


def test_learning_on_one_side_changes_nothing_of_its_cells():
    sides = two_modalities(gap=6)
    whole, part = transfer(sides), transfer(sides, learn=["captions"])
    for alignment, cells in part.items():
        assert set(cells) == {("captions", name) for name in sides}
        for key, cell in cells.items():
            for a, b in zip(cell, whole[alignment][key], strict=True):
                assert np.array_equal(a.correct, b.correct) and a.selectivity == b.selectivity


def test_control_labels_are_the_same_in_both_modalities():
    """By concept, the control of one modality transfers to the other where the concept can be read in both."""
    rng = np.random.default_rng(7)
    concept = rng.integers(0, 10, size=150)
    sides = {
        name: ((5 * np.eye(10)[concept] + rng.normal(size=(150, 10)))[:, None], concept % 2, np.arange(150))
        for name in ("images", "captions")
    }
    found = transfer(sides, types={"images": concept, "captions": concept})
    assert found["centre"]["captions", "images"][0].control.value > 0.9


def test_modalities_of_different_length():
    sides = two_modalities(gap=1)
    states, labels, scenes = sides["captions"]
    sides["captions"] = np.concatenate([states, states[:30]]), [*labels, *labels[:30]], [*scenes, *scenes[:30]]
    found = transfer(sides, controls=0)["centre"]
    assert [found["images", n][1].accuracy.n for n in ("images", "captions")] == [120, 150]
    assert found["captions", "captions"][1].groups.tolist() == [*scenes, *scenes[:30]]


# ---------------------------------------------------------------- results and refusals


def test_difference_is_paired():
    states, labels = planted()
    a, b = probe(states, labels, np.arange(N) // 2, controls=0)[1:]
    assert probe_difference(b, a) == pytest.approx(intervals.accuracy_difference(records(b), records(a)))
    assert probe_difference(b, a).low > 0
    with pytest.raises(ValueError) as error:
        probe_difference(a, probe(states[:90], labels[:90], np.arange(90), controls=0)[0])
    assert "same examples" in one_sentence(error.value)


def test_results_become_json():
    states, labels = planted()
    found = probe(states, labels, np.arange(N))[2].to_dict()
    assert json.loads(json.dumps(results.plain(found)))["accuracy"] == list(found["accuracy"])
    assert set(found) == {"layer", "accuracy", "majority", "control", "selectivity"}


def cases():
    states, labels = planted(n=30)
    groups, bad = np.arange(30), states.copy()
    bad[3, 1, 2] = np.nan
    none = labels.astype(object)
    none[4] = None
    rare = np.where(groups == 7, 9, labels)
    thrice = np.where(groups // 3 == 2, 9, labels)
    half = np.where(groups < 15, 0, 1)
    two = {"images": (states, labels, groups), "captions": (states, labels, groups)}
    yield "layers, width", lambda: probe(states[:, 0], labels, groups)
    yield "layers, width", lambda: probe(states[:0], labels[:0], groups[:0])
    yield "NaN or infinite", lambda: probe(bad, labels, groups)
    yield "30 states, which need as many labels", lambda: probe(states, labels[1:], groups)
    yield "as many groups, but 31", lambda: probe(states, labels, np.arange(31))
    yield "as many types", lambda: probe(states, labels, groups, types=groups[:4])
    yield "as many fold numbers", lambda: probe(states, labels, groups, folds=groups[:4])
    yield "no label", lambda: probe(states, none, groups)
    yield "no label", lambda: probe(states, np.where(groups == 2, np.nan, labels), groups)
    yield "at least two classes", lambda: probe(states, np.full(30, "dog"), groups)
    yield "at least 2 folds", lambda: probe(states, labels, groups, folds=1)
    yield "4 groups", lambda: probe(states, labels, groups % 4)
    yield "1 of class '9'", lambda: probe(states, rare, groups)
    yield "tests the class '9'", lambda: probe(states, thrice, groups // 3, folds=3)
    yield "tests the class '0'", lambda: probe(states, half, groups, folds=np.where(half, -1, 0))
    yield "in two folds", lambda: probe(states, labels, groups // 2, folds=groups % 2)
    yield "all its fold numbers are negative", lambda: probe(states, labels, groups, folds=np.full(30, -1))
    yield "got centre, x", lambda: transfer(two, alignments=("centre", "x"))
    yield "some of", lambda: transfer(two, alignments=())
    yield "Train probes on some of", lambda: transfer(two, learn=["captions", "sound"])
    yield "got none", lambda: transfer(two, learn=())
    yield "alike in the last two", lambda: transfer({**two, "captions": (states[:, :2], labels, groups)})
    yield "30 states of captions", lambda: transfer({**two, "captions": (states, labels[1:], groups)})
    yield "as many fold numbers, but 0", lambda: transfer(two, folds={"images": groups % 2})
    lacking = {**two, "captions": (states, np.where(groups % 3 == 0, labels, 1), groups)}
    yield "there are no captions elsewhere", lambda: transfer(lacking, folds=dict.fromkeys(two, groups % 3))


@pytest.mark.parametrize("words, call", list(cases()))
def test_bad_input_is_refused_in_one_sentence(words, call):
    with pytest.raises(ValueError) as error:
        call()
    assert words in one_sentence(error.value)
