"""Which model a name stands for: one of `NAMES`, a folder, or a hub id. For others: what may have been meant."""

import os
import re
from difflib import SequenceMatcher
from pathlib import Path

from paperlib.models.adapter_files import is_adapter_folder
from paperlib.models.input_checks import VLMError
from paperlib.models.lineages import is_lineage, shipped
from paperlib.study.study import repo_root

NAMES = ("mini", "mini-stage1", "mini-base", "mini-untrained", "tiny")
SHIPPED = {"mini": "mini-tuned", "mini-stage1": "mini-stage1"}
# Shares of equal characters. From ALIKE on, a name is proposed; from SURE on, the hub is not even asked for it.
ALIKE, SURE = 0.75, 0.85


def check_name(name: str | Path) -> str:
    """The name as text, if it may stand for a model: one of `NAMES`, a lineage, a folder, or of the form of a hub id.

    Raises VLMError for any other name, and for a hub id that is nearly the end of the path of adapters that are here.
    """
    text = str(name) if isinstance(name, Path) else name
    if not isinstance(text, str):
        raise no_model(name)
    if text in NAMES or is_lineage(text) or os.path.isdir(text):
        return text
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", text) or text.startswith("."):
        raise no_model(text)
    if any(alike >= SURE and "/" in end for alike, end, _ in _matches(text, adapter_folders())):
        raise no_model(text)
    return text


def adapter_folder(name: str) -> Path | None:
    """The adapters that a name stands for, or None."""
    if name in SHIPPED:
        return repo_root() / "data" / "adapters" / SHIPPED[name]
    return Path(name) if _holds_adapters(name) else None


def adapter_folders() -> list[str]:
    """The folders of adapters that came with the repository, as paths from here."""
    found = (str(path) for path in sorted((repo_root() / "data" / "adapters").rglob("*")) if _holds_adapters(path))
    return [min(path, os.path.relpath(path), key=len) for path in found]


def no_model(name: object) -> VLMError:
    """The error for a name without a usable model. It says which names are nearest."""
    meant = " or ".join(repr(other) for other in near(name)) if isinstance(name, str) else ""
    return VLMError(
        f"No usable model {repr(name)[:80]}{f' (did you mean {meant}?)' if meant else ''}: give one of "
        f"{', '.join(NAMES)}, a lineage, a whole folder written by save_pretrained, or a hub id of an image-text "
        f"model that this machine can reach."
    )


def near(name: str) -> list[str]:
    """At most two names or folders that may have been meant: known names, adapters, and folders beside this one."""
    if os.path.isfile(name):
        return [os.path.dirname(name) or "."]
    if os.path.isdir(name):
        return [path for path in adapter_folders() if Path(name).resolve() in Path(path).resolve().parents][:2]
    parent = os.path.dirname(name)
    beside = os.scandir(parent or ".") if os.path.isdir(parent or ".") else ()
    here = [os.path.join(parent, entry.name) for entry in beside if entry.is_dir() and entry.name[0] not in "._"]
    found = sorted(_matches(name, [*NAMES, *shipped(), *adapter_folders(), *here]), key=lambda match: -match[0])
    return list(dict.fromkeys(other for alike, _, other in found if alike >= ALIKE))[:2]


def _matches(name: str, others: list[str]) -> list[tuple[float, str, str]]:
    """For each other name: (share of equal characters, the end of its path that is most like ``name``, the name)."""
    found = []
    for other in others:
        parts = Path(other).parts
        ends = ["/".join(parts[i:]) for i in range(len(parts))]
        plain = os.path.normpath(name.strip() or ".").lower()
        found.append(max((SequenceMatcher(None, plain, end.lower()).ratio(), end, other) for end in ends))
    return found


def _holds_adapters(folder: str | Path) -> bool:
    return os.path.isdir(folder) and is_adapter_folder(Path(folder))
