"""VQA accuracy, as the official evaluation and lmms-eval compute it."""

import pytest
from public_rows import replies
from small_models import one_sentence

from paperlib.tasks.benchmarks.vqa import CONTRACTIONS, normalised, vqa_accuracy


@pytest.mark.parametrize("rule", ["official", "lmms-eval"])
def test_replies_score_as_in_public_scripts(rule):
    for case in replies("vqa"):
        assert vqa_accuracy(case["reply"], case["answers"], rule) == pytest.approx(case[rule], abs=1e-8), case


def test_by_hand():
    """Two of ten said red: left out in turn, one remains for each of the two, and two for each of the others."""
    assert vqa_accuracy("red", ["red"] * 2 + ["blue"] * 8) == pytest.approx((2 * 1 / 3 + 8 * 2 / 3) / 10)
    assert vqa_accuracy("blue", ["red"] * 2 + ["blue"] * 8) == 1


def test_the_official_rule_normalises_only_where_people_differ():
    assert [vqa_accuracy("A cat.", ["cat"] * 10, rule) for rule in ("official", "lmms-eval")] == [0, 1]
    assert vqa_accuracy("A cat.", ["cat"] * 9 + ["dog"]) == 1


@pytest.mark.parametrize(
    "text, form",
    [
        ("Ten dogs", "10 dogs"),
        ("none", "0"),
        ("the a an", ""),
        ("Wont", "won't"),
        ("shouldntve", "shouldntve"),
        ("shouldnt've", "shouldn't've"),
    ],
)
def test_forms(text, form):
    assert normalised(text) == form


def test_the_table_of_contractions():
    assert len(CONTRACTIONS) == 114 and CONTRACTIONS["cant"] == "can't" and CONTRACTIONS["couldn'tve"] == "couldn't've"


@pytest.mark.parametrize(
    "answers, rule, says",
    [
        (["a"], "official", "at least two people"),
        ("abc", "official", "list of texts"),
        (["a", "b"], "mine", "Unknown rule"),
    ],
)
def test_what_cannot_be_scored(answers, rule, says):
    with pytest.raises(ValueError, match=says) as error:
        vqa_accuracy("a", answers, rule)
    one_sentence(error.value)
