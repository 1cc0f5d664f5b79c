"""Probing tasks: labels are right, groups can be split, caption versions say what the picture shows."""

from collections import Counter

import numpy as np
import oracle
import pytest
from small_models import one_sentence

from paperlib.tasks.probe_tasks import probe_tasks


@pytest.fixture(scope="module")
def tasks():
    return probe_tasks(96)


def test_labels_answer_the_questions(tasks):
    assert list(tasks) == ["concept", "category", "colour", "count", "existence"]
    for task in tasks.values():
        for scene, question, label in zip(task.scenes, task.questions, task.labels):
            assert oracle.answer(question, scene) == label, (task.name, question, scene.caption)
        assert len(task.scenes) == len(task.questions) == len(task.labels) == len(task.types) == len(task.groups)


def test_every_class_has_three_groups_to_split(tasks):
    for task in tasks.values():
        known = ~task.held_out
        for label in set(task.labels[known]):
            assert len(set(task.groups[known][task.labels[known] == label])) >= 3, (task.name, label)


def test_test_scenes_only_and_held_out_concepts_are_marked(tasks):
    for task in tasks.values():
        shown = np.array([bool({t.concept for t in scene.things} & oracle.HELD_OUT) for scene in task.scenes])
        assert (shown == task.held_out).all()
        assert all(int(scene.key, 16) % 10 == 9 or out for scene, out in zip(task.scenes, shown))
    assert tasks["category"].held_out.sum() == 48 and not tasks["colour"].held_out.any()
    assert Counter(tasks["existence"].labels) == {"yes": 48, "no": 48}


def test_caption_versions_put_the_caption_before_the_question(tasks):
    task = tasks["count"]
    assert task.caption_questions[3] == f"{task.scenes[3].caption} How many objects are in the picture?"


def test_the_same_for_a_seed(tasks):
    assert (
        probe_tasks(96)["colour"].caption_questions
        == tasks["colour"].caption_questions
        != probe_tasks(96, seed=1)["colour"].caption_questions
    )


def test_too_few():
    with pytest.raises(ValueError) as error:
        probe_tasks(3)
    one_sentence(error.value)
