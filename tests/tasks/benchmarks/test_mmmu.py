"""MMMU: options in a text, several pictures, letters with counted guesses, open questions."""

import pytest
from public_rows import FIXTURES, example, replies, rows_of, written
from small_models import one_sentence

from paperlib.tasks.benchmarks import SourceError, mmmu

BY_LETTER = "Answer with the option's letter from the given choices directly."


@pytest.fixture(scope="module")
def examples():
    return mmmu.load(FIXTURES / "json" / "mmmu")


def test_replies_score_as_in_the_official_parser_and_guesses_are_told():
    for case in replies("mmmu"):
        names = "ABCDE"[: len(case["options"])]
        for truth in names:
            scored = mmmu.score(case["reply"], example(truth, names, options=case["options"]), seed=3)
            assert scored["guessed"] is (case["official"] is None), case
            assert scored["correct_unguessed"] == float(case["official"] == truth)
            assert scored["lmms_eval_letter"] == case["lmms-eval"]
            assert scored["letter"] in names and scored["correct"] == float(scored["letter"] == truth)
            if not scored["guessed"]:
                assert scored["letter"] == case["official"]


def test_a_guess_is_the_same_for_the_same_seed_and_another_for_others():
    asked = example("A", "ABCD", options=list("wxyz"))
    said = [mmmu.score("?", asked, seed)["letter"] for seed in range(12)]
    assert said == [mmmu.score("?", asked, seed)["letter"] for seed in range(12)] and len(set(said)) > 1


def test_open_replies_score_as_in_the_official_script():
    for case in replies("mmmu_open"):
        scored = mmmu.score(case["reply"], example(case["answers"][0], answers=case["answers"]))
        assert scored["correct"] == scored["correct_unguessed"] == case["official"] and not scored["guessed"]


def test_examples_are_the_rows(examples):
    choice, two, single, several = examples
    assert (choice.id, choice.answer, choice.choices) == ("MMMU/validation_Art_Theory_1", "C", ("A", "B", "C"))
    assert choice.info["options"] == ["red", "it's green", 'a "deep" blue'] and choice.info["subject"] == "Art_Theory"
    assert [len(ex.info["pictures"]) for ex in examples] == [1, 2, 1, 1]
    assert two.picture == two.info["pictures"][0] != two.info["pictures"][1]
    assert (single.kind, single.choices, single.answer) == ("open", (), "4")
    assert several.info["answers"] == ["1/3", "0.33"] and several.answer == "1/3"


def test_prompts_have_variants(examples):
    choice, *_, single, _ = examples
    lines = '\nA. red\nB. it\'s green\nC. a "deep" blue\n\n'
    assert choice.question == "<image 1> Which colour is the square?" + lines + BY_LETTER
    official = '\n(A) red\n(B) it\'s green\n(C) a "deep" blue\n\n' + BY_LETTER
    assert mmmu.prompt(choice, "official") == "<image 1> Which colour is the square?" + official
    words = "\nAnswer the question using a single word or phrase."
    assert mmmu.prompt(single, "official") == "<image 1> How many sides has the figure?" + words
    assert single.question == "<image 1> How many sides has the figure?\n" + words


@pytest.mark.parametrize(
    "change, says",
    [
        ({"options": "red, green"}, "'options' of row MMMU/validation_Art_Theory_1 must hold a list of texts"),
        ({"options": "__import__('os')"}, "'options' .* must hold a list of texts, written as a text"),
        ({"options": "[1, 2]"}, "'options' .* must hold a list of texts"),
        ({"answer": "D"}, "'answer' .* must hold a letter of 3 options, got 'D'"),
        ({"answer": "AB"}, "'answer' .* must hold a letter of 3 options"),
        ({"options": "['one']", "answer": "A"}, "must hold a letter of 1 options"),
        ({"question_type": "essay"}, "'question_type' .* must hold one of multiple-choice, open, got 'essay'"),
        ({"answer": None}, "'answer' .* must hold a text, got None"),
    ],
)
def test_rows_that_cannot_be_used(tmp_path, change, says):
    row = rows_of("mmmu", "validation")[0] | change
    with pytest.raises(SourceError, match=says) as error:
        mmmu.load(written(tmp_path, [row], "validation"))
    one_sentence(error.value)


def test_a_row_with_any_broken_picture_is_left_out(tmp_path, caplog):
    rows = rows_of("mmmu", "validation")
    (tmp_path / "torn.png").write_bytes(b"no")
    rows[1]["image_2"] = "torn.png"
    rows[2]["image_1"] = None
    found = mmmu.load(written(tmp_path, rows, "validation"))
    assert [ex.id[-1] for ex in found] == ["1", "4"] and "of 4 rows looked at, 2 are left out" in caplog.text
