"""One `Example` type for every benchmark, and pictures that are read when they are shown."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from paperlib.tasks.pictures import Picture, PictureError, as_shown, opened


@dataclass(frozen=True)
class Example:
    """One question about one picture (or none). ``choices`` holds the answer; it is empty where the answer is free.

    ``group`` names the picture or concept, the unit that intervals resample. ``picture.render()`` gives an RGB image.
    Examples of a public benchmark keep what their prompts are made of in ``info["parts"]``.
    """

    id: str
    benchmark: str
    kind: str
    split: str
    question: str
    answer: str
    choices: tuple[str, ...]
    picture: Picture | None
    group: str
    info: dict = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class PictureFile:
    """A picture on disk. Raises PictureError when rendered if the file is no picture that can be shown."""

    path: Path

    def render(self) -> Image.Image:
        """The picture in RGB."""
        return opened(self.path, self.path.name)


@dataclass(frozen=True)
class StoredPicture:
    """A picture of a row: encoded bytes, a PIL image, or a file. ``name`` is the row's, for messages.

    Encoded bytes take some 20 times less memory than pixels, so they are decoded when they are shown, each time.
    """

    stored: bytes | Path | Image.Image = field(repr=False)
    name: str

    def render(self) -> Image.Image:
        """The picture in RGB. Raises PictureError, with the row's id, if it cannot be shown."""
        if isinstance(self.stored, Image.Image):
            return as_shown(self.stored, self.name)
        return opened(io.BytesIO(self.stored) if isinstance(self.stored, bytes) else self.stored, self.name)


def stored_picture(value: Any, identity: str, folder: Path | None = None) -> StoredPicture:
    """The picture that a row holds in one of the forms of `datasets`.

    Args:
        value: {"bytes": ..., "path": ...}, bytes, a PIL image, or the name of a file.
        identity: the row's id.
        folder: where names of files begin; None where there are no files.

    Raises PictureError, with the row's id, for anything else. A picture that is damaged is refused when it is rendered.
    """
    name = f"The picture of row {identity}"
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, (bytes, Image.Image)):
        return StoredPicture(value, name)
    if isinstance(value, str) and value and folder is not None:
        return StoredPicture(folder / value, name)
    given = "nothing" if value is None else type(value).__name__
    raise PictureError(f"{name} must be bytes, a PIL image or the name of a file in the folder, got {given}.")


def content_key(picture: Picture) -> str:
    """A name for what a picture shows: 16 hexadecimal digits, the same for the same pixels in any file format.

    Rows about one picture form a group by it. Raises PictureError if the picture cannot be shown.
    """
    image = picture.render()
    return hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()[:16]
