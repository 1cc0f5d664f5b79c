"""Letters in replies, as public scripts read them, and seeded guesses."""

from collections import Counter

import pytest
from public_rows import replies
from small_models import one_sentence

from paperlib.tasks.benchmarks.letters import guess, lettered, letters, llava_letter, lmms_letter, mmmu_letter


def test_letters_of_scienceqa_are_those_of_lmms_eval_and_llava():
    for case in replies("scienceqa"):
        assert lmms_letter(case["reply"], case["n"]) == case["lmms-eval"], case
        assert llava_letter(case["reply"], case["n"]) == case["llava"], case


@pytest.mark.parametrize("rule", ["official", "lmms-eval"])
def test_letters_of_mmmu_are_those_of_its_parser_and_of_lmms_evals(rule):
    for case in replies("mmmu"):
        options = dict(zip("ABCDE", case["options"], strict=False))
        assert mmmu_letter(case["reply"], options, rule) == case[rule], case


def test_the_rules_differ_where_it_is_said():
    cases = [case for case in replies("mmmu") if case["official"] != case["lmms-eval"]]
    assert {"DNA ", "A: cat"} & {case["reply"] for case in cases} == {"DNA "}
    cases = [case for case in replies("scienceqa") if case["lmms-eval"] != case["llava"]]
    assert {"b", "The answer is B.", "B.green"} <= {case["reply"] for case in cases}


def test_options_are_shown_by_letter():
    assert lettered(["x", "y", "z"]) == "A. x\nB. y\nC. z" and letters(10) == "ABCDEFGHIJ"


@pytest.mark.parametrize("n", [0, 1, 27])
def test_numbers_of_options(n):
    with pytest.raises(ValueError, match="needs 2 to 26 options") as error:
        letters(n)
    one_sentence(error.value)


def test_a_guess_depends_on_the_seed_and_the_example_and_is_even():
    assert "".join(guess("ABCD", "MMMU/1", seed) for seed in range(8)) == "DDBCDACB"  # on every machine
    counts = Counter(guess("ABCD", f"MMMU/{i}", 0) for i in range(2000))
    assert set(counts) == set("ABCD") and max(counts.values()) - min(counts.values()) < 120
    assert [guess("ABCD", f"{i}", 0) for i in range(20)] != [guess("ABCD", f"{i}", 1) for i in range(20)]
