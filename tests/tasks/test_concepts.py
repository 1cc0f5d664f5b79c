"""The table of concepts against the Unicode list, the pictures, and facts known by hand."""

import re
from collections import Counter

import numpy as np
import pytest
from oracle import CATEGORY, HELD_OUT, KEY, NAME, TABLE, UNICODE, fact

from paperlib.tasks.concepts import by_category, concepts, glyph, glyph_path, knows, properties
from paperlib.tasks.scenes import COLOURS, SHAPES

BY_NAME = {concept.name: concept for concept in concepts().values()}


def test_every_subcategory_belongs_to_its_category_alone():
    listed = Counter()
    for group in TABLE["category"].values():
        listed.update(group["subcategories"])
        for key in group["concepts"]:
            assert UNICODE[key]["subcategory"] in group["subcategories"], key
            assert concepts()[key].category == group["word"], key
            assert concepts()[key].subcategory == UNICODE[key]["subcategory"], key
    assert set(listed.values()) == {1}
    assert set(listed) <= {entry["subcategory"] for entry in UNICODE.values()}


def test_keys_and_names_are_unique_plain_words():
    keys = [key for group in TABLE["category"].values() for key in group["concepts"]]
    assert len(keys) == len(set(keys)) == len(concepts()) == len(BY_NAME) == len(KEY)
    assert list(concepts()) == keys and {c.key: c.name for c in concepts().values()} == NAME
    assert all(re.fullmatch(r"[a-z]+([ -][a-z]+)*", name) for name in BY_NAME)
    taken = {*COLOURS, *SHAPES, *CATEGORY.values(), *(f"{c} {s}" for c in COLOURS for s in SHAPES)}
    assert not taken & set(BY_NAME)


def test_the_table_names_only_concepts_that_it_has():
    assert set(TABLE["names"]) <= set(CATEGORY)
    mass, plural = TABLE["grammar"]["mass"], TABLE["grammar"]["plural"]
    assert set(mass + plural) <= set(CATEGORY) and len(set(mass + plural)) == len(mass + plural)
    used = {concept.subcategory for concept in concepts().values()}
    for name, row in TABLE["property"].items():
        exceptions = row["also_yes"] + row["also_no"] + row["unsure"]
        assert set(exceptions) <= set(CATEGORY) and len(set(exceptions)) == len(exceptions), name
        assert set(row["yes"] + row["no"]) <= used and not set(row["yes"]) & set(row["no"]), name
        assert row["ask"].count("{thing}") == 1 and row["ask"].endswith("?"), name


def test_about_one_in_eight_of_every_category_is_held_out():
    assert set(CATEGORY) >= HELD_OUT and len(HELD_OUT) == len(TABLE["held_out"]["concepts"])
    assert {c.key for c in concepts().values() if c.held_out} == HELD_OUT
    assert 0.1 < len(HELD_OUT) / len(CATEGORY) < 0.15
    everything, seen, unseen = by_category(), by_category(False), by_category(True)
    for category, members in everything.items():
        assert set(members) == {c for c in concepts().values() if c.category == category}
        assert {c.key for c in members} & HELD_OUT == {c.key for c in unseen[category]}
        assert set(seen[category]) == set(members) - set(unseen[category])
        assert 1 <= len(unseen[category]) <= max(1, len(members) / 6), category


def test_no_held_out_name_is_a_word_of_a_seen_one():
    """Or the search for held-out words in training text would mean little: a 'tulip bed' would name a bed."""
    for key in HELD_OUT:
        word = re.compile(rf"\b{re.escape(NAME[key])}s?\b")
        assert not [name for name in BY_NAME if name != NAME[key] and word.search(name)], NAME[key]
        others = (*CATEGORY.values(), *properties().values(), *COLOURS, *SHAPES)
        assert not any(word.search(text) for text in others), NAME[key]


def test_every_concept_has_a_picture_of_its_own():
    pixels = {}
    for key, concept in concepts().items():
        assert glyph_path(concept).is_file(), key
        picture = glyph(key)
        assert (picture.mode, picture.size) == ("RGBA", (72, 72)), key
        alpha = np.asarray(picture)[..., 3]
        rows, columns = np.nonzero(alpha > 128)
        assert alpha.min() < 255 and (alpha > 128).mean() > 0.08, key
        assert max(np.ptp(rows), np.ptp(columns)) + 1 >= 54, key  # so that its size in a scene can be seen
        pixels.setdefault(picture.tobytes(), key)
    assert len(pixels) == len(concepts())


@pytest.mark.parametrize(
    "name, character",
    [
        ("dog", "\N{DOG}"),
        ("hot dog", "\N{HOT DOG}"),
        ("banana", "\N{BANANA}"),
        ("chili", "\N{HOT PEPPER}"),
        ("chain", "\N{CHAINS}"),
        ("t-rex", "\N{T-REX}"),
        ("orange", "\N{TANGERINE}"),
        ("moped", "\N{MOTOR SCOOTER}"),
    ],
)
def test_pictures_are_those_of_their_characters(name, character):
    """By code point; the file names of chain, chili and moped have no variation selector."""
    assert glyph_path(BY_NAME[name]).name == f"{ord(character):x}.png"


@pytest.mark.parametrize(
    "name, indefinite, generic",
    [
        ("dog", "a dog", "a dog"),
        ("apple", "an apple", "an apple"),
        ("unicorn", "a unicorn", "a unicorn"),
        ("owl", "an owl", "an owl"),
        ("hot dog", "a hot dog", "a hot dog"),
        ("ice cream", "an ice cream", "an ice cream"),
        ("bread", "some bread", "bread"),
        ("jeans", "some jeans", "jeans"),
        ("beer", "some beer", "beer"),
        ("bowl of rice", "a bowl of rice", "a bowl of rice"),
        ("glasses", "some glasses", "glasses"),
    ],
)
def test_articles(name, indefinite, generic):
    assert (BY_NAME[name].indefinite, BY_NAME[name].generic) == (indefinite, generic)


@pytest.mark.parametrize(
    "name, known, value",
    [
        ("owl", "fly", True),
        ("helicopter", "fly", True),
        ("bee", "fly", True),
        ("bat", "fly", True),
        ("penguin", "fly", False),
        ("dog", "fly", False),
        ("broom", "fly", None),
        ("swan", "fly", None),
        ("unicorn", "fly", None),
        ("banana", "eat", True),
        ("pizza", "eat", True),
        ("hammer", "eat", False),
        ("butter", "eat", None),
        ("dog", "eat", None),
        ("crown", "wear", True),
        ("ice skate", "wear", True),
        ("baseball", "wear", False),
        ("taxi", "wear", False),
        ("shark", "water", True),
        ("whale", "water", True),
        ("cat", "water", False),
        ("duck", "water", None),
        ("violin", "music", True),
        ("saw", "music", None),
        ("canoe", "ride", True),
        ("bed", "ride", None),
        ("pear", "ride", False),
    ],
)
def test_knowledge_by_hand(name, known, value):
    assert knows(BY_NAME[name], known) is value


def test_knowledge_follows_the_table_and_every_property_has_both_answers_on_both_sides():
    for name in properties():
        assert all(knows(concept, name) is fact(key, name) for key, concept in concepts().items())
        for held_out in (False, True):
            values = {knows(c, name) for c in concepts().values() if c.held_out == held_out}
            assert {True, False} <= values, (name, held_out)
