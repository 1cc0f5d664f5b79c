"""Draws of rows: even, nested, the same for the same seed; broken pictures left out, named and counted."""

import logging
from collections import Counter

import pytest
from public_rows import example, written
from small_models import one_sentence

from paperlib.tasks.benchmarks import Card, SourceError
from paperlib.tasks.benchmarks.draws import draw, text_of, texts_of
from paperlib.tasks.pictures import PictureError

CARD = Card("Toy", "owner/toy", "test", ("text",), "MIT", "nobody", "accuracy", {"plain": "{text}"})


@pytest.fixture
def folder(tmp_path):
    return written(tmp_path, [{"text": str(i)} for i in range(40)])


def one(row, number, table):
    return example(row["text"], identity=f"Toy/{number}")


def drawn(folder, n, seed=0, example_of=one):
    return [int(ex.answer) for ex in draw(CARD, folder, n, seed, example_of)]


def test_all_rows_in_their_order_and_more_than_there_are(folder):
    assert drawn(folder, None) == list(range(40)) and sorted(drawn(folder, 100)) == list(range(40))


def test_a_larger_draw_begins_with_a_smaller_one(folder):
    twenty = drawn(folder, 20)
    assert [drawn(folder, n) for n in (1, 7, 20)] == [twenty[:1], twenty[:7], twenty]
    assert len(set(twenty)) == 20 and twenty != sorted(twenty)
    assert drawn(folder, 20, seed=1) != twenty


def test_every_row_is_drawn_as_often(folder):
    counts = Counter(row for seed in range(200) for row in drawn(folder, 10, seed))
    assert len(counts) == 40 and max(counts.values()) < 85 and min(counts.values()) > 25  # 50 each, within 5 sd


def test_rows_without_a_picture_are_left_out_named_and_counted(folder, caplog):
    def some(row, number, table):
        if number % 4 == 0:
            raise PictureError(f"The picture of row Toy/{number} is torn.")
        return one(row, number, table)

    with caplog.at_level(logging.WARNING):
        assert drawn(folder, None, example_of=some) == [i for i in range(40) if i % 4]
    assert "row Toy/8 is torn" in caplog.text and "of 40 rows looked at, 10 are left out" in caplog.text
    assert drawn(folder, 5, example_of=some) == [i for i in drawn(folder, 20) if i % 4][:5]


@pytest.mark.parametrize(
    "example_of, says",
    [
        (lambda row, number, table: example("x", identity="same"), "rows of Toy with the same id"),
        (lambda row, number, table: (_ for _ in ()).throw(PictureError("torn.")), "holds no row that Toy can use"),
    ],
)
def test_draws_that_cannot_be_used(folder, example_of, says):
    with pytest.raises(SourceError, match=says) as error:
        draw(CARD, folder, None, 0, example_of)
    one_sentence(error.value)


@pytest.mark.parametrize("n, seed", [(0, 0), (-1, 0), (2.0, 0), (True, 0), (1, -1), (1, None)])
def test_numbers_are_checked(folder, n, seed):
    with pytest.raises(ValueError, match="must be a whole number"):
        draw(CARD, folder, n, seed, one)


def test_texts():
    assert text_of({"a": " x"}, "a", "7") == " x" and text_of({"a": ""}, "a", "7", empty=True) == ""
    assert texts_of({"a": ["x", ""]}, "a", "7") == ["x", ""] and texts_of({"a": ("x",)}, "a", "7") == ["x"]


@pytest.mark.parametrize("value", [None, 3, "", "  ", ["x"]])
def test_what_is_no_text(value):
    with pytest.raises(SourceError, match="The column 'a' of row 7 must hold a text, got") as error:
        text_of({"a": value}, "a", "7")
    one_sentence(error.value)


@pytest.mark.parametrize("value", [None, "xy", [], ["x"], ["x", 3], b"xy", {"x": "y"}])
def test_what_is_no_list_of_texts(value):
    with pytest.raises(SourceError, match="The column 'a' of row 7 must hold a list of at least 2 texts, got") as error:
        texts_of({"a": value}, "a", "7", least=2)
    one_sentence(error.value)
