"""ScienceQA: letters by two public rules, prompts by three, rows that are refused."""

import pytest
from public_rows import FIXTURES, example, replies, rows_of, written
from small_models import one_sentence

from paperlib.tasks.benchmarks import SourceError, scienceqa

ASKED = "\nAnswer with the option's letter from the given choices directly."


def test_replies_score_as_in_lmms_eval_and_llava():
    for case in replies("scienceqa"):
        for truth in "ABCDE"[: case["n"]]:
            scored = scienceqa.score(case["reply"], example(truth, "ABCDE"[: case["n"]]))
            assert scored["correct"] == float(case["lmms-eval"] == truth) and scored["letter"] == case["lmms-eval"]
            assert scored["llava"] == {"correct": float(case["llava"] == truth), "letter": case["llava"]}


def test_examples_are_the_rows_and_prompts_have_variants():
    plain, hinted, _ = scienceqa.load(FIXTURES / "json" / "scienceqa")
    assert (plain.answer, plain.choices, plain.kind) == ("B", ("A", "B"), "natural science")
    assert plain.question == "Which colour is shown?\nA. blue\nB. red" + ASKED
    assert hinted.question == "Context: Look closely.\nWhere is the square?\nA. left\nB. right\nC. above" + ASKED
    llava = "Context: N/A\nQuestion: Which colour is shown?\nOptions: (A) blue (B) red" + ASKED
    assert scienceqa.prompt(plain, "llava") == llava
    assert scienceqa.prompt(hinted, "qwen-vl").endswith("Options: A. left\nB. right\nC. above\nAnswer:")


@pytest.mark.parametrize(
    "change, says",
    [
        ({"answer": 2}, "'answer' of row ScienceQA-IMG/test/0 must hold a whole number from 0 to 1, got 2"),
        ({"answer": True}, "got True"),
        ({"answer": "B"}, "got 'B'"),
        ({"choices": ["one"]}, "'choices' .* must hold a list of at least 2 texts"),
        ({"hint": None}, "'hint' .* must hold a text, got None"),
    ],
)
def test_rows_that_cannot_be_used(tmp_path, change, says):
    with pytest.raises(SourceError, match=says) as error:
        scienceqa.load(written(tmp_path, [rows_of("scienceqa")[0] | change]))
    one_sentence(error.value)


def test_a_row_without_a_picture_is_left_out(tmp_path):
    rows = rows_of("scienceqa")
    examples = scienceqa.load(written(tmp_path, [rows[0] | {"image": None}, *rows[1:]]))
    assert [ex.id for ex in examples] == ["ScienceQA-IMG/test/1", "ScienceQA-IMG/test/2"]
