"""Rows of large JSON files, found again by where they stand, so that a gigabyte of them takes little memory."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from paperlib.tasks.benchmarks.card import SourceError
from paperlib.tasks.benchmarks.hub_rows import told

CHUNK = 1 << 20  # bytes
BLANK = " \t\r\n"


class Place(NamedTuple):
    """Where a row stands in a file, in bytes."""

    start: int
    size: int


def rows_with_places(file: Path) -> Iterator[tuple[Place, Any]]:
    """The rows of a JSON list or of JSONL (by the name's end) in order, each with its place, as they are read.

    Raises SourceError for a file that cannot be read or is no list.
    """
    with told(file), file.open("rb") as stream:
        yield from _of_lines(stream) if file.suffix == ".jsonl" else _of_list(stream, file.name)


def row_at(file: Path, stream: BinaryIO, place: Place) -> Any:
    """The row at a place of an open file. Raises SourceError if it is no longer there."""
    with told(file):
        stream.seek(place.start)
        return json.loads(stream.read(place.size))


def _of_lines(stream: BinaryIO) -> Iterator[tuple[Place, Any]]:
    start = 0
    for line in stream:
        if line.strip():
            yield Place(start, len(line)), json.loads(line)
        start += len(line)


def _of_list(stream: BinaryIO, name: str) -> Iterator[tuple[Place, Any]]:
    text = _Text(stream)
    if (first := text.sign()) != "[":
        raise SourceError(f"{name} must hold a list of rows, but it begins with {first!r}.")
    text.take(1)
    if text.sign() == "]":
        return
    yield text.row()
    while (sign := text.sign()) != "]":
        if sign != ",":
            raise ValueError("no comma between two rows")
        text.take(1)
        yield text.row()


class _Text:
    """The text of a stream, of which little more than a row is held. ``byte``: where what is not taken yet begins."""

    def __init__(self, stream: BinaryIO):
        self.stream, self.decoder = stream, json.JSONDecoder()
        self.decode = codecs.getincrementaldecoder("utf-8")().decode
        self.held, self.at, self.byte = "", 0, 0

    def more(self) -> bool:
        """Read on; False at the end."""
        chunk = self.stream.read(CHUNK)
        self.held, self.at = self.held[self.at :] + self.decode(chunk, not chunk), 0
        return bool(chunk)

    def take(self, characters: int) -> int:
        """Go on by so many characters, and return their bytes."""
        size = len(self.held[self.at : self.at + characters].encode())
        self.at, self.byte = self.at + characters, self.byte + size
        return size

    def sign(self) -> str:
        """The next character that is no blank."""
        while self.at == len(self.held) or self.held[self.at] in BLANK:
            if self.at < len(self.held):
                self.take(1)
            elif not self.more():
                raise ValueError("the list does not end")
        return self.held[self.at]

    def row(self) -> tuple[Place, Any]:
        """The next row."""
        self.sign()
        while True:
            try:
                row, end = self.decoder.raw_decode(self.held, self.at)
            except json.JSONDecodeError:
                if not self.more():
                    raise
            else:
                start = self.byte
                return Place(start, self.take(end - self.at)), row
