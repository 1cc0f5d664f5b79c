"""Tests of paperlib.study.results."""

import dataclasses
import errno
import json
import logging
import os
import platform
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import one_sentence

from paperlib.study import results
from paperlib.study.results import ResultError
from paperlib.study.study import CODE_ROOT, Study


@dataclasses.dataclass
class Point:
    x: float
    y: tuple


def test_provenance_says_what_made_a_result_and_names_no_machine():
    study = Study.make("smoke", seed=5)
    made = results.provenance(study, seconds=1.23456, n=40, revision="abc", steps=np.int64(3))
    assert made["preset"] == "smoke" and made["model"] == "tiny" and made["seed"] == 5
    assert made["parameters"] == study.as_dict()
    assert made["packages"]["torch"] == torch.__version__ and made["packages"]["numpy"] == np.__version__
    assert made["seconds"] == 1.235 and made["n"] == 40 and made["revision"] == "abc" and made["steps"] == 3
    assert len(made["code"]["sha256"]) == 64 and made["code"]["paperlib"]
    text = json.dumps(made)
    assert str(CODE_ROOT) not in text
    assert set(made["platform"]) == {"system", "machine", "python", "cpus"}
    if len(platform.node()) > 3:
        assert platform.node() not in text


def test_provenance_refuses_an_extra_that_would_hide_an_entry():
    with pytest.raises(ValueError, match="'seed' is already part"):
        results.provenance(Study.make("smoke"), 1.0, 1, seed=1)


def test_code_version_without_git(monkeypatch):
    def no_git(*args, **kwargs):
        raise FileNotFoundError("git")

    monkeypatch.setattr(results.subprocess, "run", no_git)
    results.code_version.cache_clear()
    try:
        found = results.code_version()
    finally:
        results.code_version.cache_clear()
    assert found["commit"] is None and found["modified"] is None and len(found["sha256"]) == 64


def test_plain_converts_numbers_arrays_and_dataclasses():
    mixed = {
        "a": np.float32(0.5),
        "b": np.arange(3),
        "c": torch.tensor(2),
        "d": torch.ones(2, requires_grad=True),
        "e": (1, 2),
        "f": Point(1.0, (True, None)),
        3: "key",
        "g": np.bool_(True),
        "h": np.float64(1.5),
    }
    assert results.plain(mixed) == {
        "a": 0.5,
        "b": [0, 1, 2],
        "c": 2,
        "d": [1.0, 1.0],
        "e": [1, 2],
        "f": {"x": 1.0, "y": [True, None]},
        "3": "key",
        "g": True,
        "h": 1.5,
    }
    assert type(results.plain(np.float64(1.5))) is float


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), np.float32("nan"), torch.tensor(float("-inf"))])
def test_nan_is_refused_and_located(tmp_path, bad):
    with pytest.raises(ValueError, match=r"data\.models\.tiny\[1\] is -?(nan|inf).*pass None"):
        results.plain({"models": {"tiny": [1.0, bad]}})
    with pytest.raises(ValueError):
        results.write_json(tmp_path / "x.json", [bad])
    assert list(tmp_path.iterdir()) == []


def test_types_that_json_lacks_are_refused():
    with pytest.raises(ValueError, match="data.a is a set"):
        results.plain({"a": {1, 2}})


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.text()
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    )
)
def test_json_round_trip_and_digest(value):
    text = json.dumps(results.plain(value))
    assert results.plain(json.loads(text)) == results.plain(value)
    assert results.data_digest(json.loads(text)) == results.data_digest(value)


def test_write_is_atomic(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "a.json"
    results.write_json(path, {"v": 1})
    monkeypatch.setattr(os, "replace", lambda *a: (_ for _ in ()).throw(OSError("killed")))
    with pytest.raises(ResultError, match="could not be written to deep/ .killed."):
        results.write_json(path, {"v": 2})
    assert results.read_json(path) == {"v": 1}
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]


def test_result_round_trip_and_tampering(tmp_path):
    path = results.write_result(tmp_path / "r.json", {"accuracy": [np.float64(0.25), 1]}, {"seed": 0})
    assert results.read_result(path)["data"] == {"accuracy": [0.25, 1]}
    path.write_text(path.read_text().replace("0.25", "0.95"))
    with pytest.raises(ResultError, match="r.json do not match their sha256"):
        results.read_result(path)
    path.write_text('{"data": {}')
    with pytest.raises(ResultError, match="not readable as JSON"):
        results.read_result(path)
    path.write_text('{"data": {}}')
    with pytest.raises(ResultError, match="not a result with provenance"):
        results.read_result(path)
    with pytest.raises(ResultError, match="no result gone.json"):
        results.read_result(tmp_path / "gone.json")


def test_cached_computes_once_per_key(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return {"pair": (1, np.float32(2.0))}

    first = results.cached(tmp_path, {"seed": 0, "layers": (1, 2)}, compute)
    again = results.cached(tmp_path, {"layers": [1, 2], "seed": 0}, compute)
    assert first == again == {"pair": [1, 2.0]} and len(calls) == 1
    results.cached(tmp_path, {"seed": 1, "layers": (1, 2)}, compute)
    assert len(calls) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("41", "42"),
        lambda text: text.replace('"seed": 0', '"seed": 1'),
        lambda text: "",
    ],
)
def test_a_damaged_cache_is_computed_again_and_said_so(tmp_path, caplog, damage):
    results.cached(tmp_path, {"seed": 0}, lambda: {"v": 41})
    (path,) = tmp_path.iterdir()
    path.write_text(damage(path.read_text()))
    with caplog.at_level(logging.WARNING, "paperlib"):
        assert results.cached(tmp_path, {"seed": 0}, lambda: {"v": 41}) == {"v": 41}
    assert "computed again" in caplog.text
    assert results.read_result(path)["data"] == {"v": 41}


def test_a_failing_computation_leaves_no_cache(tmp_path):
    with pytest.raises(ZeroDivisionError):
        results.cached(tmp_path, {"seed": 0}, lambda: 1 / 0)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- disks that are full, folders that are closed

FAULTS = {"full": errno.ENOSPC, "read-only": errno.EROFS, "closed": errno.EACCES, "over quota": errno.EDQUOT}


@pytest.fixture(params=FAULTS)
def failing(request, monkeypatch):
    """Every file is cut off after four bytes, and the system says why."""
    code, write = FAULTS[request.param], Path.write_bytes

    def cut(path, content):
        write(path, content[:4])
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "write_bytes", cut)
    return os.strerror(code)


@pytest.mark.parametrize(
    "call",
    [
        lambda folder: results.write_json(folder / "a.json", {"v": 2}),
        lambda folder: results.write_result(folder / "a.json", {"v": 2}, {}),
        lambda folder: results.cached(folder, {"k": 1}, lambda: {"v": 2}),
        lambda folder: results.write_whole({folder / "b.txt": b"text", folder / "a.json": b"bytes"}),
    ],
)
def test_what_cannot_be_written_leaves_all_as_it_was(tmp_path, failing, call):
    (tmp_path / "a.json").touch()
    with pytest.raises(ResultError) as error:
        call(tmp_path)
    assert failing in one_sentence(error.value) and str(tmp_path) not in str(error.value)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.json", b"")]


def test_a_file_where_a_folder_should_be_and_a_folder_where_a_file_should_be(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "a.json").mkdir()
    for path in (tmp_path / "file" / "a.json", tmp_path / "a.json"):
        with pytest.raises(ResultError, match="could not be written"):
            results.write_json(path, 1)
    with pytest.raises(ResultError, match="a.json cannot be read"):
        results.read_json(tmp_path / "a.json")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.json", "file"]


def test_files_that_belong_together_come_together(tmp_path):
    """The second can't be written, so the first is not either."""
    (tmp_path / "taken").touch()
    with pytest.raises(ResultError):
        results.write_whole({tmp_path / "a.pdf": b"1", tmp_path / "taken" / "a.png": b"2"})
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize(
    "data", [{1: "a", "1": "b"}, {"x": {True: 1, "True": 2}}, [{None: 1, "None": 2}], {1.5: 0, "1.5": 1}]
)
def test_keys_that_json_cannot_tell_apart_are_refused(data):
    with pytest.raises(ValueError, match="differ in type alone"):
        results.plain(data)


@pytest.mark.parametrize("n", [1.5, "3", None, True, -1])
def test_provenance_counts_examples(n):
    with pytest.raises(ValueError, match="n must be a whole number"):
        results.provenance(Study.make("smoke"), 1.0, n)


@pytest.mark.parametrize("data", ["NaN", "-Infinity", "[" * 100_000])
def test_json_that_python_reads_and_others_do_not_is_damage(tmp_path, data):
    text = f'{{"provenance": {{}}, "data": {data}, "sha256": "x"}}'
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ResultError, match="a.json is not readable as JSON"):
        results.read_result(tmp_path / "a.json")
    results.cached(tmp_path / "cache", {"k": 1}, lambda: {"v": 1})
    next((tmp_path / "cache").iterdir()).write_text(text)
    assert results.cached(tmp_path / "cache", {"k": 1}, lambda: {"v": 2}) == {"v": 2}  # computed again, not refused
