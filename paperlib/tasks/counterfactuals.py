"""Pairs of scenes that differ in one attribute of one thing, and the question that only this attribute answers.

Activation patching carries states from one scene to the other. Nothing else differs, so a change of the answer shows
what the states hold of that attribute.
"""

from dataclasses import replace

import numpy as np

from paperlib.study.checks import whole
from paperlib.tasks.benchmarks import MOST, Example
from paperlib.tasks.concepts import Concept, by_category, concepts
from paperlib.tasks.scenes import COLOURS, SHAPES, SPLITS, Scene, Thing, bucket, draw_scene, place

ASKED = {
    "concept": "What is at the {cell}?",
    "colour": "What color is the shape at the {cell}?",
    "shape": "What shape is at the {cell}?",
}


def counterfactuals(n: int, split: str = "test", seed: int = 0) -> list[tuple[Example, Example]]:
    """N pairs (scene, its counterfactual) of a split, attributes in turn.

    Both are examples with one question, whose two answers are the choices. Raises ValueError for n < 1, and as
    `scenes.draw_scene` does.
    """
    n = whole(n, "n", most=MOST)
    pairs: list[tuple[Example, Example]] = []
    index = 0
    while len(pairs) < n:
        attribute, number = list(ASKED)[len(pairs) % len(ASKED)], index
        scene, rng = draw_scene(split, seed, number), np.random.default_rng([37, seed, number])
        index += 1
        if attribute not in {a for a, _ in possible_changes(scene)}:
            continue
        other, _, i = counterfactual(scene, rng, attribute)
        if bucket(other) not in SPLITS[split]:
            continue
        question = ASKED[attribute].format(cell=scene.things[i].cell)
        answers = tuple(_value(shown.things[i], attribute) for shown in (scene, other))
        name = f"counterfactuals/{split}/{attribute}/{seed}/{number}"
        asked = Example(
            f"{name}/scene", "counterfactuals", attribute, split, question, answers[0], answers, scene, scene.key
        )
        pairs.append((asked, replace(asked, id=f"{name}/twin", answer=answers[1], picture=other)))
    return pairs


def _value(thing: Thing, attribute: str) -> str:
    return concepts()[thing.concept].name if attribute == "concept" else getattr(thing, attribute)


def counterfactual(scene: Scene, rng: np.random.Generator, attribute: str | None = None) -> tuple[Scene, str, int]:
    """A scene that differs in one attribute of one thing -> (scene, attribute, index of the thing).

    attribute: "concept", "colour", "shape" or "size"; None picks one that the scene allows. A concept becomes another
    of its category, held out if it is; where there is none (one instrument is held out) it cannot change. Raises
    ValueError if no thing of the scene has that attribute to change.
    """
    options = [(a, i) for a, i in possible_changes(scene) if attribute in (None, a)]
    if not options:
        raise ValueError(f"No thing in this scene has the attribute {attribute!r} to change.")
    chosen, i = options[rng.integers(len(options))]
    thing = scene.things[i]
    others = {t.identity for t in scene.things}
    while True:
        if chosen == "concept":
            old = concepts()[thing.concept]
            group = by_category(old.held_out)[old.category]
            new = replace(thing, concept=group[rng.integers(len(group))].key)
        elif chosen == "size":
            size = "small" if thing.size == "large" else "large"
            new = replace(thing, size=size, box=place(rng, thing.cell, size))
            break
        else:
            values = SHAPES if chosen == "shape" else tuple(COLOURS)
            value = values[rng.integers(len(values))]
            new = replace(thing, shape=value) if chosen == "shape" else replace(thing, colour=value)
        if new.identity not in others:
            break
    return replace(scene, things=(*scene.things[:i], new, *scene.things[i + 1 :])), chosen, i


def possible_changes(scene: Scene) -> list[tuple[str, int]]:
    """What `counterfactual` can change: (attribute, index of the thing)."""
    return [
        (a, i)
        for i, t in enumerate(scene.things)
        for a in (("concept", "size") if t.concept else ("colour", "shape", "size"))
        if a != "concept" or _alternatives(scene, t)
    ]


def _alternatives(scene: Scene, thing: Thing) -> list[Concept]:
    """Concepts of the thing's category, held out if it is, that the scene does not show."""
    old, present = concepts()[thing.concept], {t.concept for t in scene.things}
    return [c for c in by_category(old.held_out)[old.category] if c.key not in present]
