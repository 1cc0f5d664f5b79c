"""Tests of paperlib.stats.rule_exercises: wrong answers are refused, and the page's solutions pass."""

import re

import pytest

from paperlib.stats.conditions import WORDS
from paperlib.stats.interval import Interval
from paperlib.stats.rule_exercises import check_flattering, check_questions, check_words
from paperlib.study import CODE_ROOT

PAGE = (CODE_ROOT / "docs" / "teach" / "exercises.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["check_words", "check_flattering", "check_questions"])
def test_the_pages_solution_runs_passes_and_ends_in_a_sentence(name, capsys):
    (code,) = [c for c in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if f"print({name}(" in c]
    exec(code, {})  # noqa: S102
    assert capsys.readouterr().out.startswith("Right: ")
    after = PAGE.split(code)[1].split("</details>")[0].strip().removeprefix("```").strip()
    assert after.endswith(".") and len(after.split()) > 8


def test_wrong_words_are_refused_without_the_answer():
    middle = Interval(0.5, 0.4, 0.6, 50)
    assert str(check_words({})) == "Not yet: there are no onsets yet for 'supported'."
    same = check_words({word: {"a": middle} for word in WORDS})
    assert not same.right and same.said == "for 'not supported' the rule says 'supported'."


def test_a_band_that_keeps_too_little_or_gains_enough_is_refused():
    assert not check_flattering(0.5, 0.5, 0.9).right and not check_flattering(0.1, 0.89, 0.9).right
    assert not check_flattering(0.89, 0.9, 0.9).right
    with pytest.raises(ValueError, match="between the two"):
        check_flattering(0.9, 0.5, 0.4)


@pytest.mark.parametrize("n", [1, 400, 700, 1200, 10**6])
def test_too_few_and_too_many_questions_are_refused(n):
    assert not check_questions(n).right


def test_n_is_a_whole_number():
    with pytest.raises(ValueError, match="n must be a whole number"):
        check_questions(864.5)
