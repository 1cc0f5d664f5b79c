"""Natural pictures with captions, from a folder or a data set of the hub.

A folder holds pictures and ``metadata.jsonl`` (a line for each: {"file_name": "a.jpg", "text": "..."}, as `datasets`
reads it; "captions" may hold a list of texts) or ``captions.json`` ({"a.jpg": "...", or a list of texts}). A data set
of the hub is named "id" or "id@revision" and has a column of pictures and one of captions.
"""

from __future__ import annotations

import importlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from paperlib.study.study import Study
from paperlib.tasks.benchmarks import PictureFile
from paperlib.tasks.pictures import PictureError, as_shown

log = logging.getLogger(__name__)
PICTURES, CAPTIONS, SPLITS = (
    ("image", "picture", "img"),
    ("caption", "captions", "text", "sentences"),
    ("test", "train"),
)


class PairsError(ValueError):
    """A set of pictures with captions cannot be used; the message is one sentence that says what to do."""


@dataclass(frozen=True)
class Pair:
    """A picture and one of its captions."""

    id: str
    caption: str
    image: Image.Image | Path

    def render(self) -> Image.Image:
        """The picture in RGB. Raises PictureError if it cannot be shown."""
        if isinstance(self.image, Path):
            return PictureFile(self.image).render()
        return as_shown(self.image, self.id)


def natural_pairs(study: Study, n: int) -> list[Pair]:
    """At most n pairs in a seeded order, each picture with one of its captions; none if the study names no set.

    Pictures that cannot be shown are left out, and the log says which. Raises PairsError for a set that cannot be read,
    and one without a picture that can be shown.
    """
    if not study.pairs:
        return []
    rng = np.random.default_rng([41, study.seed])
    folder = Path(study.pairs)
    rows = list(_of_folder(folder)) if folder.is_dir() else _of_hub(study.pairs)
    found: list[Pair] = []
    for i in rng.permutation(len(rows)):
        name, captions, image = rows[int(i)]
        pair = Pair(name, captions[int(rng.integers(len(captions)))].strip(), image)
        try:
            pair.render()
        except PictureError as error:
            log.warning("The picture %s is left out: %s", name, error)
            continue
        found.append(pair)
        if len(found) == n:
            break
    if not found:
        raise PairsError(f"{study.pairs!r} holds no picture with a caption that can be shown: name another set.")
    return found


def _of_folder(folder: Path) -> Iterator[tuple[str, list[str], Path]]:
    lines, table = folder / "metadata.jsonl", folder / "captions.json"
    try:
        if lines.is_file():
            rows = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines() if line.strip()]
            given = {row["file_name"]: next(row[key] for key in CAPTIONS if key in row) for row in rows}
        elif table.is_file():
            given = json.loads(table.read_text(encoding="utf-8"))
        else:
            raise PairsError(f"The folder {folder} holds neither metadata.jsonl nor captions.json: add one of them.")
        yield from ((name, _texts(captions), folder / name) for name, captions in given.items())
    except PairsError:
        raise
    except (OSError, ValueError, KeyError, StopIteration, AttributeError, RuntimeError, TypeError) as error:
        raise PairsError(
            f"The captions of {folder} cannot be read ({type(error).__name__}): each picture needs its file name and a "
            f"text or a list of texts."
        ) from error


def _of_hub(name: str) -> list[tuple[str, list[str], Image.Image]]:
    try:
        datasets: Any = importlib.import_module("datasets")  # large, and needed for nothing else
    except ImportError as error:
        raise PairsError(
            f"{name!r} is no folder here, and data sets of the hub need a package: pip install datasets."
        ) from error
    repo, _, revision = name.partition("@")
    try:
        splits = datasets.get_dataset_split_names(repo, revision=revision or None)
        split = next((wanted for wanted in SPLITS if wanted in splits), splits[0])
        rows: Any = datasets.load_dataset(repo, split=split, revision=revision or None)
    except Exception as error:  # the hub, its formats and the network fail in many ways
        raise PairsError(
            f"The data set {name!r} cannot be read ({type(error).__name__}): name a local folder."
        ) from error
    picture, caption = (_column(rows.column_names, wanted, name) for wanted in (PICTURES, CAPTIONS))
    return [(f"{repo}/{i}", _texts(row[caption]), row[picture]) for i, row in enumerate(rows)]


def _column(there: list[str], wanted: tuple[str, ...], name: str) -> str:
    found = next((column for column in wanted if column in there), None)
    if found is None:
        raise PairsError(f"{name!r} has the columns {', '.join(there)}, but needs one of {', '.join(wanted)}.")
    return found


def _texts(captions: Any) -> list[str]:
    """One or more texts, also as `datasets` nests them ({"raw": ...})."""
    if isinstance(captions, Mapping):
        captions = captions.get("raw", next(iter(captions.values())))
    texts = [captions] if isinstance(captions, str) else list(captions)
    texts = [text if isinstance(text, str) else text["raw"] for text in texts]
    if not texts or not all(text.strip() for text in texts):
        raise ValueError("a picture has no caption")
    return texts
