"""Tables of the band comparison: by hand on few answers, and the shipped results against plain counts."""

import numpy as np
import pytest

from paperlib.figures.rows import split
from paperlib.stats.bootstrap import Interval
from paperlib.study.study import Study
from paperlib.tasks.benchmarks import examples
from paperlib.tuning import band_tables as tables
from paperlib.tuning.band_results import BandResults, pictured
from paperlib.tuning.band_runs import Answer, read_reference


def run(arm, seed, right, other=()):
    """Answers to the first questions of two suites; ``right``: whether each is right, as digits."""
    asked = [("pictures", e) for e in examples("pictures", 6, seed)] + [("text", e) for e in examples("text", 6, seed)]

    def answers(digits):
        return [
            Answer(f"{seed} {suite} {e.id}", e.kind, suite, f"{seed} {e.group}", digit == "1")
            for (suite, e), digit in zip(asked, digits)
        ]

    return {"arm": arm, "seed": seed, "loss": [], "answers": answers(right), "other": answers(other)}


@pytest.fixture(scope="module")
def few():
    n = len(examples("pictures", 6, 0)) + len(examples("text", 6, 0))
    runs = [run(arm, 0, digits) for arm, digits in (("stage 1", "0" * n), ("full", "1" * n), ("mid", "10" * n))]
    return BandResults(runs)


@pytest.fixture(scope="module")
def shipped():
    return BandResults(read_reference(Study.make("mini")))


def test_chance_is_one_over_the_choices_of_each_question(few):
    chance = tables.chance_by_id(few)
    true = {f"0 pictures {e.id}": 1 / len(e.choices) for e in examples("pictures", 6, 0)}
    assert {i: c for i, c in chance.items() if " text " not in i} == true
    assert set(chance) == set(few.answers("full"))


def test_chance_is_known_of_every_shipped_question(shipped):
    chance = tables.chance_by_id(shipped)
    assert set(chance) == set(shipped.answers("full")) and 0 < min(chance.values()) <= max(chance.values()) <= 0.5


def test_columns_are_kinds_of_test_pictures_and_other_suites(few):
    rows = tables.column_rows(few)
    names = list(split(rows, "column"))
    assert names[-1] == "text-only questions" and {"name", "count", "chart value", "swap"} <= set(names)
    assert list(split(rows, "arm")) == ["chance", "stage 1", "full", "mid"]
    full = [r for r in rows if r["arm"] == "full"]
    assert {(r["accuracy"], r["minus full"]) for r in full} == {(100, 0)}
    grid = tables.table_map(rows, "minus full")
    assert grid[1] == [-100] * len(names) and grid[2] == [0] * len(names)


def test_a_table_has_a_gap_where_an_arm_was_not_asked():
    rows = [{"arm": "a", "column": "x", "v": 1.0}, {"arm": "b", "column": "y", "v": 2.0}]
    assert tables.table_map(rows, "v") == [[1.0, None], [None, 2.0]]


def test_an_arm_that_lacks_seeds_says_so(shipped):
    assert tables.with_seeds(shipped, "complement") == "complement (seed 0)"
    assert tables.with_seeds(shipped, "mid") == "mid" and tables.with_seeds(shipped, "stage 1") == "stage 1"


def test_what_arms_keep_and_gain(few):
    rows = {r["arm"]: r for r in tables.arm_rows(few)}
    assert list(rows) == ["stage 1", "full", "mid"]
    assert rows["stage 1"]["gains"].value == 0 and rows["full"]["gains"].value == rows["full"]["keeps"].value == 100
    assert rows["mid"]["mid minus it"] is None and rows["stage 1"]["text-only, minus stage 1"] is None
    n = len(few.answers("mid", pictured))
    assert rows["full"]["minus full"] == Interval(0, 0, 0, n)
    assert rows["mid"]["keeps"].value == pytest.approx(100 * -(-n // 2) / n) and rows["mid"]["n"] == n


def test_shipped_arms_are_those_of_the_results(shipped):
    rows = {r["arm"]: r for r in tables.arm_rows(shipped)}
    assert rows["mid"]["keeps"] == tables.percent(shipped.keeps("mid"))
    assert rows["mid, late entry"]["mid minus it"] == tables.percent(shipped.minus("mid", "mid, late entry"))
    assert rows["complement"]["seeds"] == "0" and rows["mid"]["seeds"] == "0, 1, 2"


def test_accuracies_by_seed_average_to_the_whole(shipped):
    rows = tables.accuracy_rows(shipped)
    mid = [r for r in rows if r["arm"] == "mid"]
    assert [r["seed"] for r in mid] == [0, 1, 2]
    whole = np.average([r["accuracy"] for r in mid], weights=[r["n"] for r in mid])
    assert whole == pytest.approx(100 * shipped.accuracy("mid"))


def test_gains_by_column_add_up_to_the_whole_gain(shipped):
    rows = tables.gain_rows(shipped)
    total = sum(r["gain of full"].value * r["n"] for r in rows)
    assert total / sum(r["n"] for r in rows) == pytest.approx(100 * shipped.minus("full", "stage 1").value)
    for r in rows:
        assert r["gain of full"].value == pytest.approx(r["full"].value - r["stage 1"].value)
        assert r["full"].low <= r["full"].value <= r["full"].high and 0 < r["chance"] <= 50


def test_the_share_of_one_kind_against_a_plain_count(shipped):
    full, before = shipped.answers("full", pictured), shipped.answers("stage 1", pictured)
    more = {i: a.correct - before[i].correct for i, a in full.items()}
    counting = sum(v for i, v in more.items() if full[i].kind == "count") / sum(more.values())
    assert tables.share_of_gain(shipped, "count").value == pytest.approx(100 * counting)
    assert tables.share_of_gain(shipped, "no such kind").value == 0


def test_without_a_gain_there_is_no_share_of_it(few):
    same = BandResults([run(arm, 0, "10" * 20) for arm in ("stage 1", "full")])
    assert tables.share_of_gain(same, "count") is None


def test_the_gain_from_the_picture(shipped):
    rows = {r["arm"]: r for r in tables.looking_rows(shipped)}
    assert list(rows) == ["stage 1", "full", "mid"]
    for r in rows.values():
        assert r["own picture"] - r["other picture"] == pytest.approx(r["gain from the picture"].value)


def test_live_answers_are_compared_where_both_were_asked(few):
    recorded = list(few.answers("full").values())
    flipped = [recorded[0], Answer(**{**recorded[1].__dict__, "correct": False}), Answer("new", "x", "x", "x", True)]
    assert tables.live_rows(few, {"full": flipped}) == [
        {"arm": "full", "accuracy": pytest.approx(200 / 3), "n": 3, "as recorded": 50.0, "asked both times": 2}
    ]
    assert tables.live_rows(few, {"full": flipped[2:]})[0]["as recorded"] is None


def test_who_is_beaten_by_none_in_both():
    points = {"a": (50, 1), "b": (60, 2), "c": (60, 1), "d": (70, 2), "e": (40, -1)}
    rows = [{"arm": k, "x": Interval(x, x, x, 2), "y": Interval(y, y, y, 2)} for k, (x, y) in points.items()]
    assert tables.unbeaten(rows, "x", "y") == ["a", "b", "e"]


def test_units_are_those_of_the_columns_that_are_there(few):
    assert tables.units([{"arm": "mid", "keeps": 1, "n": 2}]) == {"keeps": "%"}
    assert tables.units(tables.arm_rows(few))["minus full"] == "points"


def test_another_unit_changes_value_and_ends():
    assert tables.percent(Interval(0.5, 0.25, 1, 7)) == Interval(50, 25, 100, 7) and tables.percent(None) is None
