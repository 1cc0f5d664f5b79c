"""Results as a reader sees them: tables of rows, single values, and lists that are grouped by a word."""

from collections.abc import Mapping, Sequence

import pandas as pd

from paperlib.stats.bootstrap import Interval
from paperlib.stats.words import listed


def frame(
    rows: Sequence[Mapping], formats: str | Mapping[str, str] = ".3g", columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Rows as a table to look at; the first column names the lines.

    formats: how numbers and intervals are written, in all columns or by column. A value that does not exist is a dash.
    columns: only these, in this order.
    """
    names = list(rows[0]) if columns is None else list(columns)
    specs = {c: formats if isinstance(formats, str) else formats.get(c, ".3g") for c in names}
    lines = [[written(row[c], specs[c]) for c in names] for row in rows]
    return pd.DataFrame(lines, columns=names).set_index(names[0])


def written(value: object, spec: str = ".3g", none: str = "–") -> str:
    """A number or an interval as ``spec`` says, a whole number with its thousands apart, a text as it is.

    ``none`` is written for a value that does not exist.
    """
    if value is None:
        return none
    if isinstance(value, int):
        return f"{value:,}"
    return format(value, spec) if isinstance(value, float | Interval) else str(value)


def by_word(words: Mapping[str, str]) -> str:
    """Things grouped by the word that holds of them: {"a": "ahead of", "b": "behind"} is "ahead of a; behind b"."""
    groups = {word: [name for name, other in words.items() if other == word] for word in words.values()}
    return "; ".join(f"{word} {listed(names)}" for word, names in groups.items())
