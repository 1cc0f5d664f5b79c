"""Lineages: a tuned model, the LLM that it was before tuning, and the connector of stage 1, each by where it is.

`lineages.toml` lists those that come with the project. A file of the same form, passed by its path, adds others::

    [mine]
    tuned = { repo = "folder of save_pretrained, or a hub id" }
    llm = { repo = "...", revision = "..." }                  # the LLM before tuning
    connector = { repo = "...", file = "mm_projector.bin" }   # of stage 1; leave it out where there is none

Folders are relative to the file. Nothing here imports torch or opens a model.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).with_name("lineages.toml")
PARTS = ("connector", "LLM", "vision tower")
BUILT = ("mini", "tiny")


class LineageError(ValueError):
    """A lineage cannot be used; the message is one sentence that says what to do."""


@dataclass(frozen=True)
class Source:
    """Where weights are: a hub id with its revision, or a folder.

    file, folder: of the repository, if not all of it. keys: {beginning of a key in the file: what stands in its place
    in the model}.
    """

    repo: str
    revision: str = "main"
    file: str | None = None
    folder: str | None = None
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Lineage:
    """One tuned model and where it came from.

    tuned: the model itself. llm: the LLM before tuning. connector: of stage 1; None where none is published.
    tuned_parts: what stage 2 tuned (of `PARTS`). built: one of `BUILT`, for what this project assembles itself. bands:
    checkpoints that were tuned in some blocks alone, by name. plan: the numbers of the configuration, for `make plan`.
    note: what it consists of, in words.
    """

    name: str
    tuned: Source | None = None
    llm: Source | None = None
    connector: Source | None = None
    tuned_parts: tuple[str, ...] = ("connector", "LLM")
    licence: str = ""
    gated: bool = False
    note: str = ""
    built: str | None = None
    bands: Mapping[str, Source] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)


def lineage_of(model: str) -> Lineage:
    """The lineage of a study's model.

    model: a name in `lineages.toml`; the path of a TOML file, with "#name" behind it where that holds several; or a
    folder or hub id alone, of which only the tuned model is known.
    Raises LineageError for a name that is none of these, with the nearest, and for a file that cannot be used.
    """
    path, _, name = model.partition("#")
    if path.endswith(".toml"):
        found = read(Path(path))
        if not name and len(found) == 1:
            return next(iter(found.values()))
        if name not in found:
            raise LineageError(
                f"{path} holds the lineages {', '.join(found)}: say which, as in {path}#{next(iter(found))}."
            )
        return found[name]
    if model in shipped():
        return shipped()[model]
    if not os.path.isdir(model) and not _hub_id(model):
        near = get_close_matches(model.lower(), shipped(), 2, 0.5)
        meant = f" (did you mean {' or '.join(near)}?)" if near else ""
        raise LineageError(
            f"There is no model {model!r}{meant}: give one of {', '.join(shipped())}, the path of a lineage's TOML "
            f"file, a folder written by save_pretrained, or a hub id."
        )
    return Lineage(model, Source(model))


def is_lineage(model: str) -> bool:
    """Whether a model's name is that of a lineage that comes with the project, or the path of a lineage's file."""
    return model in shipped() or model.partition("#")[0].endswith(".toml")


@functools.cache
def shipped() -> dict[str, Lineage]:
    """The lineages of `lineages.toml`, by name."""
    return read(SHIPPED)


def read(path: Path) -> dict[str, Lineage]:
    """The lineages of a file, by name. Raises LineageError for a file that is not there, no TOML or says too little."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LineageError(f"The lineage file {path} cannot be read: give the path of a TOML file.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LineageError(f"The lineage file {path} is no TOML ({error}).") from error
    if not tables or not all(isinstance(table, dict) for table in tables.values()):
        raise LineageError(f"The lineage file {path} must hold a table for each lineage, such as [mine].")
    return {name: _lineage(name, table, path) for name, table in tables.items()}


def _lineage(name: str, table: dict, path: Path) -> Lineage:
    where = f"The lineage {name!r} of {path.name}"
    types: dict[str, type] = {
        "tuned_parts": list,
        "licence": str,
        "gated": bool,
        "note": str,
        "built": str,
        "plan": dict,
    }
    known = {f.name for f in dataclasses.fields(Lineage)} - {"name"}
    if unknown := sorted(table.keys() - known):
        raise LineageError(f"{where} has no entry {unknown[0]!r}: use some of {', '.join(sorted(known))}.")
    for key, kind in types.items():
        if key in table and not isinstance(table[key], kind):
            raise LineageError(f"{where} needs {key} as {kind.__name__}, got {table[key]!r}.")
    if table.get("built", BUILT[0]) not in BUILT:
        raise LineageError(f"{where} cannot be built here: built is one of {', '.join(BUILT)}.")
    if "tuned" not in table and "built" not in table:
        raise LineageError(f"{where} must say where the tuned model is: tuned = {{ repo = ... }}.")
    parts = tuple(table.get("tuned_parts", Lineage.tuned_parts))
    if wrong := [part for part in parts if part not in PARTS]:
        raise LineageError(f"{where} tunes {wrong[0]!r}: tuned_parts are some of {', '.join(PARTS)}.")
    bands = table.get("bands", {})
    if not isinstance(bands, dict):
        raise LineageError(f"{where} needs bands as a table from names to sources, got {bands!r}.")
    sources: dict[str, Any] = {
        key: _source(table[key], f"{where}, {key},", path) for key in ("tuned", "llm", "connector") if key in table
    }
    if "connector" in sources and not sources["connector"].file:
        raise LineageError(f"{where}, connector, must name its file: file = 'mm_projector.bin', for example.")
    return Lineage(
        name,
        **sources,
        **{key: table[key] for key in ("licence", "gated", "note", "built", "plan") if key in table},
        tuned_parts=parts,
        bands={band: _source(value, f"{where}, band {band},", path) for band, value in bands.items()},
    )


def _source(value: object, where: str, path: Path) -> Source:
    names = [f.name for f in dataclasses.fields(Source)]
    if not isinstance(value, dict) or not isinstance(value.get("repo"), str) or not value["repo"]:
        raise LineageError(f"{where} must name a repository or folder: {{ repo = ... }}.")
    if unknown := sorted(value.keys() - set(names)):
        raise LineageError(f"{where} has no entry {unknown[0]!r}: use some of {', '.join(names)}.")
    for key in ("revision", "file", "folder"):
        if key in value and not isinstance(value[key], str):
            raise LineageError(f"{where} needs {key} as a text, got {value[key]!r}.")
    keys = value.get("keys", {})
    if not isinstance(keys, dict) or not all(isinstance(new, str) for new in keys.values()):
        raise LineageError(f"{where} needs keys as a table from texts to texts, got {keys!r}.")
    beside = path.parent / Path(value["repo"]).expanduser()
    if not beside.is_dir() and not _hub_id(value["repo"]):
        raise LineageError(
            f"{where} names {value['repo']!r}, which is no folder beside {path.name} and no hub id (owner/name)."
        )
    return Source(**value | {"repo": str(beside) if beside.is_dir() else value["repo"]})


def _hub_id(repo: str) -> bool:
    """Whether a text has the form of a hub id, owner/name; "." and "~" begin paths."""
    return re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", repo) is not None
