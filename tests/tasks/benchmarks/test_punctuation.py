"""Punctuation as VQA and VLMEvalKit take it out."""

import pytest

from paperlib.tasks.benchmarks.punctuation import FULL_STOP_AFTER_NO_DIGIT, without_punctuation


@pytest.mark.parametrize(
    "text, kept",
    [
        ("yes, it is", "yes it is"),  # beside a blank: gone
        ("yes/no", "yes no"),  # else a blank
        ("1,200 a/b", "1200 ab"),  # a number with a comma: every sign is gone
        ("3.5 p.m.", "3.5 pm"),
        ("it's", "it's"),
        ("5.", "5"),
    ],
)
def test_signs(text, kept):
    assert without_punctuation(text) == kept


def test_a_full_stop_after_a_digit_stays_by_the_other_rule():
    assert without_punctuation("5. a.b", FULL_STOP_AFTER_NO_DIGIT) == "5. ab"


def test_no_more_than_32_full_stops_go():
    assert without_punctuation("." * 40 + "yes") == "." * 8 + "yes"
