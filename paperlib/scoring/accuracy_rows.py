"""From records to rows of tables: accuracy by kind of question beside chance, and how probable each choice is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from paperlib.scoring.records import MEAN_PER_TOKEN, Record
from paperlib.stats.accuracy import accuracy, chance
from paperlib.tasks.benchmarks import Example


def accuracy_rows(
    found: Mapping[str, Sequence[Record]], series: str, kind: Callable[[Record], str] = lambda record: record.kind
) -> list[dict]:
    """{series: name, "kind", "accuracy", "chance"} for each named set of records and each kind in it, as shares.

    series: the column that holds the names. kind: what tells kinds apart, such as `kind_and_side`.
    """
    rows = []
    for name, records in found.items():
        parts: dict[str, list[Record]] = {}
        for record in records:
            parts.setdefault(kind(record), []).append(record)
        rows += [
            {series: name, "kind": k, "accuracy": accuracy(part), "chance": chance(part)} for k, part in parts.items()
        ]
    return rows


def kind_and_side(record: Record) -> str:
    """The kind of a record's question, and whether it is about a held-out concept."""
    return f"{record.kind}{' (held out)' if '/held-out/' in record.id else ''}"


def against_chance(rows: Sequence[Mapping], series: str) -> dict[str, dict[str, list[str]]]:
    """For each name in the column ``series`` of `accuracy_rows`: kinds whose interval lies "above" chance, "below" it,
    or holds it ("at").
    """
    found: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        places = found.setdefault(row[series], {"above": [], "below": [], "at": []})
        low, high = row["accuracy"].low, row["accuracy"].high
        place = "above" if low > row["chance"] else "below" if high < row["chance"] else "at"
        places[place].append(row["kind"])
    return found


def share_rows(found: Mapping[str, Sequence[Record]], examples: Sequence[Example]) -> list[dict]:
    """{"stage", "question", "answer", "choices", "probabilities"} for each stage's record of each example."""
    return [
        {
            "stage": stage,
            "question": example.question,
            "answer": example.answer,
            "choices": list(example.choices),
            "probabilities": choice_shares(record).tolist(),
        }
        for stage, records in found.items()
        for example, record in zip(examples, records, strict=True)
    ]


def choice_shares(record: Record) -> np.ndarray:
    """The model's probability of each choice, made to sum to 1 over the choices, [choices].

    Choices are compared as `paperlib.scoring.records` says: by their summed log-probability, or per token for captions.
    """
    scores = np.array(record.logprobs)
    if record.benchmark in MEAN_PER_TOKEN:
        scores = scores / np.array(record.tokens)
    p = np.exp(scores - scores.max())
    return p / p.sum()
