"""Rows of JSON files and where they stand: each is read again from its place, in files of any form."""

import json
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import one_sentence

from paperlib.tasks.benchmarks.card import SourceError
from paperlib.tasks.instructions import json_rows
from paperlib.tasks.instructions.json_rows import Place, row_at, rows_with_places

ROWS = [{"id": 1, "text": "blau 蓝 \U0001f535"}, {"id": "2", "text": '"], [{'}, {}, {"id": None, "more": [1, [2]]}]


def read(file):
    """The rows, each found again by its place."""
    found = list(rows_with_places(file))
    with file.open("rb") as stream:
        assert [row_at(file, stream, place) for place, _ in reversed(found)] == [row for _, row in reversed(found)]
    return [row for _, row in found]


def put(path, text):
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 1 << 20])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("escaped", [True, False])
def test_lists_in_any_form_and_chunks_of_any_size(tmp_path, monkeypatch, chunk, indent, escaped):
    monkeypatch.setattr(json_rows, "CHUNK", chunk)
    text = json.dumps(ROWS, indent=indent, ensure_ascii=escaped)
    assert read(put(tmp_path / "rows.json", "\n " + text + "\r\n")) == ROWS


def test_lines(tmp_path):
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
    for end in ("", "\n", "\r\n\n"):
        assert read(put(tmp_path / "rows.jsonl", "\n" + text + end)) == ROWS


def test_no_rows(tmp_path):
    assert read(put(tmp_path / "rows.json", " [ ] ")) == [] and read(put(tmp_path / "rows.jsonl", "")) == []


@given(st.lists(st.dictionaries(st.sampled_from("ab"), st.text() | st.integers() | st.lists(st.text())), max_size=4))
@settings(max_examples=50)
def test_any_rows(tmp_path_factory, rows):
    assert read(put(tmp_path_factory.getbasetemp() / "rows.json", json.dumps(rows, ensure_ascii=False))) == rows


@pytest.mark.parametrize(
    "name, text, says",
    [
        ("rows.json", '{"id": 1}', "rows.json must hold a list of rows, but it begins with '{'"),
        ("rows.json", "", r"rows.json cannot be read as json \(ValueError\): fetch it again"),
        ("rows.json", '[{"id": 1}', "cannot be read as json"),
        ("rows.json", '[{"id": 1}, ', "cannot be read as json"),
        ("rows.json", '[{"id": 1} {"id": 2}]', "cannot be read as json"),
        ("rows.json", '[{"id": 1}, {"id"]', r"cannot be read as json \(JSONDecodeError\)"),
        ("rows.json", b"[\xff]", r"cannot be read as json \(UnicodeDecodeError\)"),
        ("rows.jsonl", '{"id": 1}\n{"id"', "rows.jsonl cannot be read as jsonl"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, text, says):
    with pytest.raises(SourceError, match=says) as error:
        read(put(tmp_path / name, text))
    one_sentence(error.value)


def test_a_file_that_is_gone_or_changed(tmp_path):
    with pytest.raises(SourceError, match="gone.json cannot be read"):
        next(rows_with_places(tmp_path / "gone.json"))
    file = put(tmp_path / "rows.json", json.dumps(ROWS))
    with file.open("rb") as stream, pytest.raises(SourceError, match="rows.json cannot be read"):
        row_at(file, stream, Place(2, 30))


def test_little_is_held(tmp_path, monkeypatch):
    """Of a long file no more than a few chunks are read ahead of the row that is asked for."""
    monkeypatch.setattr(json_rows, "CHUNK", 1000)
    file = put(tmp_path / "rows.json", json.dumps([{"text": "x" * 100}] * 1000))
    rows = rows_with_places(file)
    assert [row for _, row in islice(rows, 100)] == [{"text": "x" * 100}] * 100
    assert rows.gi_frame.f_locals["stream"].tell() < 100 * 115 + 2000  # of 115 kB
