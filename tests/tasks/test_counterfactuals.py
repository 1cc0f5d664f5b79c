"""Counterfactual pairs differ in one attribute, which the question asks for, and stay inside their split."""

from dataclasses import asdict

import oracle
import pytest
from small_models import one_sentence

from paperlib.tasks.counterfactuals import ASKED, counterfactuals
from paperlib.tasks.scenes import SPLITS


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
