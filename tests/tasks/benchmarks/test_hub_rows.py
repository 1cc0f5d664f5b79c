"""Rows from folders in every format, from the hub, and what cannot be read: one sentence with the wanted and the
found."""

import json
import sys
import types
from dataclasses import replace

import pytest
from public_rows import FIXTURES
from small_models import one_sentence

from paperlib.tasks.benchmarks import Card, SourceError, hub_rows, public
from paperlib.tasks.benchmarks.hub_rows import open_table

CARD = Card("Toy", "owner/toy", "test", ("id", "text"), "MIT", "nobody", "accuracy", {"plain": "{text}"})
ROWS = [{"id": i, "text": f"text {i}", "more": None} for i in range(5)]


def read(folder, card=CARD, split=None):
    return list(open_table(card, folder, split).rows)


def refused(says, *arguments):
    with pytest.raises(SourceError, match=says) as error:
        read(*arguments)
    return one_sentence(error.value)


def put(path, rows=ROWS):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(lines if path.suffix == ".jsonl" else json.dumps(rows), encoding="utf-8")


@pytest.mark.parametrize(
    "name", ["test.json", "test.jsonl", "data/test-00000-of-00001.json", "default/test/0000.jsonl", "test/00.json"]
)
def test_files_are_found_by_the_names_that_the_hub_gives(tmp_path, name):
    put(tmp_path / name)
    put(tmp_path / "train.json", [{"id": 9, "text": "no"}])
    put(tmp_path / "pictures" / "testament.json", [])
    assert read(tmp_path) == ROWS
    assert read(str(tmp_path)) == ROWS
    assert read(tmp_path, CARD, "train") == [{"id": 9, "text": "no"}]


def test_files_of_a_split_are_read_in_order(tmp_path):
    for i in range(3):
        put(tmp_path / f"test-0000{i}-of-00003.jsonl", ROWS[i : i + 1])
    assert read(tmp_path) == ROWS[:3]


def test_a_configuration_is_taken_where_the_folder_has_it(tmp_path):
    put(tmp_path / "one" / "test-0.json", ROWS[:2])
    put(tmp_path / "two" / "test-0.json", ROWS[2:])
    assert read(tmp_path, replace(CARD, config="two")) == ROWS[2:]
    assert read(tmp_path, replace(CARD, config="three")) == ROWS


def test_nothing_is_read_before_the_first_row(tmp_path):
    (tmp_path / "test.json").write_text("{")
    table = open_table(CARD, tmp_path)
    assert table.folder == tmp_path and table.name == str(tmp_path)
    with pytest.raises(SourceError, match=r"test.json cannot be read as json \(JSONDecodeError\)"):
        next(table.rows)


@pytest.mark.parametrize(
    "name, content, says",
    [
        ("test.json", b'{"id": 1}', "must hold a list of rows, got dict"),
        ("test.jsonl", b'{"id": 1\n', "test.jsonl cannot be read as jsonl"),
        ("test.json", b"\xff\xfe", "cannot be read as json"),
        ("test.json", b"[3]", "needs the columns id, text, but .* has no row but int"),
        ("test.json", b'[{"id": 1, "words": ""}]', "needs the columns id, text, but .* has id, words"),
        ("test.txt", b"", "holds no file of .parquet, .json, .jsonl"),
        ("val.json", b"[]", "needs the split 'test', but the folder .* has val"),
    ],
)
def test_folders_that_cannot_be_read(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    refused(says, tmp_path)


@pytest.mark.parametrize("source", ["missing", "a/b/c", "owner name/x", "", "./nothing/here"])
def test_what_is_neither_a_folder_nor_an_id(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "..")
    refused("is neither a folder here nor a data set of the hub", source or "no such")


def test_parquet_needs_its_package(tmp_path, monkeypatch):
    (tmp_path / "test.parquet").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    refused("test.parquet is parquet, which needs a package: pip install 'paperlib.benchmarks.'", tmp_path)


def test_damaged_parquet_is_refused(tmp_path):
    pytest.importorskip("pyarrow", reason="parquet is read by pyarrow, of the extra benchmarks")
    (tmp_path / "test.parquet").write_bytes(b"PAR1 no")
    refused("test.parquet cannot be read as parquet", tmp_path)


def test_parquet_holds_pictures_as_bytes():
    pytest.importorskip("pyarrow", reason="parquet is read by pyarrow, of the extra benchmarks")
    [first, *_] = read(FIXTURES / "parquet" / "pope", public("pope").CARD)
    assert first["image"]["path"] == "see_through.png" and first["image"]["bytes"].startswith(b"\x89PNG")


# --- the hub, in the place of `datasets` a module that knows one data set


class Image:
    def __init__(self, decode=True):
        self.decode = decode


class Stream:
    def __init__(self, rows, decoded=True):
        self.rows, self.decoded, self.features = rows, decoded, {"id": int, "text": Image()}

    def cast_column(self, column, feature):
        assert column == "text" and isinstance(feature, Image)
        return Stream(self.rows, feature.decode)

    def __iter__(self):
        assert not self.decoded, "a damaged picture would end the run"
        yield from self.rows


@pytest.fixture
def hub(monkeypatch):
    """-> what was asked of the stand-in for `datasets`; the commit of every branch is forty times its first letter."""
    asked = []

    def load_dataset(*arguments, **named):
        asked.append((arguments, named))
        return Stream(ROWS)

    module = types.SimpleNamespace(
        Image=Image,
        get_dataset_config_names=lambda repository, revision: ["default", "Full"],
        get_dataset_split_names=lambda repository, config, revision: ["dev", "test"],
        load_dataset=load_dataset,
    )
    monkeypatch.setitem(sys.modules, "datasets", module)
    monkeypatch.setattr(
        "huggingface_hub.HfApi.dataset_info",
        lambda self, repository, revision, timeout: types.SimpleNamespace(sha=revision[0] * 40),
    )
    return module, asked


def test_rows_of_the_hub_stream_at_a_commit(hub):
    table = open_table(replace(CARD, config="Full", revision="branch"))
    assert table.name == f"owner/toy@{'b' * 40}" and table.folder is None and list(table.rows) == ROWS
    assert hub[1] == [(("owner/toy", "Full"), {"split": "test", "revision": "b" * 40, "streaming": True})]


@pytest.mark.parametrize(
    "source, commit",
    [
        ("owner/toy@refs/convert/parquet", "r" * 40),
        (f"owner/toy@{'0a' * 20}", "0a" * 20),
        ("other/set", "m" * 40),  # its own main branch, not the card's revision
        ("owner/toy", "c" * 40),
    ],
)
def test_a_revision_may_be_given(hub, source, commit):
    list(open_table(replace(CARD, revision="card's"), source).rows)
    assert hub[1][0][1]["revision"] == commit


def test_a_hub_that_cannot_be_asked_leaves_the_branch(hub, monkeypatch):
    def offline(*arguments, **named):
        raise ConnectionError

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", offline)
    assert open_table(CARD).name == "owner/toy@main"


def test_other_names_on_the_hub_are_told(hub):
    hub[0].get_dataset_split_names = lambda repository, config, revision: ["dev", "val"]
    refused("Toy needs the split 'test', but owner/toy has dev, val", "owner/toy")
    refused(
        "Toy needs the configuration 'Large', but owner/toy has default, Full",
        "owner/toy",
        replace(CARD, config="Large"),
    )
    hub[0].get_dataset_config_names = lambda repository, revision: ["Art", "Math"]
    refused("Toy needs all rows in one configuration, but owner/toy has Art, Math: use owner/toy", "owner/toy")


def test_a_renamed_column_of_the_hub_is_told(hub):
    refused(
        "Toy needs the columns id, words, but owner/toy@m+ has id, text, more",
        "owner/toy",
        replace(CARD, columns=("id", "words")),
    )


def test_a_hub_that_fails_is_told(hub):
    def fails(*arguments, **named):
        raise RuntimeError("many\nlines")

    hub[0].load_dataset = fails
    assert "(RuntimeError)" in refused("Toy cannot be read from 'owner/toy' at 'm+'", "owner/toy")


def test_the_hub_needs_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.setattr(hub_rows, "_commit", lambda repository, revision: revision)
    refused("owner/toy is no folder here, and data sets of the hub need a package: pip install", "owner/toy")


@pytest.mark.parametrize("name", ["pope", "mmmu"])
def test_the_package_datasets_streams_the_fixtures_with_pictures_encoded(name, tmp_path, monkeypatch):
    """`datasets` reads a folder as it reads a data set of the hub."""
    pytest.importorskip("datasets", reason="the extra benchmarks is not installed")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    folder, card = FIXTURES / "parquet" / name, public(name).CARD
    streamed = list(hub_rows._of_hub(card, str(folder), "main", card.split))
    assert streamed == read(folder, card) and isinstance(
        next(v for k, v in streamed[0].items() if "image" in k and isinstance(v, dict))["bytes"], bytes
    )
    with pytest.raises(SourceError, match=f"needs the split 'dev', but .* has {card.split}") as error:
        list(hub_rows._of_hub(card, str(folder), "main", "dev"))
    one_sentence(error.value)
