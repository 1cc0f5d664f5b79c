"""From a row to an `Instruction`, for each public schema.

- LLaVA's (Liu et al. 2023, arXiv 2304.08485 and 2310.03744), of instructions and captions alike: ``conversations`` of
  {"from": "human" or "gpt", "value": text}, with ``<image>`` in the text where the picture stands, and ``image``, the
  name of a file; rows without picture have none. In liuhaotian/LLaVA-Instruct-150K (CC BY 4.0) and LLaVA-Pretrain.
- Messages with pictures inside: ``messages`` of {"role": "user" or "assistant", "content": parts}, each part
  {"type": "text", "text": text} or {"type": "image", "index": which of ``images``}. In
  HuggingFaceH4/llava-instruct-mix-vsft.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from paperlib.tasks.benchmarks.card import SourceError
from paperlib.tasks.benchmarks.example import StoredPicture, stored_picture
from paperlib.tasks.benchmarks.hub_rows import Row
from paperlib.tasks.instructions.instruction import Instruction, Refused, RowPicture
from paperlib.tasks.pictures import PictureError

MARK = "<image>"
ROLES = {"human": "user", "gpt": "assistant"}
Said = list[tuple[str, list[str | int]]]  # role, and its words and pictures (which of the row's) in order


class Schema(NamedTuple):
    """Columns that say that a row is of this schema, and how it is read: what was said, and its pictures' values."""

    columns: tuple[str, ...]
    read: Callable[[Row], tuple[Said, list]]


class Files:
    """The picture files in a folder. Each folder is listed once: asking for half a million files takes minutes."""

    def __init__(self, folder: Path | None):
        self.folder = folder
        self._listed: dict[str, set[str]] = {}

    def check(self, name: str) -> None:
        """Raises Refused for a file that is not there, and SourceError where no folder was given."""
        if self.folder is None:
            raise SourceError(f"These rows name files of pictures, such as {name!r}: give their folder as pictures=.")
        parent, base = os.path.split(name)
        if os.path.isabs(name) or ".." in Path(name).parts:
            raise Refused("picture outside the folder")
        if parent not in self._listed:
            inside = self.folder / parent
            self._listed[parent] = set(os.listdir(inside)) if inside.is_dir() else set()
        if base not in self._listed[parent]:
            raise Refused("missing picture")


def instruction_of(
    row: Row, number: int, schema: Schema, files: Files, broken: Callable[[], None] = lambda: None
) -> Instruction:
    """The instruction of a row. No picture is decoded.

    number: of the row, its id where it has none. broken: called if a picture, once opened, cannot be shown.
    Raises Refused, with the reason, for a row that cannot be used.
    """
    identity = identity_of(row, number)
    said, values = schema.read(row)
    roles = [role for role, _ in said]
    if not said or roles != ["user", "assistant"] * (len(said) // 2) + ["user"] * (len(said) % 2):
        raise Refused("no alternating turns")
    if len(said) % 2:
        raise Refused("no answer")
    turns, places, shown = [], [], []
    for turn, ((_, asked), (_, told)) in enumerate(zip(said[::2], said[1::2], strict=True)):
        if any(isinstance(part, int) for part in told):
            raise Refused("picture in an answer")
        question, at = _placed(asked)
        answer, _ = _placed(told)
        if not answer:
            raise Refused("no answer")
        if not question and not at:
            raise Refused("no question")
        turns.append((question, answer))
        places += [(turn, place) for place in at]
        shown += [part for part in asked if isinstance(part, int)]
    if shown and not values:
        raise Refused("missing picture")
    if sorted(shown) != list(range(len(values))):
        raise Refused("pictures and their places differ")
    pictures = tuple(RowPicture(_stored(values[which], identity, files), broken) for which in shown)
    return Instruction(identity, tuple(turns), pictures, tuple(places))


def identity_of(row: Row, number: int) -> str:
    """The id that a row has, or its number."""
    return str(number if row.get("id") is None else row["id"])


def schema_of(row: Any, name: str) -> Schema:
    """The schema of a row. Raises SourceError, with the wanted columns and those found, for any other row."""
    for schema in SCHEMAS:
        if isinstance(row, dict) and set(schema.columns) <= row.keys():
            return schema
    found = ", ".join(map(str, row)) if isinstance(row, dict) else f"no row but {type(row).__name__}"
    wanted = ", or ".join(" and ".join(schema.columns) for schema in SCHEMAS)
    raise SourceError(f"Instructions need the columns {wanted}, but {name} has {found}.")


def _placed(parts: list[str | int]) -> tuple[str, list[int]]:
    """The words of parts without blanks around, and before which of their characters each picture stands."""
    words, at = "", []
    for part in parts:
        if isinstance(part, int):
            at.append(len(words))
        else:
            words += part
    try:
        words.encode()
    except UnicodeEncodeError as error:
        raise Refused("text that cannot be encoded") from error
    text = words.strip()
    before = len(words) - len(words.lstrip())
    return text, [min(max(place - before, 0), len(text)) for place in at]


def _stored(value: Any, identity: str, files: Files) -> StoredPicture:
    name = value.get("path") if isinstance(value, Mapping) and not value.get("bytes") else value
    if isinstance(name, str):
        files.check(name)
    try:
        return stored_picture(value, identity, files.folder)
    except PictureError as error:
        raise Refused("missing picture") from error


def _of_conversations(row: Row) -> tuple[Said, list]:
    said: Said = []
    marks = 0
    for item in _listed(row["conversations"]):
        words = item.get("value")
        if not isinstance(words, str):
            raise Refused("no alternating turns")
        first, *rest = words.split(MARK)
        parts: list[str | int] = [first]
        for text in rest:
            parts += [marks, text]
            marks += 1
        said.append((ROLES.get(item.get("from", ""), str(item.get("from"))), parts))
    value = row.get("image")
    return said, value if isinstance(value, list) else [value] if value else []


def _of_messages(row: Row) -> tuple[Said, list]:
    said: Said = []
    for item in _listed(row["messages"]):
        content = item.get("content")
        content = [{"type": "text", "text": content}] if isinstance(content, str) else content
        parts: list[str | int] = []
        for part in _listed(content):
            value = part.get("index" if part.get("type") == "image" else "text")
            if not isinstance(value, (str, int)):
                raise Refused("no alternating turns")
            parts.append(value)
        said.append((str(item.get("role")), parts))
    return said, list(row["images"] or [])


def _listed(value: Any) -> Sequence[Mapping]:
    """The value, a list of mappings. Raises Refused for anything else."""
    if not isinstance(value, Sequence) or not all(isinstance(item, Mapping) for item in value):
        raise Refused("no alternating turns")
    return value


SCHEMAS = (Schema(("conversations",), _of_conversations), Schema(("messages", "images"), _of_messages))
