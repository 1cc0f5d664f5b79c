"""Scenes as a set of points needs them: no two that show the same, their types, and captions whose order is gone."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from paperlib.tasks.concepts import concepts
from paperlib.tasks.scenes import Scene, draw_scene


def distinct_scenes(n: int, seed: int, style: str = "mixed", split: str = "test") -> list[Scene]:
    """The first n scenes of a split that all show something else, so that no caption comes twice.

    Raises ValueError as `scenes.draw_scene`.
    """
    found: dict[str, Scene] = {}
    index = 0
    while len(found) < n:
        scene = draw_scene(split, seed, index, style)
        found.setdefault(scene.key, scene)
        index += 1
    return list(found.values())


def scene_types(scenes: Sequence[Scene]) -> np.ndarray:
    """[N] the type of each scene: whether an emoji or which shape comes first, and how many things there are."""
    return np.array([f"{'concept' if s.things[0].concept else s.things[0].shape}{len(s.things)}" for s in scenes])


def scene_attributes(scenes: Sequence[Scene]) -> np.ndarray:
    """[N, A] how often each attribute stands in each scene: concepts, categories, shapes, colours, sizes, places.

    A scene without a thing in some place has a count less there, so how many things there are is in it too.
    """
    rows = []
    for scene in scenes:
        found: Counter[str] = Counter()
        for thing in scene.things:
            kind = [thing.concept, concepts()[thing.concept].category] if thing.concept else [thing.shape, thing.colour]
            found.update([*kind, thing.size, thing.cell])
        rows.append(found)
    names = sorted({name for found in rows for name in found})
    return np.array([[found[name] for name in names] for found in rows])


def shuffled_words(caption: str, rng: np.random.Generator) -> str:
    """The same words in a random order, and the full stop at the end again."""
    words = caption.rstrip(".").split()
    return " ".join(words[i] for i in rng.permutation(len(words))) + "."
