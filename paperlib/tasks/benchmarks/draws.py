"""Examples drawn from the rows of a public benchmark; rows whose picture cannot be shown are left out and counted."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paperlib.study.checks import shown, whole
from paperlib.tasks.benchmarks.card import Card, SourceError
from paperlib.tasks.benchmarks.example import Example
from paperlib.tasks.benchmarks.hub_rows import Row, Table, open_table
from paperlib.tasks.pictures import PictureError

log = logging.getLogger(__name__)


def draw(
    card: Card, source: str | Path | None, n: int | None, seed: int, example_of: Callable[[Row, int, Table], Example]
) -> list[Example]:
    """Draw n examples from a card's split evenly; for None all, in the order of the rows.

    Every row gets a random number from the seed, and the rows with the smallest are taken. So a larger n adds examples
    to those of a smaller one, and a stream needs no memory but for the n rows; it is read to its end.

    Args:
        card: of the benchmark.
        source: as in `hub_rows.open_table`.
        n: at most so many examples.
        seed: of the draw.
        example_of: makes an example of a row, its number and the table. Where it raises PictureError the row is left
            out, and the log says which and how many.

    Raises SourceError as `hub_rows.open_table`, if no row is left, or if two examples have one id.
    """
    n, seed = None if n is None else whole(n, "n"), whole(seed, "seed", 0)
    table, rng = open_table(card, source), np.random.default_rng([43, seed])
    drawn: list[tuple[float, int, Example]] = []  # a heap, the largest number first
    looked_at = left_out = 0
    for number, row in enumerate(table.rows):
        place = rng.random()
        if n is not None and len(drawn) == n and place >= -drawn[0][0]:
            continue
        looked_at += 1
        try:
            made = (-place, number, example_of(row, number, table))
        except PictureError as error:
            left_out += 1
            log.warning("%s: a row is left out: %s", card.name, error)
            continue
        heapq.heappushpop(drawn, made) if len(drawn) == n else heapq.heappush(drawn, made)
    if left_out:
        log.warning("%s: of %d rows looked at, %d are left out.", card.name, looked_at, left_out)
    drawn.sort(key=lambda made: made[1] if n is None else -made[0])
    examples = [example for _, _, example in drawn]
    if not examples:
        raise SourceError(f"{table.name} holds no row that {card.name} can use: give another source.")
    if len({example.id for example in examples}) < len(examples):
        raise SourceError(f"{table.name} holds rows of {card.name} with the same id: leave out what is there twice.")
    return examples


def text_of(row: Row, column: str, identity: str, empty: bool = False) -> str:
    """The text in a column. Raises SourceError, with the row's id, for anything else, or an empty text unless
    allowed.
    """
    value = row[column]
    if not isinstance(value, str) or not (empty or value.strip()):
        raise refused(column, identity, "a text", value)
    return value


def texts_of(row: Row, column: str, identity: str, least: int = 1) -> list[str]:
    """The list of texts in a column. Raises SourceError, with the row's id, for anything else or fewer than `least`."""
    value = row[column]
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)) or len(value) < least:
        raise refused(column, identity, f"a list of at least {least} texts", value)
    if not all(isinstance(text, str) for text in value):
        raise refused(column, identity, f"a list of at least {least} texts", value)
    return list(value)


def refused(column: str, identity: str, wanted: str, value: Any) -> SourceError:
    """The error for a value that a column must not hold."""
    return SourceError(f"The column {column!r} of row {identity} must hold {wanted}, got {shown(value)}.")
