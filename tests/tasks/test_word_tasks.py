"""Words of natural captions as labels: by hand."""

import numpy as np
from PIL import Image

from paperlib.tasks.natural_pairs import Pair
from paperlib.tasks.word_tasks import LEAST, word_tasks, words_of


def pairs(captions):
    return [Pair(str(i), caption, Image.new("RGB", (4, 4))) for i, caption in enumerate(captions)]


def test_words_are_those_that_carry_meaning():
    assert words_of("A dog is on the RED sofa, its ears up; 2 dogs.") == {"dog", "red", "sofa", "ears", "dogs"}


def test_the_most_common_words_up_to_half_of_the_captions():
    """ "street" stands in all captions and tells nothing; "cat" in too few."""
    captions = (
        ["a dog in the street"] * 20 + ["a man in the street"] * 15 + ["street"] * 20 + ["street cat"] * (LEAST - 1)
    )
    found = word_tasks(pairs(captions))
    assert [task.word for task in found] == ["dog", "man"]
    assert [task.word for task in word_tasks(pairs(captions), words=1)] == ["dog"]


def test_half_of_a_task_has_the_word_and_labels_are_right():
    captions = [f"a {word} here" for word in ["dog"] * 14 + ["boat"] * 13 + ["tree"] * 40]
    for task in word_tasks(pairs(captions)):
        truth = np.array([task.word in captions[i] for i in task.rows])
        assert (truth == (task.labels == "yes")).all() and truth.mean() == 0.5
        assert len(set(task.rows.tolist())) == len(task.rows) == 2 * sum(task.word in c for c in captions)


def test_a_seed_draws_other_pictures_without_the_word():
    made = pairs(["dog"] * LEAST + ["sky"] * 8 + ["sea"] * 60)
    a, b, again = (word_tasks(made, seed=seed)[0] for seed in (0, 1, 0))
    assert a.word == b.word == "dog"
    assert a.rows.tolist() == again.rows.tolist() != b.rows.tolist()


def test_no_common_word_no_task():
    assert word_tasks(pairs(["one dog", "two cats"])) == [] and word_tasks([]) == []
