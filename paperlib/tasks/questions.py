"""Questions with exact answers about scenes, charts and text: from instance to attribute, category, count, relation.

Every question stands alone: nothing but the picture comes before it. The answer of a yes/no question is drawn first, so
half are yes. Held-out concepts are never named in questions about scenes without one, so no training question has any.
"""

from dataclasses import dataclass, replace

import numpy as np

from paperlib.tasks.charts import TOP, Chart
from paperlib.tasks.concepts import Concept, by_category, concepts, knows, properties
from paperlib.tasks.scenes import CELLS, COLOURS, SHAPES, Scene, Thing, pick_concept, sentence

DESCRIBE = "Describe the picture."
NUMBERS = ("one", "two", "three", "four")
YES_NO = ("yes", "no")
# What picture questions ask about; "name" and "category" are asked of concepts, "shape" and "colour" of shapes.
KINDS = ("name", "category", "shape", "colour", "count", "existence", "relation", "position", "size", "knowledge")
CHART_KINDS = ("chart value", "chart extreme")
TEXT_KINDS = ("text knowledge", "text category")
NEGATIVES = ("random", "popular", "adversarial")


@dataclass(frozen=True)
class Question:
    """A question, its answer, and the choices that it is scored among (the answer is one of them)."""

    kind: str
    text: str
    answer: str
    choices: tuple[str, ...]


def ask(
    scene: Scene, kind: str, rng: np.random.Generator, negatives: str | None = None, about: str | None = None
) -> Question | None:
    """One question of a kind about a scene, or None if the scene does not allow it.

    negatives: how an absent thing is chosen for "existence" (random, popular or adversarial, as in POPE; None: any).
    about: "held-out" or "seen" restricts questions about concepts to that side. Raises ValueError for unknown words.
    """
    if kind not in KINDS:
        raise ValueError(f"Unknown kind of question {kind!r}: use one of {', '.join(KINDS)}.")
    if negatives not in (None, *NEGATIVES):
        raise ValueError(f"Unknown negatives {negatives!r}: use one of {', '.join(NEGATIVES)}.")
    if about not in (None, "held-out", "seen"):
        raise ValueError(f"Questions cannot be about {about!r}: use 'held-out', 'seen' or None.")
    wanted = {None: (True, False), "held-out": (True,), "seen": (False,)}[about]
    emoji = [t for t in scene.things if t.concept and concepts()[t.concept].held_out in wanted]
    shapes = [t for t in scene.things if t.shape] if about != "held-out" else []
    pool = {"name": emoji, "category": emoji, "knowledge": emoji, "shape": shapes, "colour": shapes}
    candidates = pool.get(kind, emoji + shapes)
    if not candidates:
        return None
    thing = candidates[rng.integers(len(candidates))]
    return _existence(scene, thing, rng, negatives) if kind == "existence" else _ASK[kind](scene, thing, rng)


def ask_chart(chart: Chart, kind: str, rng: np.random.Generator) -> Question:
    """One question about a bar chart: the value of a bar ("chart value"), or which is tallest or shortest ("chart
    extreme"). Raises ValueError for unknown kinds.
    """
    if kind not in CHART_KINDS:
        raise ValueError(f"Unknown kind of chart question {kind!r}: use one of {', '.join(CHART_KINDS)}.")
    if kind == "chart value":
        colour, value = chart.bars[rng.integers(len(chart.bars))]
        return Question(kind, f"How tall is the {colour} bar?", str(value), tuple(str(v) for v in range(1, TOP + 1)))
    most = bool(rng.integers(2))
    bars = sorted(chart.bars, key=lambda bar: bar[1])
    colours = tuple(sorted(colour for colour, _ in chart.bars))
    return Question(kind, f"Which bar is the {'tallest' if most else 'shortest'}?", bars[-1 if most else 0][0], colours)


def ask_text(concept: Concept, kind: str, rng: np.random.Generator) -> Question | None:
    """The same knowledge without a picture: "text knowledge" (properties) or "text category". None if unknown, or if
    the question would hold its answer (what is a potted plant?). Raises ValueError for unknown kinds.
    """
    if kind not in TEXT_KINDS:
        raise ValueError(f"Unknown kind of text question {kind!r}: use one of {', '.join(TEXT_KINDS)}.")
    if concept.number == "plural":
        return None
    if kind == "text category":
        if concept.category in concept.name:
            return None
        return Question(kind, f"What kind of thing is {concept.generic}?", concept.category, _categories(concept, rng))
    fact = _fact(concept, concept.generic, rng)
    return fact and Question(kind, *fact)


def _some(rng: np.random.Generator, answer: str, others: list[str], n: int = 4) -> tuple[str, ...]:
    """The answer among n - 1 others, in random order."""
    choices = [*(others[i] for i in rng.choice(len(others), size=n - 1, replace=False)), answer]
    return tuple(choices[i] for i in rng.permutation(n))


def _categories(concept: Concept, rng: np.random.Generator) -> tuple[str, ...]:
    return _some(rng, concept.category, [c for c in by_category() if c != concept.category])


def _name(scene: Scene, thing: Thing, rng: np.random.Generator) -> Question:
    concept = concepts()[thing.concept]
    present = {t.concept for t in scene.things}
    same_side = [c.name for group in by_category(concept.held_out).values() for c in group if c.key not in present]
    asked = "What is in the picture?" if len(scene.things) == 1 else f"What is at the {thing.cell}?"
    return Question("name", asked, concept.name, _some(rng, concept.name, same_side))


def _category(scene: Scene, thing: Thing, rng: np.random.Generator) -> Question:
    concept = concepts()[thing.concept]
    return Question(
        "category", f"What kind of thing is at the {thing.cell}?", concept.category, _categories(concept, rng)
    )


def _shape(scene: Scene, thing: Thing, rng: np.random.Generator) -> Question:
    if sum(t.colour == thing.colour for t in scene.things) == 1 and rng.integers(2):
        return Question("shape", f"Which shape is {thing.colour}?", thing.shape, SHAPES)
    return Question("shape", f"What shape is at the {thing.cell}?", thing.shape, SHAPES)


def _colour(scene: Scene, thing: Thing, rng: np.random.Generator) -> Question:
    if sum(t.shape == thing.shape for t in scene.things) == 1 and rng.integers(2):
        return Question("colour", f"What color is the {thing.shape}?", thing.colour, tuple(COLOURS))
    return Question("colour", f"What color is the shape at the {thing.cell}?", thing.colour, tuple(COLOURS))


def _count(scene: Scene, thing: Thing, rng: np.random.Generator) -> Question:
    return Question("count", "How many objects are in the picture?", NUMBERS[len(scene.things) - 1], NUMBERS)


def _existence(scene: Scene, thing: Thing, rng: np.random.Generator, negatives: str | None) -> Question:
    positive = bool(rng.integers(2))
    if not positive:
        thing = _become(thing, _absent(scene, thing, rng, negatives))
    return Question("existence", f"Is there {thing.indefinite} in the picture?", YES_NO[0 if positive else 1], YES_NO)


def _become(thing: Thing, identity: tuple[str, str, str]) -> Thing:
    concept, shape, colour = identity
    return replace(thing, concept=concept, shape=shape, colour=colour)


def _absent(scene: Scene, thing: Thing, rng: np.random.Generator, mode: str | None = "random") -> tuple[str, str, str]:
    """Identity (concept, shape, colour) of something that the scene does not show.

    It is a concept if the given thing is one, and a shape otherwise.

    Adversarial: of the same category (concepts), or of the same shape or colour (shapes). Popular: of one of the three
    smallest categories, whose concepts are drawn most often. Shapes are all equally popular.
    """
    present = {t.identity for t in scene.things}
    mode = mode or NEGATIVES[rng.integers(3)]
    groups = by_category(bool(thing.concept) and concepts()[thing.concept].held_out)
    while True:
        if not thing.concept:
            shape, colour = SHAPES[rng.integers(len(SHAPES))], tuple(COLOURS)[rng.integers(len(COLOURS))]
            if mode == "adversarial":
                shape, colour = (thing.shape, colour) if rng.integers(2) else (shape, thing.colour)
            identity = ("", shape, colour)
        else:
            group = list(groups.values())[rng.integers(len(groups))]
            if mode == "popular":
                group = sorted(groups.values(), key=len)[rng.integers(3)]
            elif mode == "adversarial":
                group = groups[concepts()[thing.concept].category]
                if all((c.key, "", "") in present for c in group):
                    mode = "random"  # nothing of that category is absent
                    continue
            identity = (group[rng.integers(len(group))].key, "", "")
        if identity not in present:
            return identity


def _relation(scene: Scene, thing: Thing, rng: np.random.Generator) -> Question | None:
    pairs = []
    row, column = divmod(CELLS.index(thing.cell), 2)
    for other in scene.things:
        other_row, other_column = divmod(CELLS.index(other.cell), 2)
        if other_column != column:
            pairs.append((other, "left of", column < other_column))
            pairs.append((other, "right of", column > other_column))
        if other_row != row:
            pairs.append((other, "above", row < other_row))
            pairs.append((other, "below", row > other_row))
    if not pairs:
        return None
    holds = bool(rng.integers(2))
    pairs = [pair for pair in pairs if pair[2] == holds]
    other, relation, _ = pairs[rng.integers(len(pairs))]
    return Question("relation", f"Is the {thing.name} {relation} the {other.name}?", YES_NO[0 if holds else 1], YES_NO)


def _position(scene: Scene, thing: Thing, rng: np.random.Generator) -> Question:
    return Question("position", f"Where is the {thing.name}?", thing.cell, CELLS)


def _size(scene: Scene, thing: Thing, rng: np.random.Generator) -> Question:
    return Question("size", f"Is the {thing.name} large or small?", thing.size, ("large", "small"))


def _knowledge(scene: Scene, thing: Thing, rng: np.random.Generator) -> Question | None:
    fact = _fact(concepts()[thing.concept], f"the thing at the {thing.cell}", rng)
    return fact and Question("knowledge", *fact)


# Existence has an argument of its own and stands apart.
_ASK = {
    "name": _name,
    "category": _category,
    "shape": _shape,
    "colour": _colour,
    "count": _count,
    "relation": _relation,
    "position": _position,
    "size": _size,
    "knowledge": _knowledge,
}


def _fact(concept: Concept, thing: str, rng: np.random.Generator) -> tuple[str, str, tuple[str, ...]] | None:
    """A property of a concept, true or false with equal chance where both are known."""
    known = {name: knows(concept, name) for name in properties()}
    positive = bool(rng.integers(2))
    options = [name for name, value in known.items() if value is positive]
    if not options:
        return None
    name = options[rng.integers(len(options))]
    return properties()[name].format(thing=thing), YES_NO[0 if positive else 1], YES_NO


def hard_negative(scene: Scene, rng: np.random.Generator, kind: str) -> str | None:
    """A wrong caption of a scene, as in SugarCrepe: "swap" (two things change cells), "replace" (one thing becomes
    another) or "add" (a thing that is not there). None if the scene does not allow it.
    """
    things = list(scene.things)
    if kind == "swap":
        if len(things) < 2:
            return None
        i, j = sorted(rng.choice(len(things), size=2, replace=False))
        if (things[i].identity, things[i].size) == (things[j].identity, things[j].size):
            return None
        things[i], things[j] = replace(things[j], cell=things[i].cell), replace(things[i], cell=things[j].cell)
    elif kind == "replace":
        i = int(rng.integers(len(things)))
        things[i] = _become(things[i], _absent(scene, things[i], rng))
    elif kind == "add":
        free = [cell for cell in CELLS if cell not in {t.cell for t in things}]
        if not free:
            return None
        cell, size = free[rng.integers(len(free))], ("small", "large")[rng.integers(2)]
        concept, _, _ = _absent(scene, things[0], rng) if things[0].concept else (pick_concept(rng).key, "", "")
        if concept in {t.concept for t in things}:
            return None
        things.append(Thing(cell, size, (0, 0, 0), concept=concept))
        things.sort(key=lambda t: CELLS.index(t.cell))  # in reading order, or the order alone would tell it apart
    else:
        raise ValueError(f"Unknown kind of negative {kind!r}: use swap, replace or add.")
    return sentence([t.described for t in things])
