"""POPE: three public rules on replies, the report, and rows that are refused."""

import pytest
from public_rows import FIXTURES, example, replies, rows_of, written
from small_models import one_sentence

from paperlib.tasks.benchmarks import SourceError, pope


def test_each_rule_reads_what_its_public_script_reads():
    for case in replies("pope"):
        for truth in ("yes", "no"):
            scored = pope.score(case["reply"], example(truth))
            for name in pope.RULES:
                assert scored["rules"][name] == {"said": case[name], "correct": float(case[name] == truth)}, (
                    name,
                    case,
                )
            assert scored["correct"] == scored["rules"]["exact"]["correct"]  # lmms-eval's accuracy


def test_the_rules_differ_on_wordy_replies():
    said = {name: rule("There is no dog.") for name, rule in pope.RULES.items()}
    assert said == {"exact": None, "first sentence": "no", "any word": "no"}
    said = {name: rule("I see a dog.") for name, rule in pope.RULES.items()}
    assert said == {"exact": None, "first sentence": "yes", "any word": None}


def test_a_report_by_hand():
    truths = ["yes", "yes", "yes", "no", "no"]
    found = pope.report(["yes", "Yes, it is", "no", "yes", "no"], [example(truth) for truth in truths])
    assert found["exact"] == {
        "accuracy": 2 / 5,
        "precision": 1 / 2,
        "recall": 1 / 3,  # lmms-eval: 1 / 2, for it leaves out the reply that it cannot read
        "f1": 2 / 5,
        "yes_rate": 2 / 5,  # of the answers; of the truths it is 3 / 5
        "unreadable": 1 / 5,
        "n": 5,
    }
    assert found["any word"]["recall"] == 2 / 3 and found["any word"]["unreadable"] == 0
    assert found["first sentence"]["yes_rate"] == 3 / 5


def test_a_report_of_nothing_readable_has_no_division_by_zero():
    found = pope.report(["?", "?"], [example("no"), example("no")])["exact"]
    assert found["accuracy"] == found["precision"] == found["recall"] == found["f1"] == 0 and found["unreadable"] == 1


@pytest.mark.parametrize("said", [[], ["yes"]])
def test_reports_need_a_reply_for_each_example(said):
    with pytest.raises(ValueError, match="as many replies as examples") as error:
        pope.report(said, [example("yes")] * 2)
    one_sentence(error.value)


def test_examples_are_the_rows():
    first, second, *_ = pope.load(str(FIXTURES / "json" / "pope"))
    assert (first.id, first.kind, first.answer, first.choices) == ("POPE/test/random/1", "random", "yes", ("yes", "no"))
    assert first.question == "Is there a red square in the image?\nAnswer the question using a single word or phrase."
    assert first.group == second.group and first.info["source"].endswith("pope")  # two questions about one picture
    assert pope.prompt(first, "plain") == "Is there a red square in the image?"


def test_an_answer_that_is_neither_is_refused(tmp_path):
    row = rows_of("pope")[0] | {"answer": "maybe"}
    with pytest.raises(
        SourceError, match="'answer' of row POPE/test/random/1 must hold yes or no, got 'maybe'"
    ) as error:
        pope.load(written(tmp_path, [row]))
    one_sentence(error.value)
