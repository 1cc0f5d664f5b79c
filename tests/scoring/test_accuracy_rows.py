"""Rows of tables from records."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from paperlib.scoring.accuracy_rows import accuracy_rows, against_chance, choice_shares, kind_and_side, share_rows
from paperlib.scoring.records import Record, answer_probability
from paperlib.stats.accuracy import accuracy
from paperlib.stats.bootstrap import Interval
from paperlib.tasks.benchmarks import Example

RECORDS = [
    Record(f"scenes/test/{kind}/{i}", kind, "scenes", f"g{i}", "a", said, said == "a", (-1.0, -2.0), (1, 3))
    for i, (kind, said) in enumerate([("name", "a"), ("name", "b"), ("count", "a"), ("name", "a")])
]


def test_a_row_for_each_series_and_kind():
    rows = accuracy_rows({"tuned": RECORDS, "stage 1": RECORDS[:1]}, "stage")
    assert [(row["stage"], row["kind"]) for row in rows] == [("tuned", "name"), ("tuned", "count"), ("stage 1", "name")]
    assert rows[0]["accuracy"] == accuracy([r for r in RECORDS if r.kind == "name"]) and rows[0]["accuracy"].n == 3
    assert all(row["chance"] == 0.5 for row in rows)


def test_held_out_concepts_are_a_kind_of_their_own():
    held = replace(RECORDS[0], id="scenes/held-out/name/0")
    rows = accuracy_rows({"tuned": [*RECORDS, held]}, "stage", kind_and_side)
    assert [row["kind"] for row in rows] == ["name", "count", "name (held out)"]


@pytest.mark.parametrize("name", ["scenes", "captions"])
def test_shares_are_the_probabilities_among_the_choices(name):
    record = replace(RECORDS[0], benchmark=name)
    p = choice_shares(record)
    lengths = np.array(record.tokens) if name == "captions" else 1
    expected = np.exp(np.array(record.logprobs) / lengths)
    assert p == pytest.approx(expected / expected.sum())
    example = SimpleNamespace(benchmark=name, choices=("a", "b"), answer="a")
    assert p[0] == pytest.approx(answer_probability(example, record))


def test_kinds_are_told_apart_by_chance():
    rows = [
        {"stage": "tuned", "kind": kind, "accuracy": Interval(0.5, low, high, 9), "chance": 0.5}
        for kind, low, high in [("a", 0.51, 0.6), ("b", 0.4, 0.49), ("c", 0.5, 0.6), ("d", 0.4, 0.5)]
    ]
    assert against_chance(rows, "stage") == {"tuned": {"above": ["a"], "below": ["b"], "at": ["c", "d"]}}


def test_rows_of_shares_keep_question_and_choices_together():
    example = Example("x", "own", "own", "own", "Which?", "a", ("a", "b"), None, "g")
    (row,) = share_rows({"tuned": RECORDS[:1]}, [example])
    assert row["stage"] == "tuned" and row["choices"] == ["a", "b"] and row["answer"] == "a"
    assert row["probabilities"] == choice_shares(RECORDS[0]).tolist()
    with pytest.raises(ValueError):
        share_rows({"tuned": RECORDS}, [example])
