"""Instructions from files: what is counted, and an order that begins anywhere without a picture being decoded."""

import json
import shutil
from itertools import islice

import pytest
from instruction_rows import FIXTURES, MIX
from PIL import Image
from small_models import one_sentence

from paperlib.tasks.benchmarks.card import SourceError
from paperlib.tasks.instructions import open_instructions, opening
from paperlib.tasks.pictures import PictureError

KEPT = {"000000000001", "2407890", "wgByO4Y_0", "0060721083", "a9e09ed7", "2"}
REFUSED = {
    "missing picture": {"rows": 2, "first": ["2331136", "no picture"]},
    "no alternating turns": {"rows": 2, "first": ["gpt first", "empty"]},
    "no answer": {"rows": 2, "first": ["no answer", "blank answer"]},
    "pictures and their places differ": {"rows": 1, "first": ["no place"]},
}


def taken(data, n, start=0):
    return list(islice(data.examples(start), n))


def ids(data, n, start=0):
    return [one.id for one in taken(data, n, start)]


def chats(folder, n, name="train.jsonl"):
    """A folder with n text-only rows."""
    rows = [{"id": i, "conversations": [{"from": r, "value": f"{r} {i}"} for r in ("human", "gpt")]} for i in range(n)]
    folder.mkdir(exist_ok=True)
    text = json.dumps(rows) if name.endswith(".json") else "\n".join(map(json.dumps, rows))
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def streamed(folder, n, monkeypatch, buffer=4):
    """The same rows, as if they streamed."""
    monkeypatch.setattr(opening.buffered, "__defaults__", (buffer,))
    paths = [chats(folder, n) / "train.jsonl"]
    return opening.StreamedInstructions("stream", 0, opening.Files(None), lambda: opening.rows_of_files(paths))


def refused(says, *arguments, **named):
    with pytest.raises(SourceError, match=says) as error:
        next(open_instructions(*arguments, **named).examples())
    return one_sentence(error.value)


@pytest.mark.parametrize("source", [MIX, MIX.parent, str(MIX)])
def test_the_mix_of_llava(source):
    data = open_instructions(source)
    assert data.size == 6 and data.name == str(source)
    assert data.report() == {"rows": 13, "used": 6, "text-only": 1, "refused": REFUSED}
    rows = {one.id: one for one in taken(data, 6)}
    assert rows.keys() == KEPT and rows["000000000001"].turns[1] == ("Where is it?", "At the left.")
    assert rows["2407890"].places == ((0, len(rows["2407890"].turns[0][0])),) and rows["wgByO4Y_0"].pictures == ()


def test_a_broken_picture_is_counted_when_it_is_opened():
    data = open_instructions(MIX)
    for one in taken(data, 12):  # twice through, and the row counts once
        for picture in one.pictures:
            if one.id == "2":
                with pytest.raises(PictureError, match="The picture of row 2 "):
                    picture.open()
            else:
                assert picture.open().mode == "RGB"
    broken = {"broken picture": {"rows": 1, "first": ["2"]}}
    assert data.report() == {"rows": 13, "used": 5, "text-only": 1, "refused": REFUSED | broken}


def test_captions_of_pretraining():
    data = open_instructions(FIXTURES / "pretrain")
    rows = {one.id: one for one in taken(data, data.size)}
    assert rows["000000001"].turns == (("What is this?", "a blue square , turned"),)
    assert rows["000000000"].places == ((0, 48),) and rows["000000001"].places == ((0, 0),)
    assert rows["000000001"].pictures[0].open().size == (16, 24)  # as its EXIF data say
    assert data.report() == {"rows": 3, "used": 3, "text-only": 0, "refused": {}}


def check_messages(data):
    rows = {one.id: one for one in taken(data, 3)}
    assert rows["0"].turns == (("Which colour is the square?", "Red."), ("And the ground?", "White."))
    assert rows["0"].places == ((0, 27),) and rows["1"].places == ((0, 0), (1, 18))
    assert [picture.open().size for picture in rows["1"].pictures] == [(30, 24)] * 2
    one = {"rows": 1, "first": ["3"]}
    assert data.report() == {"rows": 4, "used": 3, "text-only": 0, "refused": {"no alternating turns": one}}


def test_messages_as_lines():
    check_messages(open_instructions(FIXTURES / "messages"))


def test_messages_as_parquet_with_pictures_inside():
    pytest.importorskip("pyarrow", reason="parquet is read by pyarrow, of the extra benchmarks")
    data = open_instructions(FIXTURES / "parquet")
    assert data.size is None
    check_messages(data)
    assert data.size is None and ids(data, 4)[:3] == ids(data, 3) and data.size == 3


@pytest.mark.parametrize("kind", ["json", "jsonl", "stream"])
def test_the_order_begins_anywhere(kind, tmp_path, monkeypatch):
    def made():
        if kind == "stream":
            return streamed(tmp_path, 11, monkeypatch)
        return open_instructions(chats(tmp_path, 11, f"train.{kind}"))

    whole = ids(made(), 50)
    assert len(set(whole[:11])) == len(set(whole[11:22])) == 11 and whole[:11] != whole[11:22]
    assert all(ids(made(), 50 - start, start) == whole[start:] for start in range(35))
    data = made()
    assert [ids(data, 50 - start, start) for start in (30, 3, 22)] == [whole[30:], whole[3:], whole[22:]]
    assert data.size == 11 and data.report()["rows"] == 11


def test_two_at_once_do_not_disturb_each_other(tmp_path):
    data = open_instructions(chats(tmp_path, 5, "rows.json"))
    one, other = data.examples(), data.examples(2)
    both = [(next(one).id, next(other).id) for _ in range(20)]
    assert [b for _, b in both][:-2] == [a for a, _ in both][2:]


def test_seeds_differ(tmp_path):
    folder = chats(tmp_path, 30)
    orders = [ids(open_instructions(folder, seed), 30) for seed in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1] and set(orders[0]) == set(orders[1])


@pytest.mark.parametrize("source", ["llava", "messages", "parquet"])
def test_nothing_is_decoded_on_the_way(source, monkeypatch):
    if source == "parquet":
        pytest.importorskip("pyarrow", reason="parquet is read by pyarrow, of the extra benchmarks")

    def decode(*arguments, **named):
        raise AssertionError("a picture was decoded")

    monkeypatch.setattr(Image, "open", decode)
    reached = taken(open_instructions(FIXTURES / source), 3, 1000)
    with pytest.raises(PictureError):
        next(one for one in reached if one.pictures).pictures[0].open()


def test_a_missing_picture_moves_no_position(tmp_path):
    """Whatever the start: what is refused is refused before there are positions."""
    shutil.copytree(MIX.parent, tmp_path / "llava")
    (tmp_path / "llava" / "ocr_vqa" / "images" / "0060721083.jpg").unlink()
    folder = tmp_path / "llava"
    whole = ids(open_instructions(folder), 20)
    assert set(whole) == KEPT - {"0060721083"}
    assert all(ids(open_instructions(folder), 20 - start, start) == whole[start:] for start in range(12))
    assert open_instructions(folder).report()["refused"]["missing picture"]["rows"] == 3


def test_pictures_may_lie_elsewhere(tmp_path):
    shutil.copy(MIX, tmp_path)
    assert open_instructions(tmp_path).size == 1  # the text-only row
    assert open_instructions(tmp_path, pictures=MIX.parent).size == 6
    refused("There is no folder", tmp_path, pictures=tmp_path / "nothing")


def test_files_of_a_folder(tmp_path):
    for name, n in (("train-00000-of-00002.json", 2), ("train-00001-of-00002.json", 3), ("test.json", 7)):
        chats(tmp_path, n, name)
    data = open_instructions(tmp_path)
    assert data.size == 5 and sorted(ids(data, 5)) == ["0", "0", "1", "1", "2"]
    (tmp_path / "train-00001-of-00002.json").unlink()
    (tmp_path / "train-00000-of-00002.json").rename(tmp_path / "valid.json")
    refused("must hold one file .* or those of the split 'train', but has test.json, valid.json: name one", tmp_path)
    assert open_instructions(tmp_path / "valid.json").size == 2
    (tmp_path / "test.json").rename(tmp_path / "words.txt")
    assert open_instructions(tmp_path).size == 2
    (tmp_path / "valid.json").unlink()
    refused("but has none", tmp_path)
    refused("words.txt is no file of .parquet, .json, .jsonl", tmp_path / "words.txt")
    chats(tmp_path / "data", 4, "train-0.json")
    assert open_instructions(tmp_path).size == 4


def test_what_cannot_be_read(tmp_path):
    refused("There is no file or folder '.*gone.json'", tmp_path / "gone.json")
    refused("There is no file or folder 'data/gone.json'", "data/gone.json")
    refused("is neither a folder here nor a data set of the hub", "gone")
    (tmp_path / "rows.json").write_text('[{"id": 1, "dialogue": []}]')
    refused("need the columns conversations, or messages and images, but .* has id, dialogue", tmp_path)
    (tmp_path / "rows.json").write_text("[]")
    refused("holds no row that can be tuned on .there is none.", tmp_path)
    (tmp_path / "rows.json").write_text('[{"conversations": []}, {"conversations": []}]')
    refused("holds no row that can be tuned on .no alternating turns: 2.", tmp_path)
    for bad in (-1, 1.0, None):
        with pytest.raises(ValueError, match="seed must be a whole number"):
            open_instructions(MIX, bad)
        with pytest.raises(ValueError, match="start must be a whole number"):
            open_instructions(MIX).examples(bad)


def test_a_stream_without_a_usable_row_ends(tmp_path):
    rows = [{"conversations": []}]
    data = opening.StreamedInstructions("stream", 0, opening.Files(None), lambda: rows)
    with pytest.raises(SourceError, match="stream holds no row that can be tuned on"):
        next(data.examples(5))


def test_a_file_that_changes_is_told(tmp_path):
    data = open_instructions(chats(tmp_path, 3, "rows.json"))
    text = (tmp_path / "rows.json").read_text()
    (tmp_path / "rows.json").write_text(text.replace("gpt", "tpg"))
    with pytest.raises(SourceError, match="rows.json was changed while it was read") as error:
        next(data.examples())
    one_sentence(error.value)
