"""Lineages: a tuned model, the LLM that it was before tuning, and the connector of stage 1, each by where it is.

`lineages.toml` lists those that come with the project; a file of the same form, passed by its path, adds a reader's
own. Nothing here imports torch or opens a model.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).with_name("lineages.toml")


@dataclass(frozen=True)
class Source:
    """Where weights are: a hub id with its revision, or a folder. file, folder: of the repository, if not all of it."""

    repo: str
    revision: str = "main"
    file: str | None = None
    folder: str | None = None
    keys: Mapping[str, str] = field(default_factory=dict)  # {beginning of a key in the file: what it is in the model}


@dataclass(frozen=True)
class Lineage:
    """One tuned model and where it came from.

    tuned: the model itself. llm: the LLM before tuning. connector: of stage 1; None where none is published.
    tuned_parts: what stage 2 tuned, of "connector", "LLM", "vision tower". built: "mini" or "tiny" for what this
    project assembles itself. bands: checkpoints that were tuned in these blocks alone, by "first:end". plan: the
    configuration's numbers, for `make plan`.
    """

    name: str
    tuned: Source | None
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
    """The lineage of a study's model: by name, by the path of a TOML file, or a model alone (a folder or a hub id)."""
    known = shipped()
    if model in known:
        return known[model]
    if model.endswith(".toml"):
        (found,) = read(Path(model)).values()
        return found
    return Lineage(model, Source(model))


@functools.cache
def shipped() -> dict[str, Lineage]:
    """The lineages of `lineages.toml`, by name."""
    return read(SHIPPED)


def read(path: Path) -> dict[str, Lineage]:
    """The lineages of a file, by name. Relative folders are relative to the file."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    return {name: _lineage(name, table) for name, table in tables.items()}


def _lineage(name: str, table: dict) -> Lineage:
    def source(value: dict | None) -> Source | None:
        return None if value is None else Source(**value)

    rest = {key: value for key, value in table.items() if key not in ("tuned", "llm", "connector", "bands")}
    rest["tuned_parts"] = tuple(rest.get("tuned_parts", ("connector", "LLM")))
    bands = {blocks: Source(**value) for blocks, value in table.get("bands", {}).items()}
    return Lineage(
        name, source(table.get("tuned")), source(table.get("llm")), source(table.get("connector")), bands=bands, **rest
    )
