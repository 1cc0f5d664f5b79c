"""Counterfactual pairs differ in one attribute, which the question asks for, and stay inside their split."""

from dataclasses import asdict

import numpy as np
import oracle
import pytest
from small_models import one_sentence

from paperlib.tasks.concepts import concepts
from paperlib.tasks.counterfactuals import ASKED, counterfactual, counterfactuals
from paperlib.tasks.scenes import SPLITS, compose, draw_scene


def pixels(scene) -> np.ndarray:
    return np.asarray(scene.render()).astype(int)


def cell_of(array: np.ndarray, row: int, column: int) -> np.ndarray:
    return array[64 * row : 64 * row + 64, 64 * column : 64 * column + 64]


@pytest.fixture(scope="module")
def pairs():
    return counterfactuals(30)


def test_each_pair_differs_in_the_attribute_asked_for_and_nothing_else(pairs):
    assert [a.kind for a, _ in pairs] == list(ASKED) * 10
    for a, b in pairs:
        assert (a.question, a.choices, a.group) == (b.question, b.choices, b.group) and a.id != b.id
        assert (a.answer, b.answer) == a.choices and a.answer != b.answer
        first, second = asdict(a.picture), asdict(b.picture)
        different = [(one, two) for one, two in zip(first.pop("things"), second.pop("things")) if one != two]
        assert first == second and len(different) == 1
        assert [key for key in different[0][0] if different[0][0][key] != different[0][1][key]] == [a.kind]


def test_answers_are_right(pairs):
    assert all(e.answer == oracle.answer(e.question, e.picture) for pair in pairs for e in pair)


@pytest.mark.parametrize("split", ["test", "validation"])
def test_both_sides_belong_to_the_split(split):
    for pair in counterfactuals(9, split):
        assert all(int(e.picture.key, 16) % 10 in SPLITS[split] for e in pair)


def test_the_same_for_a_seed_and_others_for_another(pairs):
    assert counterfactuals(6) == pairs[:6]
    assert {a.group for a, _ in counterfactuals(6, seed=1)} != {a.group for a, _ in pairs[:6]}


def test_bad_numbers():
    with pytest.raises(ValueError) as error:
        counterfactuals(0)
    one_sentence(error.value)


def test_counterfactuals_differ_in_one_attribute_of_one_thing_and_in_its_cell_alone():
    rng, chosen = np.random.default_rng(0), set()
    for index in range(60):
        scene = draw_scene("held-out" if index % 3 == 0 else "test", 9, index)
        other, attribute, i = counterfactual(scene, rng)
        chosen.add(attribute)
        before, after = scene.to_dict(), other.to_dict()
        differing = {key for key in before if before[key] != after[key]}
        assert differing == {"things"} and len(before["things"]) == len(after["things"])
        assert [j for j, (a, b) in enumerate(zip(scene.things, other.things)) if a != b] == [i]
        keys = {key for key, value in after["things"][i].items() if value != before["things"][i][key]}
        # A size is seen by its box, which moves with it within the cell.
        assert keys - ({"box"} if attribute == "size" else set()) == {attribute}
        assert len({t.identity for t in other.things}) == len(other.things)
        assert oracle.shown(other) == set(oracle.statements(other.caption)) != oracle.shown(scene)
        if attribute == "concept":
            one, two = (concepts()[s.things[i].concept] for s in (scene, other))
            assert (one.category, one.held_out) == (two.category, two.held_out)
        difference = (pixels(scene) != pixels(other)).any(axis=2)
        assert cell_of(difference, *oracle.CELLS[scene.things[i].cell]).sum() > 20
        row, column = oracle.CELLS[scene.things[i].cell]
        cell_of(difference, row, column)[:] = False
        assert not difference.any()
    assert chosen == {"concept", "colour", "shape", "size"}


@pytest.mark.parametrize("attribute", ["concept", "colour", "shape", "size"])
def test_a_counterfactual_changes_the_attribute_that_is_asked_for(attribute):
    things = {"top left": "large dog", "top right": "small red circle", "bottom left": "large red star"}
    scene, changeable = compose(things), {"concept": {0}, "size": {0, 1, 2}}.get(attribute, {1, 2})
    for seed in range(8):
        other, chosen, i = counterfactual(scene, np.random.default_rng(seed), attribute)
        assert chosen == attribute and i in changeable
        assert getattr(other.things[i], attribute) != getattr(scene.things[i], attribute)


def test_a_counterfactual_of_what_cannot_change_is_refused_instead_of_sought_forever():
    class Patience:
        """A generator that fails after a thousand numbers."""

        def __init__(self):
            self.rng, self.left = np.random.default_rng(0), 1000

        def integers(self, *args, **kwargs):
            self.left -= 1
            assert self.left, "a thousand numbers were drawn"
            return self.rng.integers(*args, **kwargs)

    violin = compose({"top left": "large violin"})  # the only held-out instrument
    with pytest.raises(ValueError, match=r"'concept' to change\.$"):
        counterfactual(violin, Patience(), "concept")
    assert counterfactual(violin, Patience())[1] == "size"
    with pytest.raises(ValueError, match="'colour'"):
        counterfactual(violin, Patience(), "colour")
