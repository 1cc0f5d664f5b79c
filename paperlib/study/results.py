"""Results on disk: JSON with provenance, written whole or not at all, and checked when read.

What the numbers mean is not known here. A result is {"provenance", "data", "sha256"}, where sha256 is that of
the data in canonical form (sorted keys, no spaces), so that an edited or truncated file is noticed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import logging
import math
import os
import platform
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paperlib import __version__
from paperlib.study.checks import whole
from paperlib.study.study import CODE_ROOT, Study

PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "safetensors",
    "numpy",
    "scipy",
    "scikit-learn",
    "pillow",
    "matplotlib",
)

log = logging.getLogger("paperlib")
_read: dict[str, str] = {}  # {repository: commit} of the weights that this process has opened


class ResultError(RuntimeError):
    """A result file is missing, unreadable, changed or unwritable; the message is one sentence that says what to do."""


def provenance(study: Study, seconds: float, n: int, **extra: Any) -> dict:
    """What made a result: parameters, package versions, code version, platform, duration [s] and n examples.

    `extra` is added on top (training budgets, the device); it may not repeat a name used here. Where the process has
    opened weights of repositories (`note_source`), "sources" names their commits. No host name and no path is recorded.
    """
    made = {
        "preset": study.preset,
        "model": study.model,
        "seed": study.seed,
        "parameters": study.as_dict(),
        "packages": package_versions(),
        "code": code_version(),
        "platform": _platform(),
        "seconds": round(float(seconds), 3),
        "n": whole(n, "n", 0),
    } | ({"sources": dict(sorted(_read.items()))} if _read else {})
    repeated = sorted(set(made) & set(extra))
    if repeated:
        raise ValueError(f"'{repeated[0]}' is already part of the provenance: give the extra entry another name.")
    return made | plain(extra)


def note_source(repository: str, commit: str) -> None:
    """Note which commit of a repository this process reads, for all provenance from now on."""
    _read[repository] = commit


def package_versions() -> dict[str, str | None]:
    """Installed versions of the packages that numbers can depend on; None where one is not installed."""
    return {name: _version(name) for name in PACKAGES}


@functools.cache
def code_version() -> dict:
    """Paperlib's version, the sha256 over its sources, and the git commit (None outside a clone).

    `modified` says whether the tracked code differed from that commit.
    """
    digest = hashlib.sha256()
    for path in sorted((CODE_ROOT / "paperlib").rglob("*.py")):
        digest.update(f"{path.relative_to(CODE_ROOT).as_posix()}\n".encode() + path.read_bytes())
    top = _git("rev-parse", "--show-toplevel")
    commit = _git("rev-parse", "--verify", "HEAD") if top and Path(top).resolve() == CODE_ROOT else None
    modified = bool(_git("status", "--porcelain", "--", "paperlib", "notebooks")) if commit else None
    return {"paperlib": __version__, "sha256": digest.hexdigest(), "commit": commit, "modified": modified}


def plain(value: Any, where: str = "data") -> Any:
    """The value as JSON types: dataclasses to dicts, tuples to lists, numpy and torch values to Python's.

    Raises ValueError for NaN and infinities (write None where a value does not exist) and for types JSON
    lacks.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float)):
        if not math.isfinite(value):
            raise ValueError(
                f"{where} is {value}: results hold finite numbers, so pass None for a value that does not exist."
            )
        return float(value) if isinstance(value, float) else int(value)
    if isinstance(value, dict):
        if len(value) != len({str(key) for key in value}):
            raise ValueError(
                f"{where} has keys that differ in type alone, and JSON would keep one of them: name them apart."
            )
        return {str(key): plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain({f.name: getattr(value, f.name) for f in dataclasses.fields(value)}, where)
    if hasattr(value, "tolist"):  # numpy and torch, without importing either
        return plain(value.tolist(), where)
    raise ValueError(
        f"{where} is a {type(value).__name__}, which JSON does not have: convert it to numbers, "
        f"text, lists or dicts first."
    )


def write_whole(files: dict[Path, bytes]) -> None:
    """Write files whole or not at all: all under temporary names, and only when all are there are they renamed.

    A reader sees old files or new ones. Raises ResultError, and leaves nothing behind, where the disk is full, a folder
    is read-only, or a name is taken by a folder.
    """
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in files}
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary[path].write_bytes(content)
        for path in files:
            os.replace(temporary[path], path)
    except OSError as error:
        raise ResultError(
            f"{path.name} could not be written to {path.parent.name or 'this folder'}/ "
            f"({error.strerror or error}): make room or make the folder writable, and run this again; what "
            f"was there before is unchanged."
        ) from error
    finally:
        for scratch in temporary.values():
            with contextlib.suppress(OSError):  # a folder that can't be written to holds none
                scratch.unlink()


def write_json(path: Path | str, obj: Any) -> Path:
    """Write `plain(obj)` as `write_whole` does."""
    path = Path(path)
    write_whole({path: json_bytes(obj)})
    return path


def json_bytes(obj: Any) -> bytes:
    """`plain(obj)` as it is written. Raises ValueError as `plain` does."""
    return (json.dumps(plain(obj), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_json(path: Path | str) -> Any:
    """Read a JSON file. Raises ResultError if it is missing or not JSON."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except FileNotFoundError:
        raise ResultError(
            f"There is no result {path.name} in {path.parent.name}/: run the notebook that "
            f"writes it first (make figures)."
        ) from None
    except (ValueError, RecursionError) as error:
        raise ResultError(f"{path.name} is not readable as JSON ({error}): delete it and make it again.") from error
    except OSError as error:
        raise ResultError(
            f"{path.name} cannot be read ({error.strerror or error}): make it a file that you may read."
        ) from error


def _no_number(word: str) -> None:
    """What `read_json` makes of NaN and infinities, which are no JSON and which nothing here writes."""
    raise ValueError(f"it holds {word}")


def write_result(path: Path | str, data: dict, provenance: dict) -> Path:
    """Write data with provenance and sha256. Raises ValueError as `plain` does, ResultError as `write_whole` does."""
    path = Path(path)
    write_whole({path: result_bytes(data, provenance)})
    return path


def result_bytes(data: dict, provenance: dict) -> bytes:
    """What `write_result` writes."""
    data = plain(data)
    return json_bytes({"provenance": provenance, "data": data, "sha256": data_digest(data)})


def read_result(path: Path | str) -> dict:
    """{"provenance", "data", "sha256"}. Raises ResultError if the data are not what was written."""
    found = read_json(path)
    if not isinstance(found, dict) or not {"provenance", "data", "sha256"} <= set(found):
        raise ResultError(f"{Path(path).name} is not a result with provenance: make it again with write_result.")
    if data_digest(found["data"]) != found["sha256"]:
        raise ResultError(
            f"The data in {Path(path).name} do not match their sha256, so the file was edited "
            f"or damaged: make it again (make figures)."
        )
    return found


def data_digest(data: Any) -> str:
    """sha256 of the data's canonical JSON."""
    canonical = json.dumps(plain(data), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def cached(folder: Path | str, key: dict, compute: Callable[[], dict]) -> dict:
    """`compute()`, or what it returned for the same key before.

    The file is named by the sha256 of the key, which must therefore hold all that the value depends on; it is
    checked when read, and computed again (with a logged sentence) if it is damaged. A fresh value is returned
    as JSON would return it, so that first and later runs see the same types.
    """
    key = plain(key, "key")
    path = Path(folder) / f"{data_digest(key)[:24]}.json"
    if path.is_file():
        try:
            found = read_result(path)
            if found["provenance"] != {"key": key}:
                raise ResultError(f"{path.name} belongs to another key.")
            return found["data"]
        except ResultError as error:
            log.warning("A cached value is computed again: %s", error)
    data = plain(compute())
    write_result(path, data, {"key": key})
    return data


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _platform() -> dict:
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
    }


def _git(*arguments: str) -> str | None:
    """Output of a git command in the clone; None without git or outside a repository."""
    try:
        done = subprocess.run(["git", "-C", str(CODE_ROOT), *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
