"""Scenes: pictures of one to four things with an exact truth, drawn from a seed.

A scene is 128 x 128 pixels, two by two cells, each empty or holding one thing: a Twemoji concept or a coloured shape,
small or large. Splits are disjoint by *content*: a hash of what a scene shows (not where exactly, nor on which ground)
decides which split may draw it, so no test scene can turn up in training whatever the seeds.

Twemoji graphics: Copyright Twitter, Inc and other contributors, CC-BY 4.0.
"""

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np
from PIL import Image

from paperlib.tasks.concepts import Concept, by_category, concepts, glyph
from paperlib.tasks.drawing import among, filled, ground, whole

SIDE, CELL = 128, 64  # pixels
CELLS = ("top left", "top right", "bottom left", "bottom right")
SHAPES = ("circle", "square", "triangle", "star", "cross")
COLOURS = {
    "red": (214, 40, 40),
    "yellow": (247, 201, 22),
    "green": (46, 148, 62),
    "blue": (36, 92, 204),
    "purple": (134, 58, 172),
    "brown": (126, 78, 42),
    "black": (22, 22, 22),
    "gray": (136, 136, 140),
}
SIZES = {"small": (34, 40), "large": (52, 60)}  # pixels, inclusive
TEXTURES = ("plain", "stripes", "grain")
STYLES = ("mixed", "shapes", "emoji")
# Of ten buckets of scene content, training owns eight. "held-out" scenes hold at least one concept never trained on.
SPLITS = {"train": range(8), "validation": range(8, 9), "test": range(9, 10), "held-out": range(10)}


@dataclass(frozen=True)
class Thing:
    """One object: a concept (``concept`` is its key), or a shape with a colour.

    ``box`` is left, top, side in pixels; the side is 0 for a thing that is in a caption alone. Raises ValueError for
    what cannot be drawn.
    """

    cell: str
    size: str
    box: tuple[int, int, int]
    concept: str = ""
    shape: str = ""
    colour: str = ""

    def __post_init__(self) -> None:
        drawn = (
            among(self.colour, COLOURS) and among(self.shape, SHAPES)
            if not self.concept
            else (among(self.concept, concepts()) and self.shape == self.colour == "")
        )
        box = whole(self.box, 3) and min(self.box) >= 0 and max(self.box[:2]) + self.box[2] <= SIDE
        if not (drawn and box and among(self.cell, CELLS) and among(self.size, SIZES)):
            raise ValueError(
                f"This thing cannot be drawn, {self!r:.150}: give a cell and a size, a box (left, top, "
                f"side) within {SIDE} pixels, and a concept's key or a shape and a colour."
            )

    @property
    def name(self) -> str:
        """'dog', 'red circle'."""
        return concepts()[self.concept].name if self.concept else f"{self.colour} {self.shape}"

    @property
    def indefinite(self) -> str:
        """'a dog', 'some grapes', 'a red circle'."""
        return concepts()[self.concept].indefinite if self.concept else f"a {self.name}"

    @property
    def described(self) -> str:
        """'a small red circle at the top left'."""
        article, noun = self.indefinite.split(" ", 1)
        article = "some" if article == "some" else "a"
        return f"{article} {self.size} {noun} at the {self.cell}"

    @property
    def identity(self) -> tuple[str, ...]:
        """What makes two things look alike, wherever they are."""
        return (self.concept, self.shape, self.colour)


@dataclass(frozen=True)
class Scene:
    """Things on a ground, in reading order; ``texture_seed`` fixes the ground's pattern.

    Raises ValueError for what cannot be drawn.
    """

    things: tuple[Thing, ...]
    ground: tuple[int, int, int]
    texture: str  # "plain", "stripes" or "grain"
    texture_seed: int

    def __post_init__(self) -> None:
        if not isinstance(self.things, tuple) or not all(isinstance(t, Thing) and t.box[2] for t in self.things):
            raise ValueError(
                f"The things of a scene must be a tuple of Thing with sides of at least 1, got "
                f"{self.things!r:.150}: make them with compose."
            )
        pale = whole(self.ground, 3) and 0 <= min(self.ground) <= max(self.ground) <= 255
        seed = whole((self.texture_seed,), 1) and self.texture_seed >= 0
        if not (pale and seed and among(self.texture, TEXTURES)):
            raise ValueError(
                f"This ground cannot be drawn, {self.ground!r:.50}, {self.texture!r:.50}, "
                f"{self.texture_seed!r:.50}: give three values of 0 to 255, one of {', '.join(TEXTURES)}, and "
                f"a seed from 0 on."
            )

    @property
    def key(self) -> str:
        """Content hash: which things, of which size, in which cells. Scenes that show the same share it."""
        content = sorted((t.cell, t.size, *t.identity) for t in self.things)
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    @property
    def caption(self) -> str:
        """'A large dog at the top left and a small red circle at the bottom right.'"""
        return sentence([thing.described for thing in self.things])

    def render(self) -> Image.Image:
        """The picture, RGB, 128 x 128."""
        picture = Image.fromarray(ground(self.ground, self.texture, self.texture_seed, SIDE))
        for thing in self.things:
            left, top, side = thing.box
            layer = glyph(thing.concept) if thing.concept else filled(thing.shape, COLOURS[thing.colour])
            layer = layer.resize((side, side), Image.Resampling.LANCZOS)
            picture.paste(layer, (left, top), layer)
        return picture

    def to_dict(self) -> dict:
        """The scene as plain JSON types (tuples become lists there)."""
        return asdict(self)

    @staticmethod
    def from_dict(data: dict) -> "Scene":
        """The inverse of `to_dict`. Raises ValueError for a dict that `to_dict` did not make."""
        try:
            things = tuple(Thing(**{**thing, "box": tuple(thing["box"])}) for thing in data["things"])
            return Scene(things, tuple(data["ground"]), data["texture"], data["texture_seed"])
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"This is not what Scene.to_dict writes, {data!r:.150}: a key is missing or of another type."
            ) from error


def sentence(parts: list[str]) -> str:
    """['a', 'b', 'c'] -> 'A, b and c.'"""
    text = ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else parts[0]
    return text[0].upper() + text[1:] + "."


def bucket(scene: Scene) -> int:
    """Which of ten content buckets a scene falls into; `SPLITS` says who owns it."""
    return int(scene.key, 16) % 10


def draw_scene(split: str, seed: int, index: int, style: str = "mixed", n_things: int | None = None) -> Scene:
    """The ``index``-th scene of a split, the same on every machine.

    style: "mixed", "shapes" or "emoji"; n_things: one to four, or None for any. Training, validation and test scenes
    hold seen concepts only; every "held-out" scene holds at least one held-out concept.
    Raises ValueError for an unknown split or style, or a number of things that a scene cannot hold.
    """
    if split not in SPLITS:
        raise ValueError(f"Unknown split {split!r}: use one of {', '.join(SPLITS)}.")
    if n_things not in (None, 1, 2, 3, 4):
        raise ValueError(f"A scene holds 1 to 4 things, got n_things={n_things!r}.")
    if style not in STYLES or (split == "held-out" and style == "shapes"):
        raise ValueError(f"Style {style!r} cannot be drawn for split {split!r}: use one of {', '.join(STYLES)}.")
    rng = np.random.default_rng([sorted(SPLITS).index(split), seed, index, STYLES.index(style)])
    while True:
        scene = _draw(rng, split, style, n_things)
        if bucket(scene) in SPLITS[split]:
            return scene


def compose(things: dict[str, str], seed: int = 0) -> Scene:
    """A scene of one's own, on a plain ground.

    Each value is a size, then a concept's name or a colour and a shape. Raises ValueError for what cannot be drawn.

    >>> compose({"top left": "large blue star", "bottom right": "small red circle"}).caption
    'A large blue star at the top left and a small red circle at the bottom right.'
    """
    if not isinstance(things, dict) or not whole((seed,), 1) or seed < 0:
        raise ValueError(
            f"A scene is composed of a dict such as {{'top left': 'large dog'}} and a seed from 0 on, got "
            f"{type(things).__name__} and {seed!r}."
        )
    rng, named, made = np.random.default_rng(seed), {c.name: c.key for c in concepts().values()}, []
    for cell in sorted(things, key=lambda cell: CELLS.index(cell) if cell in CELLS else -1):
        size, _, name = str(things[cell]).partition(" ")
        colour, _, shape = name.partition(" ")
        if cell not in CELLS or size not in SIZES or not (name in named or (colour in COLOURS and shape in SHAPES)):
            raise ValueError(
                f"Cannot draw {things[cell]!r} at {cell!r}: cells are {', '.join(CELLS)}; say a size "
                f"({', '.join(SIZES)}), then a concept's name, or one of {', '.join(COLOURS)} and one of "
                f"{', '.join(SHAPES)}."
            )
        what = {"concept": named[name]} if name in named else {"shape": shape, "colour": colour}
        made.append(Thing(cell, size, place(rng, cell, size), **what))
    if not made:
        raise ValueError("A scene needs at least one thing.")
    return Scene(tuple(made), (240, 240, 236), "plain", seed)


def place(rng: np.random.Generator, cell: str, size: str) -> tuple[int, int, int]:
    """A box (left, top, side) for a thing of a size, anywhere within its cell."""
    side = int(rng.integers(SIZES[size][0], SIZES[size][1] + 1))
    row, column = divmod(CELLS.index(cell), 2)
    dx, dy = rng.integers(0, CELL - side + 1, size=2)
    return (column * CELL + int(dx), row * CELL + int(dy), side)


def pick_concept(rng: np.random.Generator, held_out: bool = False) -> Concept:
    """A category at random, then a concept in it, so that concepts of small categories are drawn most often."""
    groups = list(by_category(held_out).values())
    group = groups[rng.integers(len(groups))]
    return group[rng.integers(len(group))]


def _draw(rng: np.random.Generator, split: str, style: str, n_things: int | None) -> Scene:
    n = n_things or int(rng.integers(1, 5))
    cells = sorted(rng.choice(len(CELLS), size=n, replace=False))
    things, seen = [], set()
    lead = int(rng.integers(n))  # the thing that is a held-out concept in held-out scenes
    for position, cell in enumerate(cells):
        while True:
            size = ("small", "large")[rng.integers(2)]
            box = place(rng, CELLS[cell], size)
            must = split == "held-out" and position == lead
            if must or style == "emoji" or (style == "mixed" and rng.random() < 0.55):
                concept = pick_concept(rng, held_out=must)
                thing = Thing(CELLS[cell], size, box, concept=concept.key)
            else:
                shape, colour = SHAPES[rng.integers(len(SHAPES))], tuple(COLOURS)[rng.integers(len(COLOURS))]
                thing = Thing(CELLS[cell], size, box, shape=shape, colour=colour)
            if thing.identity not in seen:
                break
        seen.add(thing.identity)
        things.append(thing)
    red, green, blue = (int(v) for v in rng.integers(218, 254, size=3))
    texture = TEXTURES[rng.integers(3)]
    return Scene(tuple(things), (red, green, blue), texture, int(rng.integers(2**31)))
