"""Tests of paperlib.stats.ledger: conditions are read back as the rules had them, and margins are by hand."""

import pytest

from paperlib.stats.conditions import above, at_least, inside
from paperlib.stats.interval import Interval
from paperlib.stats.ledger import _TABLES, EDGE, Part, conditions_of, would_change
from paperlib.stats.tables import write_table
from paperlib.stats.votes import THIRD
from paperlib.study import Study
from paperlib.study.results import ResultError


def part(conditions, share=False):
    return Part("C1", "bypass", "what remains", tuple(conditions), share)


@pytest.mark.parametrize(
    ("estimate", "margin", "state"),
    [
        ((2.0, 1.0, 4.0), (2.0, 1.0, 4.0), "for"),  # 2 above 0, one unit to the near end
        ((1.0, -1.0, 2.0), (0.5, -0.5, 1.0), "open"),
        ((-3.0, -5.0, -2.0), (-3.0, -5.0, -2.0), "against"),
        ((9.0, 8.9, 9.1), (EDGE, EDGE, EDGE), "for"),  # far away: at the edge
        ((1.0, 1.0, 1.0), (EDGE, EDGE, EDGE), "for"),  # without width
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), "open"),
    ],
)
def test_margins_in_half_widths(estimate, margin, state):
    made = part([above(Interval(*estimate, 10))])
    assert made.margin[:3] == pytest.approx(margin) and made.state == state


def test_of_two_borders_the_nearer_end_counts():
    within = part(inside(Interval(0.5, 0.4, 0.6, 10), THIRD))  # 1/6 from either; 0.0667 at the nearer ends
    assert within.margin[:3] == pytest.approx([(1 / 6) / 0.1, (1 / 15) / 0.1, (4 / 15) / 0.1]) and within.state == "for"
    across = part(inside(Interval(0.6, 0.0, 0.7, 10), THIRD))
    assert across.state == "open" and across.margin.low < 0 < across.margin.high
    late = part(inside(Interval(0.9, 0.8, 0.95, 10), THIRD))
    assert late.state == "against" and late.margin.high < 0


def test_what_would_change_names_what_does_not_hold():
    holds, lacks = above(Interval(2.0, 1.0, 3.0, 9)), at_least(Interval(0.5, 0.3, 0.7, 9), 0.9)
    said = would_change([part([holds]), part([lacks], share=True)])
    assert said == "What remains is 50 % [30, 70] (asked: at least 90 %)."
    assert would_change([part([holds])]) == "Every condition holds."


@pytest.mark.parametrize(("table", "claims"), [
    ("02_votes", {"C2"}), ("03_conditions", {"C1", "C2"}), ("04_entry_depth", {"C1"}), ("04_phase_change", {"C4"}),
    ("04_gain_conditions", {"C5"}), ("05_conditions", {"C6"}), ("05_cost", {"C6"}), ("06_votes", {"C3"}),
    ("06_bands", {"C6"}),
])  # fmt: skip
def test_the_shipped_tables_are_read(table, claims):
    from paperlib.stats.tables import read_table_file
    from paperlib.study import CODE_ROOT

    parts = _TABLES[table](read_table_file(CODE_ROOT / "results" / "mini" / f"{table}.json"))
    assert {p.claim for p in parts} == claims and all(p.seen and p.bounds for p in parts)


def test_the_ledger_agrees_with_the_shipped_verdicts():
    """Where a rule is a list of conditions, its verdict is what the ledger's states say."""
    from paperlib.figures.claims import claim_rows
    from paperlib.study import CODE_ROOT

    folder = CODE_ROOT / "results" / "mini"
    said = {(row["claim"], row["method"]): row["verdict"] for row in claim_rows(folder)}
    parts = conditions_of(folder)
    for key in (("C1", "bypass"), ("C1", "entry depth"), ("C2", "patching"), ("C5", "neighbourhood overlap"),
                ("C6", "bands"), ("C6", "benchmarks")):  # fmt: skip
        states = {p.state for p in parts if (p.claim, p.method) == key}
        word = "not supported" if "against" in states else "inconclusive" if "open" in states else "supported"
        assert states and said[key] == word, key


def test_a_method_without_a_table_or_an_estimate_has_no_part(study):
    assert conditions_of(study.results) == []
    row = {"event": "entry", "task": "count", "onset": None, "n": 9}
    write_table(study, "02_votes", [row], {}, {})
    assert conditions_of(study.results) == []


def test_a_damaged_table_is_one_sentence(study):
    Study.make("mini")
    study.results.mkdir(parents=True, exist_ok=True)
    (study.results / "02_votes.json").write_text("{")
    with pytest.raises(ResultError):
        conditions_of(study.results)
