"""Replies on disk as they come: a file of JSON lines, of which a kill loses at most the batch that was under way.

The first line holds the settings that every reply in the file depends on. Each further line is one reply, named by a
digest of what was asked, so that a later call finds it again, whatever else it asks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from paperlib.study.disk import room
from paperlib.study.results import ResultError, plain, write_whole


class KeptReplies:
    """A file of replies of one kind of settings. found: what was asked -> its reply as JSON types.

    Raises ValueError if the file holds replies of other settings, and ResultError if it is no such file or damaged. A
    line without an end, which a kill may leave, is dropped.
    """

    def __init__(self, path: Path | str, settings: dict):
        self.path, self.found = Path(path), dict[str, dict]()
        header = {"settings": plain(settings, "settings")}
        try:
            content = self.path.read_bytes() if self.path.exists() else b""
        except OSError as error:
            raise ResultError(
                f"{self.path.name} cannot be read ({error.strerror or error}): name a file that you may read."
            ) from error
        if not content:
            write_whole({self.path: _line(header)})
            return
        *lines, torn = content.split(b"\n")
        self._check(lines, header["settings"])
        for number, line in enumerate(lines[1:], 2):
            entry = self._entry(line, number)
            self.found[entry["asked"]] = entry["reply"]
        if torn:  # what is appended would go on in the same line
            os.truncate(self.path, len(content) - len(torn))

    def append(self, replies: Iterable[tuple[str, dict]]) -> None:
        """Add (what was asked, its reply) pairs to the file, all of them on disk when this returns.

        Raises DiskError if the disk is full.
        """
        pairs = list(replies)
        with room(self.path.parent, "replies"), open(self.path, "ab") as file:
            file.write(b"".join(_line({"asked": asked, "reply": reply}) for asked, reply in pairs))
            file.flush()
            os.fsync(file.fileno())
        self.found |= pairs

    def _check(self, lines: list[bytes], settings: dict) -> None:
        first = _parsed(lines[0]) if lines else None
        if not isinstance(first, dict) or not isinstance(first.get("settings"), dict):
            raise ResultError(f"{self.path.name} is no file of replies: name another file.")
        theirs = first["settings"]
        for name in dict.fromkeys([*settings, *theirs]):
            if settings.get(name) != theirs.get(name):
                raise ValueError(
                    f"{self.path.name} holds replies that were made with another setting of {name!r}: name another "
                    f"file, or delete this one."
                )

    def _entry(self, line: bytes, number: int) -> dict:
        entry = _parsed(line)
        if not isinstance(entry, dict) or entry.keys() != {"asked", "reply"}:
            raise ResultError(f"Line {number} of {self.path.name} cannot be read: delete that line or the file.")
        return entry


def _line(value: dict) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


def _parsed(line: bytes) -> object:
    """What a line holds; None where it is not JSON."""
    try:
        return json.loads(line)
    except ValueError:
        return None
