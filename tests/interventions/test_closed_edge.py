"""Tests of paperlib.interventions.closed_edge."""

import pytest
from matplotlib.figure import Figure
from planted import DEPTH, planted
from small_models import Noise, one_sentence

from paperlib.interventions.closed_edge import choice_probabilities, closed_edge, edge_closer
from paperlib.scoring.records import answer_probability, choice_logprobs
from paperlib.tasks.benchmarks import Example

EXAMPLE = Example("0", "scenes", "colour", "test", "What colour?", "red", ("red", "blue", "dog"), Noise(0), "0")


def test_probabilities_are_those_of_the_choices_in_order():
    record = choice_logprobs(planted(2), [EXAMPLE])[0]
    found = choice_probabilities(EXAMPLE, record)
    assert found[0] == answer_probability(EXAMPLE, record) and sum(found) == pytest.approx(1)
    assert found.index(max(found)) == EXAMPLE.choices.index(record.prediction)


@pytest.mark.parametrize("first, last", [(0, DEPTH - 1), (2, 2), (0, 1), (3, DEPTH - 1)])
def test_only_closing_the_edge_where_the_picture_is_read_changes_the_answer(first, last):
    (question,) = closed_edge(planted(2), EXAMPLE, "image->answer", first, last)["questions"]
    clean, closed = question["stages"].values()
    assert (closed != pytest.approx(clean, abs=1e-4)) == (first <= 2 <= last)
    assert question["question"] == "A red dog. What colour? (image to answer)" and question["answer"] == "red"


def test_a_reader_gets_a_figure():
    close_edge = edge_closer(planted(2), [EXAMPLE])
    assert close_edge.__name__ == "close_edge" and isinstance(close_edge(0, "image->answer", 0, 1), Figure)


@pytest.mark.parametrize("first, last", [(2, 1), (-1, 1), (0, DEPTH)])
def test_blocks_out_of_range_or_order(first, last):
    with pytest.raises(ValueError) as error:
        closed_edge(planted(2), EXAMPLE, "image->answer", first, last)
    one_sentence(error.value)
