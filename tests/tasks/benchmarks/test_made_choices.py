"""Free answers get choices: answers of the same kind to other pictures, drawn the same way each time."""

from dataclasses import replace

import pytest
from public_rows import example
from small_models import one_sentence

from paperlib.tasks.benchmarks.made_choices import with_choices

FREE = [replace(example(a, identity=f"B/test/{i}"), group=f"g{i}") for i, a in enumerate(["12", "7", "Yes", "no", "3"])]


def test_the_answer_stands_among_others_and_nothing_else_changes():
    found = with_choices(FREE, 3, seed=1)
    for before, after in zip(FREE, found):
        assert replace(after, choices=()) == before and after.answer in after.choices
        assert len(after.choices) == len(set(after.choices)) == 4
        assert set(after.choices) <= {e.answer for e in FREE}
    assert found == with_choices(FREE, 3, seed=1) != with_choices(FREE, 3, seed=2)
    assert len({e.choices.index(e.answer) for e in with_choices(FREE * 1, 3)}) > 1  # not always in one place


def test_examples_with_choices_stay_as_they_are():
    fixed = replace(FREE[0], choices=("12", "13"))
    assert with_choices([fixed, *FREE[1:]])[0] is fixed


def test_own_picture_other_kinds_and_other_spellings_give_no_distractor():
    mine = FREE[0]
    same_group = replace(FREE[1], group=mine.group)
    other_kind = replace(FREE[2], kind="other")
    spelled = replace(FREE[3], answer=" 12 ")
    [found, *_] = with_choices([mine, same_group, spelled, FREE[4]])
    assert set(found.choices) == {"12", "3"}
    with pytest.raises(ValueError) as error:
        with_choices([mine, same_group, other_kind, spelled])
    assert "load more examples" in one_sentence(error.value)
    with pytest.raises(ValueError, match="k must be"):
        with_choices(FREE, 0)
