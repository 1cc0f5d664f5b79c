"""Suites of miniature benchmarks."""

import pytest
from small_models import one_sentence

from paperlib.tasks.benchmarks import ASKED_SUITES, BENCHMARKS, PICTURE_SUITES, SUITES, examples, load, vocabulary


def test_a_suite_is_its_benchmarks_one_after_the_other():
    wanted = [ex for name, split in SUITES["held-out concepts"] for ex in load(name, split, 2, seed=3)]
    assert examples("held-out concepts", 2, seed=3) == wanted and len({ex.id for ex in wanted}) == len(wanted)


def test_suites_name_what_there_is():
    assert set(PICTURE_SUITES) < set(ASKED_SUITES) < set(SUITES)
    assert all(split in BENCHMARKS[name][1] for parts in SUITES.values() for name, split in parts)


def test_the_vocabulary_holds_every_thing_once():
    words = vocabulary()
    assert {"dog", "red star"} <= set(words) and len(words) == len(set(words))


@pytest.mark.parametrize("suite", ["vqa", None, ["pope"]])
def test_an_unknown_suite(suite):
    with pytest.raises(ValueError, match="Unknown suite") as error:
        examples(suite, 1)
    one_sentence(error.value)
