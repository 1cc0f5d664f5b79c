"""From rows to instructions: every schema, every reason to refuse one."""

import pytest
from instruction_rows import FIXTURES
from small_models import one_sentence

from paperlib.tasks.benchmarks.card import SourceError
from paperlib.tasks.instructions import schemas
from paperlib.tasks.instructions.instruction import Refused
from paperlib.tasks.instructions.schemas import Files, instruction_of, schema_of

FOLDER = FIXTURES / "llava"
RED = "coco/train2017/000000000001.png"


def read(row, folder=FOLDER, number=5):
    return instruction_of(row, number, schema_of(row, "here"), Files(folder))


def llava(*texts, **more):
    roles = ("human", "gpt")
    return {"conversations": [{"from": roles[i % 2], "value": text} for i, text in enumerate(texts)], **more}


def messages(*contents, images=()):
    roles = ("user", "assistant")
    return {
        "messages": [{"role": roles[i % 2], "content": content} for i, content in enumerate(contents)],
        "images": list(images),
    }


@pytest.mark.parametrize(
    "said, text, place",
    [
        ("<image>\nWhat is it?", "What is it?", 0),
        ("What is it?\n<image>", "What is it?", 11),
        (" Look at <image> now.\n", "Look at  now.", 8),
        ("<image>", "", 0),
        ("<image>\n\nWhat\nis it? ", "What\nis it?", 0),
    ],
)
def test_the_mark_says_where_the_picture_stands(said, text, place):
    made = read(llava(said, " Red.\n", image=RED))
    assert made.turns == ((text, "Red."),) and made.places == ((0, place),)
    assert made.pictures[0].open().getpixel((4, 6)) == (200, 30, 30)


def test_a_picture_in_a_later_turn_and_several():
    made = read(llava("One?", "Yes.", "<image>\nTwo?\n<image>", "No.", image=[RED, "gqa/images/2407890.png"]))
    assert made.places == ((1, 0), (1, 4)) and made.parts(0) == ["One?"] and made.parts(1) == [None, "Two?", None]
    assert [picture.open().getpixel((4, 6)) for picture in made.pictures] == [(200, 30, 30), (30, 160, 60)]


@pytest.mark.parametrize("more", [{}, {"image": None}, {"image": ""}, {"image": []}])
def test_text_only_rows(more):
    made = read(llava("One?", "Yes.", "Two?", "No.", **more))
    assert made.pictures == () and made.turns == (("One?", "Yes."), ("Two?", "No."))


@pytest.mark.parametrize("identity, shown", [(7, "7"), ("a", "a"), (None, "5"), (0, "0")])
def test_a_row_without_an_id_is_named_by_its_number(identity, shown):
    assert read(llava("a", "b", id=identity)).id == shown
    assert read(llava("a", "b")).id == "5"


@pytest.mark.parametrize(
    "row, reason",
    [
        (llava(), "no alternating turns"),
        ({"conversations": None}, "no alternating turns"),
        ({"conversations": "hello"}, "no alternating turns"),
        ({"conversations": [1]}, "no alternating turns"),
        ({"conversations": [{"from": "gpt", "value": "a"}, {"from": "human", "value": "b"}]}, "no alternating turns"),
        ({"conversations": [{"from": "human", "value": "a"}, {"from": "human", "value": "b"}]}, "no alternating turns"),
        ({"conversations": [{"from": "system", "value": "a"}] * 2}, "no alternating turns"),
        ({"conversations": [{"value": "a"}] * 2}, "no alternating turns"),
        ({"conversations": [{"from": "human", "value": None}, {"from": "gpt", "value": "b"}]}, "no alternating turns"),
        (llava("a"), "no answer"),
        (llava("a", "b", "c"), "no answer"),
        (llava("a", " \n", "c", "d"), "no answer"),
        (llava("\n", "b"), "no question"),
        (llava("a\ud800", "b"), "text that cannot be encoded"),
        (llava("a", "b\udfff"), "text that cannot be encoded"),
        (llava("<image>\na", "b"), "missing picture"),
        (llava("<image>\na", "b", image="coco/train2017/2.png"), "missing picture"),
        (llava("<image>\na", "b", image="coco/elsewhere/2.png"), "missing picture"),
        (llava("<image>\na", "b", image=3), "missing picture"),
        (llava("<image>\na", "b", image=str(FOLDER / RED)), "picture outside the folder"),
        (llava("<image>\na", "b", image="coco/../" + RED), "picture outside the folder"),
        (llava("a", "b", image=RED), "pictures and their places differ"),
        (llava("<image>a<image>", "b", image=RED), "pictures and their places differ"),
        (llava("<image>a", "b", image=[RED, RED]), "pictures and their places differ"),
        (llava("<image>\na", "b <image>", image=[RED, RED]), "picture in an answer"),
        (messages([{"type": "text", "text": None}], "b"), "no alternating turns"),
        (messages([{"type": "image", "text": None}], "b", images=[RED]), "no alternating turns"),
        (messages([{"type": "image", "index": 1}], "b", images=[RED]), "pictures and their places differ"),
        (messages("a", [{"type": "image", "index": 0}], images=[RED]), "picture in an answer"),
        (messages("a", None), "no alternating turns"),
        (messages("a"), "no answer"),
    ],
)
def test_rows_that_cannot_be_used(row, reason):
    with pytest.raises(Refused) as error:
        read(row)
    assert str(error.value) == reason


def test_messages_hold_pictures_by_their_index():
    picture, again = {"type": "image", "index": 1, "text": None}, {"type": "image", "index": 0, "text": None}
    words = {"type": "text", "text": "Which\n", "index": None}
    images = [{"bytes": (FOLDER / RED).read_bytes(), "path": None}, {"bytes": None, "path": "gqa/images/2407890.png"}]
    made = read(messages([words, picture], "Green.", [again], [{"type": "text", "text": "Red. "}], images=images))
    assert made.turns == (("Which", "Green."), ("", "Red.")) and made.places == ((0, 5), (1, 0))
    assert [one.open().getpixel((4, 6)) for one in made.pictures] == [(30, 160, 60), (200, 30, 30)]


def test_rows_of_another_schema_are_told():
    for row, found in [({"id": 1, "conversation": []}, "id, conversation"), ({"messages": []}, "messages"), (3, "int")]:
        with pytest.raises(
            SourceError, match=f"need the columns conversations, or messages and images, .*{found}"
        ) as e:
            schema_of(row, "here")
        one_sentence(e.value)


def test_file_names_need_a_folder_and_pictures_inside_rows_need_none():
    with pytest.raises(SourceError, match="name files of pictures, such as 'coco.*give their folder") as error:
        read(llava("<image>a", "b", image=RED), None)
    one_sentence(error.value)
    made = read(llava("<image>a", "b", image={"bytes": (FOLDER / RED).read_bytes(), "path": "elsewhere.png"}), None)
    assert made.pictures[0].open().size == (24, 16)


def test_a_folder_is_listed_once(monkeypatch):
    listed = []
    true = schemas.os.listdir
    monkeypatch.setattr(schemas.os, "listdir", lambda folder: listed.append(folder) or true(folder))
    files = Files(FOLDER)
    for name in (RED, RED, "gqa/images/2407890.png"):
        files.check(name)
    assert listed == [FOLDER / "coco/train2017", FOLDER / "gqa/images"]
