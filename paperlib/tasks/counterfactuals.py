"""Pairs of scenes that differ in one attribute of one thing, and the question that only this attribute answers.

Activation patching carries states from one to the other: all else being equal, whatever moves the answer is what the
states hold of that attribute.
"""

import numpy as np

from paperlib.study.checks import whole
from paperlib.tasks.benchmarks import MOST, Example
from paperlib.tasks.concepts import concepts
from paperlib.tasks.scenes import SPLITS, Thing, bucket, changes, draw_scene, twin

ASKED = {
    "concept": "What is at the {cell}?",
    "colour": "What color is the shape at the {cell}?",
    "shape": "What shape is at the {cell}?",
}


def counterfactuals(n: int, split: str = "test", seed: int = 0) -> list[tuple[Example, Example]]:
    """N pairs (scene, its twin) of a split, attributes in turn, as examples with one question and other answers.

    The two answers are the choices. Raises ValueError for n < 1, and as `scenes.draw_scene` does.
    """
    n = whole(n, "n", most=MOST)
    pairs, index = [], 0
    while len(pairs) < n:
        attribute, number = list(ASKED)[len(pairs) % len(ASKED)], index
        scene, rng = draw_scene(split, seed, number), np.random.default_rng([37, seed, number])
        index += 1
        if attribute not in {a for a, _ in changes(scene)}:
            continue
        other, _, i = twin(scene, rng, attribute)
        if bucket(other) not in SPLITS[split]:
            continue
        question = ASKED[attribute].format(cell=scene.things[i].cell)
        answers = tuple(_value(shown.things[i], attribute) for shown in (scene, other))
        pairs.append(
            tuple(
                Example(
                    f"counterfactuals/{split}/{attribute}/{seed}/{number}/{side}",
                    "counterfactuals",
                    attribute,
                    split,
                    question,
                    answer,
                    answers,
                    shown,
                    scene.key,
                )
                for side, answer, shown in zip(("scene", "twin"), answers, (scene, other))
            )
        )
    return pairs


def _value(thing: Thing, attribute: str) -> str:
    return concepts()[thing.concept].name if attribute == "concept" else getattr(thing, attribute)
