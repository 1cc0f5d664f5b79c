"""One `Instruction` type for all data that others tune on: turns of words, and pictures that are opened when needed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image

from paperlib.tasks.benchmarks.example import StoredPicture
from paperlib.tasks.pictures import PictureError


class Refused(ValueError):
    """An instruction cannot be used. The message is the reason under which it is counted, a few words."""


@dataclass(frozen=True)
class RowPicture:
    """A picture of a row, not decoded yet. ``broken`` is called where it turns out that it cannot be shown."""

    stored: StoredPicture
    broken: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)

    def open(self) -> Image.Image:
        """The picture in RGB. Raises PictureError, with the row's id, if it cannot be shown."""
        try:
            return self.stored.render()
        except PictureError:
            self.broken()
            raise


@dataclass(frozen=True)
class Instruction:
    """A chat about pictures (none, one or more), of which the answers are learnt.

    Attributes:
        id: of the row.
        turns: (what the user says, the answer) of each turn, without marks for pictures and without blanks around.
        pictures: in the order in which they are shown.
        places: where each picture stands: (its turn, the character of the user's text before which it stands); 0 is in
            front of the text, its length behind. Where none is given, pictures stand in front of the first turn.
    """

    id: str
    turns: tuple[tuple[str, str], ...]
    pictures: tuple[RowPicture, ...] = ()
    places: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        places = self.places or ((0, 0),) * len(self.pictures)
        if len(places) != len(self.pictures) or list(places) != sorted(places):
            raise ValueError(f"Instruction {self.id} needs one place for each picture, in their order, got {places}.")
        object.__setattr__(self, "places", places)

    def first(self, turns: int) -> Instruction:
        """The same instruction with its first turns alone, and the pictures that stand in them."""
        kept = sum(turn < turns for turn, _ in self.places)
        return Instruction(self.id, self.turns[:turns], self.pictures[:kept], self.places[:kept])

    def parts(self, turn: int) -> list[str | None]:
        """What the user says in a turn, in order: texts, and None where a picture stands."""
        text = self.turns[turn][0]
        cuts = [0, *(at for placed, at in self.places if placed == turn), len(text)]
        parts: list[str | None] = []
        for start, end in itertools.pairwise(cuts):
            parts += [None, text[start:end]]
        return [part for part in parts[1:] if part is None or part]
