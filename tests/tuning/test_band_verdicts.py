"""C6 on planted answers: a band as good as full tuning, one that gains nothing, and what the rule can return."""

import numpy as np
import pytest

from paperlib.stats.bootstrap import Interval
from paperlib.stats.conditions import INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED
from paperlib.study.study import Study
from paperlib.tuning import band_verdicts as verdicts
from paperlib.tuning.band_results import BandResults
from paperlib.tuning.band_runs import Answer, read_reference
from paperlib.tuning.band_tables import percent

CHEAP, DEAR = Interval(0.7, 0.6, 0.8, 4), Interval(1.2, 1.1, 1.3, 4)


def planted(n=300, **shares):
    """Three seeds of arms, each right on a share of the questions; a better arm is right wherever a worse one is."""
    runs = []
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(n)
        for arm, share in ({"stage 1": 0.4, "full": 0.9} | shares).items():
            answers = [
                Answer(f"{seed} pictures {i}", "name", "pictures", f"{seed} p{i}", bool(order[i] < share * n))
                for i in range(n)
            ]
            runs.append({"arm": arm, "seed": seed, "loss": [], "answers": answers, "other": []})
    return BandResults(runs)


def test_a_band_as_good_as_full_tuning_is_supported_if_it_is_cheaper():
    assert verdicts.judge(planted(mid=0.9), "mid", CHEAP).word == SUPPORTED
    assert verdicts.judge(planted(mid=0.9), "mid", DEAR).word == NOT_SUPPORTED


def test_a_band_that_gains_nothing_is_not_supported_and_few_questions_decide_nothing():
    assert verdicts.judge(planted(mid=0.4), "mid", CHEAP).word == NOT_SUPPORTED
    assert verdicts.judge(planted(n=12, mid=0.8), "mid", CHEAP).word == INCONCLUSIVE


def test_the_middle_must_beat_every_rival():
    assert verdicts.is_it_the_middle(planted(mid=0.8, early=0.6, late=0.6, sparse=0.6)) == "yes"
    assert verdicts.is_it_the_middle(planted(mid=0.8, early=0.6, late=0.9, sparse=0.6)) == "no"
    assert verdicts.is_it_the_middle(planted(mid=0.8, early=0.6, late=0.6)) == "open"


def test_rivals_are_compared_alone_and_as_one_of_three():
    results = planted(mid=0.8, early=0.6, sparse=0.85)
    rows = {r["rival"]: r for r in verdicts.rival_rows(results)}
    assert list(rows) == ["early", "sparse"] and rows["early"]["seeds"] == "0, 1, 2"
    assert rows["early"]["mid minus it"] == percent(results.minus("mid", "early"))
    for row in rows.values():
        assert row["corrected"].low <= row["mid minus it"].low <= row["mid minus it"].high <= row["corrected"].high


def test_conditions_ask_fewer_questions_or_make_other_intervals():
    results = BandResults(read_reference(Study.make("mini")))
    rows = {r["questions"]: r for r in verdicts.condition_rows(results)}
    rule = rows["by the rule"]
    assert rule["keeps"] == percent(results.keeps("mid")) and rule["n"] == 1740
    assert sum(rows[f"seed {s} alone"]["n"] for s in range(3)) == rule["n"]
    suites = ("pictures", "POPE", "held-out concepts", "easy-VQA")
    assert sum(rows[f"{suite} alone"]["n"] for suite in suites) == rule["n"]
    narrow = rows["90 % intervals"]["keeps"]
    assert rule["keeps"].low < narrow.low < narrow.high < rule["keeps"].high and narrow.value == rule["keeps"].value
    assert rows["without counting"]["n"] == 1740 - 120


def test_how_often_a_rule_supports_what_is_alike():
    results = planted(mid=0.85, late=0.5)
    assert verdicts.how_often_supported(results, "full", CHEAP, n=4) == 100
    assert verdicts.how_often_supported(results, "late", CHEAP, n=4) == 0
    assert verdicts.how_often_supported(results, "full", DEAR, n=2) == 0


@pytest.mark.parametrize(
    "estimate, needed",
    [
        (Interval(0.98, 0.94, 1.02, 100), 364),  # 100 ((1.96 + 0.842) / 1.96 x 0.04 / 0.03)^2
        (Interval(0.98, 0.92, 1.04, 100), 818),
        (Interval(0.98, 0.96, 1.00, 100), 100),
        (Interval(0.95, 0.90, 1.00, 100), None),
        (None, None),
    ],
)
def test_questions_that_would_be_enough(estimate, needed):
    assert verdicts.questions_needed(estimate, 0.95) == needed
