"""Rows of a public benchmark, from the hub or from a folder in the same schema.

A source is None (the card's own data set), the id of a data set of the hub, alone or with a revision
("owner/name@commit"), or a folder. A folder holds the split's rows as parquet, JSON (a list of rows) or JSONL, named as
the hub names its files: ``test.json``, ``data/test-00000-of-00002.parquet`` or ``default/test/0000.parquet``. Pictures
lie in the rows, or in files whose names begin at the folder.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paperlib.study.checks import shown
from paperlib.tasks.benchmarks.card import MAIN, Card, SourceError

Row = dict[str, Any]
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@\S+)?")
FORMATS = (".parquet", ".json", ".jsonl")
EXTRA = "pip install 'paperlib[benchmarks]'"


@dataclass(frozen=True)
class Table:
    """The rows of a split, read as they are asked for.

    ``name`` says where they are from, with the commit for the hub; names of picture files begin at ``folder``.
    """

    name: str
    folder: Path | None
    rows: Iterator[Row]


def open_table(card: Card, source: str | Path | None = None, split: str | None = None) -> Table:
    """The rows of a card's split (or another one) from a source. Nothing but names is read before the first row.

    Raises SourceError for a source that is not there, a split or configuration that it does not have, a package that is
    missing, and, while rows are read, files that cannot be read and rows that lack a column of the card.
    """
    source = f"{card.hub}@{card.revision}" if source is None else source
    split = card.split if split is None else split
    folder = Path(source).expanduser()
    if folder.is_dir():
        files = _files(card, folder, split)
        return Table(str(source), folder, _checked(card, str(source), rows_of_files(files)))
    if not isinstance(source, str) or not HUB_ID.fullmatch(source):
        raise SourceError(
            f"{shown(str(source))} is neither a folder here nor a data set of the hub: give a folder, or an id such as "
            f"{card.hub}."
        )
    repository, _, revision = source.partition("@")
    commit = _commit(repository, revision or (card.revision if repository == card.hub else MAIN))
    name = f"{repository}@{commit}"
    return Table(name, None, _checked(card, name, _of_hub(card, repository, commit, split)))


def _checked(card: Card, name: str, rows: Iterator[Row]) -> Iterator[Row]:
    for row in rows:
        if not isinstance(row, dict) or not set(card.columns) <= row.keys():
            found = ", ".join(map(str, row)) if isinstance(row, dict) else f"no row but {type(row).__name__}"
            raise SourceError(f"{card.name} needs the columns {', '.join(card.columns)}, but {name} has {found}.")
        yield row


# --- a folder


def _files(card: Card, folder: Path, split: str) -> list[Path]:
    """The files of a split, of the card's configuration where the folder has one of that name."""
    every = sorted(file for file in folder.rglob("*") if file.suffix in FORMATS)
    every = [file for file in every if card.config in file.relative_to(folder).parts] or every
    if not every:
        raise SourceError(f"The folder {folder} holds no file of {', '.join(FORMATS)}: put {card.name}'s rows there.")
    names = {file: split_of(file, folder) for file in every}
    if split not in names.values():
        raise SourceError(
            f"{card.name} needs the split {split!r}, but the folder {folder} has "
            f"{', '.join(sorted(set(names.values())))}."
        )
    return [file for file in every if names[file] == split]


def split_of(file: Path, folder: Path) -> str:
    """The split that a file's name says: test.json, test-00000-of-00002.parquet, test/0000.parquet."""
    stem = re.split(r"[-.]", file.stem)[0]
    return file.parent.name if stem.isdecimal() and file.parent != folder else stem


def rows_of_files(files: list[Path]) -> Iterator[Row]:
    """The rows of files in order. Raises SourceError, while rows are read, for a file that cannot be read."""
    for file in files:
        with told(file):
            if file.suffix == ".parquet":
                yield from _of_parquet(file)
            elif file.suffix == ".jsonl":
                with file.open(encoding="utf-8") as lines:
                    yield from (json.loads(line) for line in lines if line.strip())
            else:
                rows = json.loads(file.read_text(encoding="utf-8"))
                if not isinstance(rows, list):
                    raise SourceError(f"{file.name} must hold a list of rows, got {type(rows).__name__}.")
                yield from rows


@contextlib.contextmanager
def told(file: Path) -> Iterator[None]:
    """A block that reads a file: what fails is told in one sentence, as a SourceError."""
    try:
        yield
    except SourceError:
        raise
    except (OSError, ValueError, RecursionError) as error:  # pyarrow's and json's errors are ValueErrors
        raise SourceError(
            f"{file.name} cannot be read as {file.suffix.removeprefix('.')} ({type(error).__name__}): fetch it again."
        ) from error


def _of_parquet(file: Path) -> Iterator[Row]:
    parquet: Any = _needed("pyarrow.parquet", f"{file.name} is parquet, which needs a package: {EXTRA}.")
    with parquet.ParquetFile(file) as table:
        for batch in table.iter_batches(batch_size=64):
            yield from batch.to_pylist()


# --- the hub


def _of_hub(card: Card, repository: str, commit: str, split: str) -> Iterator[Row]:
    """Rows as they stream in. Pictures stay encoded, so that one which is damaged ends no run."""
    datasets: Any = _needed(
        "datasets", f"{repository} is no folder here, and data sets of the hub need a package: {EXTRA}."
    )
    try:
        _check_names(card, repository, commit, split, datasets)
        stream = datasets.load_dataset(repository, card.config, split=split, revision=commit, streaming=True)
        for column, feature in (stream.features or {}).items():
            if (encoded := _encoded(feature, datasets)) is not feature:
                stream = stream.cast_column(column, encoded)
        yield from stream
    except SourceError:
        raise
    except Exception as error:  # the hub, its formats and the network fail in many ways
        raise SourceError(
            f"{card.name} cannot be read from {repository!r} at {commit!r} ({type(error).__name__}): check the id, the "
            f"revision and the connection, or give a folder."
        ) from error


def hub_file(place: str, file: str) -> tuple[str, Path]:
    """A file of a data set of the hub ("owner/name", alone or with "@revision"): its name with the commit, and a copy.

    Raises SourceError for anything else, and where it cannot be fetched.
    """
    if not HUB_ID.fullmatch(place):
        raise SourceError(f"{shown(place)} is no data set of the hub: give owner/name or owner/name@revision.")
    repository, _, revision = place.partition("@")
    commit = _commit(repository, revision or MAIN)
    try:
        from huggingface_hub import hf_hub_download

        path = hf_hub_download(repository, file, repo_type="dataset", revision=commit)
    except Exception as error:  # the hub and the network fail in many ways
        raise SourceError(
            f"{file!r} cannot be fetched from {repository!r} at {commit!r} ({type(error).__name__}): check the names "
            f"and the connection, or give a file."
        ) from error
    return f"{repository}@{commit}:{file}", Path(path)


def _encoded(feature: Any, datasets: Any) -> Any:
    """A feature whose pictures, alone or in a list, are not decoded."""
    if isinstance(feature, datasets.Image):
        return datasets.Image(decode=False)
    inner = getattr(feature, "feature", None)
    return type(feature)(_encoded(inner, datasets)) if isinstance(inner, datasets.Image) else feature


def _check_names(card: Card, repository: str, commit: str, split: str, datasets: Any) -> None:
    configs = datasets.get_dataset_config_names(repository, revision=commit)
    if card.config is not None and card.config not in configs:
        raise SourceError(
            f"{card.name} needs the configuration {card.config!r}, but {repository} has {', '.join(configs)}."
        )
    if card.config is None and len(configs) > 1 and "default" not in configs:
        raise SourceError(
            f"{card.name} needs all rows in one configuration, but {repository} has "
            f"{', '.join(configs)}: use {card.hub}."
        )
    splits = datasets.get_dataset_split_names(repository, card.config, revision=commit)
    if split not in splits:
        raise SourceError(f"{card.name} needs the split {split!r}, but {repository} has {', '.join(splits)}.")


def _commit(repository: str, revision: str) -> str:
    """The commit that a branch is at now; the revision itself where the hub cannot be asked."""
    if re.fullmatch(r"[0-9a-f]{40}", revision):
        return revision
    try:
        from huggingface_hub import HfApi  # takes a while to import, and a folder needs none of it

        return HfApi().dataset_info(repository, revision=revision, timeout=20).sha or revision
    except Exception:  # no connection, for one: `datasets` then says what is wrong, or reads its cache
        return revision


def _needed(module: str, message: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SourceError(message) from error
