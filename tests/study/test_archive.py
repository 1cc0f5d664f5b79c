"""Tests of paperlib.study.archive: the commit and nothing else, the same bytes twice."""

import hashlib
import subprocess
import zipfile

import pytest

from paperlib import __version__
from paperlib.study.archive import archive, main
from paperlib.study.results import ResultError


def git(folder, *words):
    subprocess.run(["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c", *words], check=True,
                   capture_output=True)  # fmt: skip


@pytest.fixture
def repository(tmp_path):
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q")
    (root / "kept.txt").write_text("kept")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    (root / "not_committed.txt").write_text("left out")
    return root


def test_it_holds_the_commit_alone_and_is_the_same_in_any_zone(repository, tmp_path, monkeypatch):
    first = archive(tmp_path / "a", repository)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    second = archive(tmp_path / "b", repository)
    assert first.name == f"paperlib-{__version__}.zip" and first.read_bytes() == second.read_bytes()
    assert [n for n in zipfile.ZipFile(first).namelist() if not n.endswith("/")] == [f"paperlib-{__version__}/kept.txt"]
    digest = hashlib.sha256(first.read_bytes()).hexdigest()
    assert first.with_suffix(".zip.sha256").read_text() == f"{digest}  {first.name}\n"


def test_no_clone_and_no_folder_are_one_sentence(tmp_path):
    with pytest.raises(ResultError, match="no git clone"):
        archive(tmp_path / "out", tmp_path)
    with pytest.raises(SystemExit, match="Say the folder"):
        main([])
