"""Scenes as a set of points needs them: no two that show the same, their types, and captions whose order is gone."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from paperlib.tasks.concepts import concepts
from paperlib.tasks.scenes import Scene, Thing, draw_scene


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


def scene_attributes(scenes: Sequence[Scene]) -> dict[str, np.ndarray]:
    """How often each attribute stands in each scene, {kind of attribute: [N, A]}.

    Kinds are concept, category, shape, colour, size and place. A scene without a thing in some place has a count less
    there, so how many things there are is in it too.
    """
    rows: dict[str, list[Counter[str]]] = {}
    for scene in scenes:
        for kind in ("concept", "category", "shape", "colour", "size", "place"):
            rows.setdefault(kind, []).append(Counter(_attribute(thing, kind) for thing in scene.things))
    found = {}
    for kind, of in rows.items():
        names = sorted({name for counts in of for name in counts if name})
        found[kind] = np.array([[counts[name] for name in names] for counts in of]).reshape(len(scenes), len(names))
    return found


def _attribute(thing: Thing, kind: str) -> str:
    if kind == "category":
        return concepts()[thing.concept].category if thing.concept else ""
    return getattr(thing, "cell" if kind == "place" else kind)


def shuffled_words(caption: str, rng: np.random.Generator) -> str:
    """The same words in a random order, and the full stop at the end again."""
    words = caption.rstrip(".").split()
    return " ".join(words[i] for i in rng.permutation(len(words))) + "."
