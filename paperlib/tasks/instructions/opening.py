"""Instructions from files or the hub, in a seeded order that begins anywhere, pass after pass."""

from __future__ import annotations

import abc
import contextlib
import itertools
from array import array
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from paperlib.study.checks import shown, whole
from paperlib.tasks.benchmarks.card import Card, SourceError
from paperlib.tasks.benchmarks.hub_rows import FORMATS, Row, hub_file, open_table, rows_of_files, split_of
from paperlib.tasks.instructions.instruction import Instruction, Refused
from paperlib.tasks.instructions.json_rows import Place, row_at, rows_with_places
from paperlib.tasks.instructions.schemas import Files, identity_of, instruction_of, schema_of
from paperlib.tasks.instructions.shuffles import buffered, permutation

FIRST = 5  # of refused rows, so many ids are in a report
CARD = Card(
    name="Tuning on instructions",
    hub="HuggingFaceH4/llava-instruct-mix-vsft",
    split="train",
    columns=(),  # they depend on the schema
    licence="as the card on the hub says",
    citation="Liu et al. 2023, Visual Instruction Tuning, arXiv 2304.08485",
    metric="none",
    prompts={},
)
# The file that LLaVA-1.5 was tuned on, of repositories that hold several.
MAIN_FILES = {
    "liuhaotian/LLaVA-Instruct-150K": "llava_v1_5_mix665k.json",
    "liuhaotian/LLaVA-Pretrain": "blip_laion_cc_sbu_558k.json",
}


class Instructions(abc.ABC):
    """Instructions in a seeded order. ``name`` says where they are from, with the commit for the hub.

    ``size`` is how many a pass has: known at once for JSON, and after the first pass (until then None) for a stream.
    """

    size: int | None = None

    def __init__(self, name: str, seed: int, files: Files):
        self.name, self.seed, self.files = name, seed, files
        self._rows = self._text_only = 0
        self._refused: dict[str, dict[int, str]] = {}  # reason -> {number of the row: its id}

    def examples(self, start: int = 0) -> Iterator[Instruction]:
        """Instructions without end, from position ``start`` on; each pass has an order of its own.

        Source, seed and start decide what comes: ``examples(n)`` gives what ``examples()`` gives after n. No picture is
        decoded here: one that is broken keeps its position, and is refused where it is opened.
        Raises SourceError if no row can be used, and for files or rows that cannot be read.
        """
        return self._examples(whole(start, "start", 0))

    def report(self) -> dict[str, Any]:
        """What was read so far, each row counted once.

        {"rows": all, "used": how many of them, "text-only": how many of those, "refused": {reason: {"rows": how many,
        "first": their first ids}}}. A broken picture is counted when it is opened.
        """
        refused = {
            reason: {"rows": len(found), "first": list(found.values())[:FIRST]}
            for reason, found in self._refused.items()
        }
        used = self._rows - len(set().union(*self._refused.values()))
        return {"rows": self._rows, "used": used, "text-only": self._text_only, "refused": refused}

    @abc.abstractmethod
    def _examples(self, start: int) -> Iterator[Instruction]: ...

    def _made(self, row: Any, number: int) -> Instruction | None:
        """The instruction of a row, or None where it is refused; either is counted once."""
        schema = schema_of(row, self.name)
        identity, made = identity_of(row, number), None
        try:
            made = instruction_of(
                row, number, schema, self.files, lambda: self._refuse("broken picture", number, identity)
            )
        except Refused as reason:
            self._refuse(str(reason), number, identity)
        if number >= self._rows:
            self._rows = number + 1
            self._text_only += made is not None and not made.pictures
        return made

    def _refuse(self, reason: str, number: int, identity: str) -> None:
        self._refused.setdefault(reason, {}).setdefault(number, identity)

    def _check_any(self, n: int) -> None:
        if not n:
            why = ", ".join(f"{reason}: {len(found)}" for reason, found in self._refused.items()) or "there is none"
            raise SourceError(f"{self.name} holds no row that can be tuned on ({why}): give another source.")


class IndexedInstructions(Instructions):
    """Rows of JSON files, shuffled as a whole. Only where each stands is held in memory."""

    def __init__(self, name: str, seed: int, pictures: Files, paths: list[Path]):
        super().__init__(name, seed, pictures)
        self.paths, self._places = paths, array("q")  # of each row: its number, its file, where it begins, its bytes
        number = 0
        for which, path in enumerate(paths):
            for place, row in rows_with_places(path):
                if self._made(row, number) is not None:
                    self._places.extend((number, which, *place))
                number += 1
        self.size = len(self._places) // 4
        self._check_any(self.size)

    def _examples(self, start: int) -> Iterator[Instruction]:
        size = len(self._places) // 4
        epoch, first = divmod(start, size)
        with contextlib.ExitStack() as stack:
            streams = [stack.enter_context(path.open("rb")) for path in self.paths]
            for passed in itertools.count(epoch):
                for i in permutation(size, self.seed, passed)[first:].tolist():
                    number, which, *place = self._places[4 * i : 4 * i + 4]
                    made = self._made(row_at(self.paths[which], streams[which], Place(*place)), number)
                    if made is None:
                        raise SourceError(f"{self.paths[which].name} was changed while it was read: open it again.")
                    yield made
                first = 0


class StreamedInstructions(Instructions):
    """Rows that stream by, shuffled within a buffer. To begin later, earlier rows are read and let go."""

    def __init__(self, name: str, seed: int, pictures: Files, rows: Callable[[], Iterable[Row]]):
        super().__init__(name, seed, pictures)
        self.rows = rows

    def _examples(self, start: int) -> Iterator[Instruction]:
        epoch, first = divmod(start, self.size) if self.size else (0, start)
        while True:
            n = 0
            made = (self._made(row, number) for number, row in enumerate(self.rows()))
            for instruction in buffered((one for one in made if one is not None), self.seed, epoch):
                n += 1
                if n > first:
                    yield instruction
            self._check_any(n)
            self.size = n
            passes = max(1, first // n)
            epoch, first = epoch + passes, max(0, first - passes * n)


def open_instructions(source: str | Path, seed: int = 0, pictures: str | Path | None = None) -> Instructions:
    """Instructions in one of the schemas of `schemas`.

    Args:
        source: a file of JSON, JSONL or parquet; a folder that holds one, or those of a split "train"; the id of a data
            set of the hub ("owner/name"), alone or with a revision ("owner/name@commit"), which streams; or such an id
            with a file of JSON ("owner/name@commit:rows.json"), which is fetched. For LLaVA's own repositories the file
            that LLaVA-1.5 was tuned on is taken.
        seed: of the order.
        pictures: folder where names of picture files begin. By default that of the source.

    JSON is read once from end to end here, which counts what is refused. Raises SourceError for a source that is not
    there or cannot be read, without a usable row, or in another schema.
    """
    seed = whole(seed, "seed", 0)
    given = Path(source).expanduser()
    if not given.exists() and (isinstance(source, Path) or (given.suffix in FORMATS and ":" not in source)):
        raise SourceError(f"There is no file or folder {shown(str(source))}: give one, or a data set of the hub.")
    if not given.exists():
        return _of_hub(str(source), seed, Files(None if pictures is None else _folder(pictures)))
    folder = given if given.is_dir() else given.parent
    files = Files(folder if pictures is None else _folder(pictures))
    paths = _paths(given) if given.is_dir() else [given]
    if unknown := [path.name for path in paths if path.suffix not in FORMATS]:
        raise SourceError(f"{unknown[0]} is no file of {', '.join(FORMATS)}: give one of these.")
    return _of_paths(str(source), seed, files, paths)


def _of_paths(name: str, seed: int, files: Files, paths: list[Path]) -> Instructions:
    if any(path.suffix == ".parquet" for path in paths):
        return StreamedInstructions(name, seed, files, lambda: rows_of_files(paths))
    return IndexedInstructions(name, seed, files, paths)


def _of_hub(source: str, seed: int, files: Files) -> Instructions:
    place, _, file = source.partition(":")
    file = file or MAIN_FILES.get(place.partition("@")[0], "")
    if file:
        name, path = hub_file(place, file)
        return _of_paths(name, seed, files, [path])
    name = open_table(CARD, source).name  # with the commit, so that each pass reads the same
    return StreamedInstructions(name, seed, files, lambda: open_table(CARD, name).rows)


def _folder(pictures: str | Path) -> Path:
    folder = Path(pictures).expanduser()
    if not folder.is_dir():
        raise SourceError(f"There is no folder {shown(str(pictures))}: give the one that holds the pictures.")
    return folder


def _paths(folder: Path) -> list[Path]:
    """The files of a folder that hold its rows. Where some lie at its top, folders of pictures are not walked."""
    found = sorted(path for path in folder.iterdir() if path.suffix in FORMATS)
    found = found or sorted(path for path in folder.rglob("*") if path.suffix in FORMATS)
    train = [path for path in found if split_of(path, folder) == CARD.split]
    if not train and len(found) != 1:
        names = ", ".join(sorted({path.name for path in found})[:5]) or "none"
        raise SourceError(
            f"{folder} must hold one file of {', '.join(FORMATS)}, or those of the split {CARD.split!r}, but has "
            f"{names}: name one file."
        )
    return train or found
