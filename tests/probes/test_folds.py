"""Folds: groups stay whole, classes spread evenly, and what cannot be tested is refused."""

import numpy as np
import pytest
from small_models import one_sentence

from paperlib.probes.folds import assign_folds, check_folds, joined
from paperlib.probes.probing import probe

N = 120


def noise(layers=1, seed=0):
    return np.random.default_rng(seed).normal(size=(N, layers, 6))


def test_folds_keep_groups_whole():
    """States know the group alone, and the label follows from the group: only a leak could be read."""
    rng = np.random.default_rng(1)
    groups, codes = np.repeat(np.arange(60), 3), rng.normal(size=(60, 60))
    labels = rng.permutation(np.arange(60) % 2)[groups]
    states = (codes[groups] + 0.01 * rng.normal(size=(180, 60)))[:, None]
    leaky, clean = (probe(states, labels, g, controls=0)[0].accuracy for g in (np.arange(180), groups))
    assert leaky.value > 0.9 and clean.low < 0.5 < clean.high


def test_folds_follow_the_seed():
    states, labels = noise(), np.arange(N) % 3
    a, same, other = (probe(states, labels, np.arange(N), seed=seed)[0] for seed in (0, 0, 1))
    assert (a.correct == same.correct).all() and a.to_dict() == same.to_dict()
    assert (a.correct != other.correct).any() and a.controls != other.controls


def test_folds_are_stratified():
    """Each of two folds gets one of two rare examples, whatever the seed; else one fold would test the unknown."""
    labels = np.repeat([0, 1], [28, 2])
    states = noise()[:30]
    for seed in range(8):
        probe(states, labels, np.arange(30), folds=2, controls=0, seed=seed)


def test_folds_made_beforehand_are_the_same():
    states, labels = noise(2), np.random.default_rng(1).integers(0, 3, N)
    groups = [f"scene {i // 2}" for i in range(N)]
    fold = assign_folds(labels, groups, 4, seed=7)
    assert sorted(set(fold)) == [0, 1, 2, 3] and all(len(set(fold[i : i + 2])) == 1 for i in range(0, N, 2))
    a, b = probe(states, labels, groups, folds=4, seed=7), probe(states, labels, groups, folds=fold, seed=7)
    assert [r.to_dict() for r in a] == [r.to_dict() for r in b]


def test_columns_are_joined_in_the_order_of_the_states():
    states = {"images": np.zeros((2, 1, 1)), "captions": np.zeros((1, 1, 1))}
    assert joined({"captions": ["c"], "images": ["a", "b"]}, states, "labels").tolist() == ["a", "b", "c"]
    with pytest.raises(ValueError, match="1 states of captions, which need as many labels, but 0 came") as error:
        joined({"images": ["a", "b"]}, states, "labels")
    one_sentence(error.value)


def test_folds_that_cannot_be_tested_are_refused():
    words, codes, groups = np.array(["ant", "bee"]), np.array([0, 1, 0, 1]), np.arange(4)
    fine = np.array([0, 0, 1, 1])
    check_folds({"": (codes, fine)}, groups, fine, words)
    for said, fold, who in (
        ("in two folds", fine, np.array([0, 1, 1, 2])),
        ("ever tested", np.full(4, -1), groups),
        ("tests the class 'ant'", np.array([0, -1, 0, -1]), groups),
    ):
        with pytest.raises(ValueError, match=said) as error:
            check_folds({"": (codes, fold)}, who, fold, words)
        one_sentence(error.value)
