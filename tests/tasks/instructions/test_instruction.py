"""Instructions: where pictures stand among the words, the first turns alone, and pictures that are opened late."""

import pytest
from instruction_rows import coloured, instruction
from small_models import one_sentence

from paperlib.tasks.benchmarks.example import StoredPicture
from paperlib.tasks.instructions import RowPicture
from paperlib.tasks.pictures import PictureError

RED, BLUE = coloured("red"), coloured("blue")


@pytest.mark.parametrize(
    "places, parts",
    [
        (((0, 0),), [None, "Is it so?"]),
        (((0, 9),), ["Is it so?", None]),
        (((0, 6),), ["Is it ", None, "so?"]),
        (((0, 0), (0, 0)), [None, None, "Is it so?"]),
        (((0, 2), (0, 9)), ["Is", None, " it so?", None]),
        (((1, 0), (1, 3)), ["Is it so?"]),
        ((), ["Is it so?"]),
    ],
)
def test_parts_of_a_turn(places, parts):
    pictures = [RED, BLUE][: len(places)]
    made = instruction("1", ("Is it so?", "Yes."), ("Yes", "No."), pictures=pictures, places=places)
    assert made.parts(0) == parts
    assert made.parts(1) == ([None, "Yes", None] if (1, 0) in places else ["Yes"])


def test_pictures_without_a_place_stand_first():
    made = instruction("1", ("Is it?", "Yes."), pictures=[RED, BLUE])
    assert made.places == ((0, 0), (0, 0)) and made.parts(0) == [None, None, "Is it?"]


def test_a_picture_alone_is_said_too():
    assert instruction("1", ("", "Red."), pictures=[RED]).parts(0) == [None]


@pytest.mark.parametrize("places", [((0, 0), (0, 1)), ((1, 0),) * 3, ((1, 0), (0, 0))])
def test_places_are_those_of_the_pictures(places):
    with pytest.raises(ValueError, match="needs one place for each picture, in their order") as error:
        instruction("7", ("a", "b"), ("c", "d"), pictures=[RED, BLUE][: 1 if places[1] == (0, 1) else 2], places=places)
    one_sentence(error.value)


def test_the_first_turns_keep_their_pictures_alone():
    turns = [("a", "b"), ("c", "d"), ("e", "f")]
    whole = instruction("1", *turns, pictures=[RED, BLUE], places=[(0, 1), (2, 0)])
    assert whole.first(3) == whole
    for n in (1, 2):
        assert whole.first(n) == instruction("1", *turns[:n], pictures=[RED], places=[(0, 1)])


def test_a_picture_is_decoded_when_it_is_opened_and_tells_if_it_is_broken():
    told = []
    torn = RowPicture(StoredPicture(b"no picture", "The picture of row 3"), lambda: told.append(3))
    assert told == []
    for times in (1, 2):
        with pytest.raises(PictureError, match="The picture of row 3 is not a picture"):
            torn.open()
        assert told == [3] * times
    assert RED.open().getpixel((0, 0)) == (255, 0, 0)
