"""Sequences by notebook: what is planned grows as the budgets do."""

from paperlib.models.plan_work import Work, work_of
from paperlib.study.study import Study


def test_every_notebook_has_its_work():
    work = work_of(Study.make("mini"), 16)
    assert [w.notebook[:2] for w in work] == ["00", "01", "02", "03", "04", "05"]
    assert all(w.sequences > 0 and w.tokens > 16 for w in work)


def test_work_grows_with_the_questions():
    few, many = (work_of(Study.make("mini", n_eval=n), 16) for n in (40, 400))
    for a, b in zip(few[1:4], many[1:4]):
        assert 5 < b.sequences / a.sequences < 11


def test_operations_by_hand():
    assert Work("x", sequences=3, tokens=10, share=0.5).flops(100) == 2 * 100 * 3 * 10 * 0.5
