"""MMLU-Pro: three steps to a letter, shots from the validation split, rows that are refused."""

import pytest
from public_rows import FIXTURES, example, replies, rows_of, written
from small_models import one_sentence

from paperlib.tasks.benchmarks import SourceError, mmlu_pro

FOLDER = FIXTURES / "json" / "mmlu_pro"
TEN = "ABCDEFGHIJ"


def test_replies_score_as_in_the_official_script_and_lmms_eval():
    for case in replies("mmlu_pro"):
        assert mmlu_pro.read_letter(case["reply"])[0] == case["letter"], case
        for truth in TEN:
            scored = mmlu_pro.score(case["reply"], example(truth, TEN))
            assert scored["correct_first_step"] == float(case["lmms-eval"] == truth), case
            assert scored["correct_unguessed"] == float(case["letter"] == truth)
            assert scored["guessed"] is (case["letter"] is None) is (scored["step"] is None)
            assert scored["correct"] == float(scored["letter"] == truth)


@pytest.mark.parametrize(
    "reply, letter, step",
    [
        ("The answer is (C). But the answer is (D).", "C", 1),
        ("answer: A or answer: B", "B", 2),
        ("A, then B, so B or C", "C", 3),
        ("who knows", None, None),
    ],
)
def test_steps(reply, letter, step):
    assert mmlu_pro.read_letter(reply) == (letter, step)


def test_guesses_are_among_the_question_s_own_options():
    said = [mmlu_pro.score("?", example("A", "ABC", identity=str(i)))["letter"] for i in range(60)]
    assert set(said) == set("ABC") and said == [
        mmlu_pro.score("?", example("A", "ABC", identity=str(i)))["letter"] for i in range(60)
    ]
    assert said != [mmlu_pro.score("?", example("A", "ABC", identity=str(i)), seed=1)["letter"] for i in range(60)]


def test_examples_are_the_rows():
    sides, half, falls = mmlu_pro.load(FOLDER)
    assert (sides.id, sides.kind, sides.answer, "".join(sides.choices)) == ("MMLU-Pro/test/70", "math", "C", TEN)
    assert half.info["options"] == ["five", "two"] and half.picture is None  # without N/A
    assert falls.group == falls.id == "MMLU-Pro/test/72"


def test_five_shots_of_the_category_come_first():
    sides, _, falls = mmlu_pro.load(FOLDER)
    start = "The following are multiple choice questions (with answers) about math. Think step by step and then finish"
    assert sides.question.startswith(start) and sides.question.count("Question:\n") == 6
    thought = "Answer: Let's think step by step. 0 + 1 = 1. The answer is (A).\n\n"
    shot = "Question:\nWhat is 0 + 1?\nOptions:\nA. 1\nB. 0\n" + thought
    assert f"the correct letter choice.\n\n\n\n{shot}Question:\nWhat is 1 + 1?" in sides.question
    assert "What is 5 + 1" not in sides.question  # the sixth
    assert sides.question.endswith("\nI. 10\nJ. 12\nAnswer: Let's think step by step.")
    assert falls.question.count("Question:\n") == 2 and "What shines?" in falls.question
    assert mmlu_pro.prompt(sides, "zero-shot").count("Question:\n") == 1
    assert mmlu_pro.prompt(falls, "direct").startswith("What falls?\nA. a stone\n")


def test_shots_need_their_split_and_other_prompts_do_not(tmp_path):
    folder = written(tmp_path, rows_of("mmlu_pro"))
    with pytest.raises(SourceError, match="needs the split 'validation', but the folder .* has test") as error:
        mmlu_pro.load(folder)
    one_sentence(error.value)
    [first, *_] = mmlu_pro.load(folder, variant="zero-shot")
    with pytest.raises(ValueError, match="'five-shot' of MMLU-Pro needs shots") as error:
        mmlu_pro.prompt(first, "five-shot")
    one_sentence(error.value)
    with pytest.raises(ValueError, match="has no prompt 'ten-shot'"):
        mmlu_pro.load(folder, variant="ten-shot")


@pytest.mark.parametrize(
    "change, says",
    [
        ({"answer": "D"}, "'answer' of row MMLU-Pro/test/70 must hold the letter of option 2 from 0, got 'D'"),
        ({"answer_index": 3}, "must hold the letter of option 3 from 0, got 'C'"),
        ({"options": ["N/A", "x"]}, "'options' .* must hold 2 to 10 options"),
        ({"options": [str(i) for i in range(11)]}, "'options' .* must hold 2 to 10 options"),
    ],
)
def test_rows_that_cannot_be_used(tmp_path, change, says):
    with pytest.raises(SourceError, match=says) as error:
        mmlu_pro.load(written(tmp_path, [rows_of("mmlu_pro")[0] | change]), variant="direct")
    one_sentence(error.value)
