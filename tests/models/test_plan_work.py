"""Sequences by notebook: what is planned grows as the budgets do."""

import pytest

from paperlib.models.lineages import lineage_of
from paperlib.models.plan_work import Work, arms_of, work_of
from paperlib.study.study import Study


def test_every_notebook_has_its_work():
    work = work_of(Study.make("mini"), 16, arms=3)
    assert [w.notebook[:2] for w in work] == ["00", "01", "02", "03", "04", "05", "06", "07"]
    assert all(w.sequences > 0 and w.tokens > 16 for w in work[:-1]) and work[-1].sequences == 0


def test_work_grows_with_the_questions():
    few, many = (work_of(Study.make("mini", n_eval=n), 16) for n in (40, 400))
    for a, b in zip(few[1:4], many[1:4]):
        assert 5 < b.sequences / a.sequences < 11


def test_operations_by_hand():
    assert Work("x", sequences=3, tokens=10, share=0.5).flops(100) == 2 * 100 * 3 * 10 * 0.5


@pytest.mark.parametrize("model, arms", [("llava-1.5-7b", 6), ("smolvlm-256m", 0), ("gemma-3-4b", 0), ("mini", 2)])
def test_bands_are_asked_beside_full_tuning_and_the_model_before(model, arms):
    """LLaVA-1.5 7B: five checkpoints, one of them full tuning, and stage 1."""
    assert arms_of(lineage_of(model)) == arms


def test_natural_pictures_are_counted_where_the_study_names_some():
    none, some = (work_of(Study.make("mini", pairs=pairs), 16) for pairs in ("", "photographs"))
    more = {a.notebook[:2]: b.sequences - a.sequences for a, b in zip(none, some) if a != b}
    assert more == {"02": 2 * 120, "04": 4 * 1000}
