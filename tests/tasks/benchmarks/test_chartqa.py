"""ChartQA: relaxed accuracy on replies, as Pix2Struct and lmms-eval have it."""

import pytest
from public_rows import FIXTURES, example, replies

from paperlib.tasks.benchmarks import chartqa


def test_replies_score_as_in_lmms_eval():
    for case in replies("chartqa"):
        assert chartqa.score(case["reply"], example(case["answer"])) == {"correct": case["correct"]}, case


@pytest.mark.parametrize(
    "reply, answer, correct",
    [
        ("42", "40", 1.0),
        ("42.1", "40", 0.0),
        ("45%", "0.45", 1.0),
        ("45", "45%", 0.0),
        ("0.0", "0", 0.0),
        ("yes ", "Yes", 0.0),  # nothing is stripped
    ],
)
def test_the_rule_by_hand(reply, answer, correct):
    assert chartqa.score(reply, example(answer))["correct"] == correct


def test_examples_are_the_rows():
    examples = chartqa.load(FIXTURES / "json" / "chartqa", variant="qwen-vl")
    assert [ex.kind for ex in examples] == ["human", "human", "augmented", "augmented"]
    assert examples[1].question == "How high is the green bar? Answer:" and examples[1].answer == "20"
    assert examples[0].group == examples[1].group != examples[2].group and examples[0].choices == ()
    assert chartqa.prompt(examples[0]) == "Which bar is the highest?\nAnswer the question with a single word."
