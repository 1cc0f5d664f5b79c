"""The words of the command line of the band comparison."""

import pytest
from small_models import one_sentence

from paperlib.study.study import Study, StudyError
from paperlib.tuning.band_arguments import check_once, read_words


def test_words_that_are_left_out_have_defaults():
    assert read_words(["smoke"]) == (Study.make("smoke"), [0, 1, 2], None)
    assert read_words(["smoke", "3"]) == (Study.make("smoke"), [3], None)
    assert read_words(["mini", "0,7", "full;mid, late entry"]) == (
        Study.make("mini"),
        [0, 7],
        ["full", "mid, late entry"],
    )


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "Name a preset"),
        (["smoke"] * 4, "Name a preset"),
        (["smoke", "a"], "whole numbers"),
        (["smoke", "1,1"], "twice"),
    ],
)
def test_other_words_are_refused(words, message):
    with pytest.raises(StudyError, match=message) as error:
        read_words(words)
    one_sentence(error.value)


def test_no_arm_is_named_twice():
    with pytest.raises(StudyError, match="arm 'mid' is named twice"):
        check_once([0], ["mid", "late", "mid"])
