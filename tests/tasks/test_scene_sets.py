"""Sets of scenes: no repeats, types by their definition, and shuffled captions that keep their words."""

import numpy as np

from paperlib.tasks.scene_sets import distinct_scenes, scene_types, shuffled_words
from paperlib.tasks.scenes import compose, draw_scene


def test_no_two_scenes_show_the_same_and_their_order_is_that_of_drawing():
    found = distinct_scenes(300, 0, "shapes")
    keys = [scene.key for scene in found]
    assert len(found) == len(set(keys)) == 300
    drawn = [draw_scene("test", 0, i, "shapes").key for i in range(400)]
    assert len(set(drawn)) < 400, "scenes do repeat, so there was something to leave out"
    assert keys == list(dict.fromkeys(drawn))[:300]


def test_a_set_is_the_beginning_of_a_larger_one():
    assert distinct_scenes(5, 3) == distinct_scenes(9, 3)[:5] != distinct_scenes(5, 4)


def test_types_are_the_first_thing_and_the_count():
    scenes = [
        compose({"top left": "large dog", "top right": "small red circle"}),
        compose({"top left": "large dog"}),
        compose({"top left": "small red circle", "bottom right": "large dog"}),
    ]
    assert scene_types(scenes).tolist() == ["concept2", "concept1", "circle2"]


def test_shuffling_keeps_every_word_and_the_full_stop():
    caption = "A large dog at the top left and a small red circle at the bottom right."
    found = shuffled_words(caption, np.random.default_rng(0))
    assert found != caption and found.endswith(".") and found.count(".") == 1
    assert sorted(found[:-1].split()) == sorted(caption[:-1].split())
