"""Scores under interventions find the block where the planted circuit reads, and agree with plain scoring."""

from dataclasses import replace

import numpy as np
import pytest
from planted import DEPTH, planted
from small_models import Noise, one_sentence, tiny_vlm

from paperlib.interventions.edits import random_change, transplant
from paperlib.interventions.sweep_scores import (
    answer_probabilities,
    caption,
    caption_tokens,
    caption_version,
    entering_at,
    image_tokens,
    leaving_at,
    tokens_after_image,
    with_closed_edge,
    with_donor,
    with_random_change,
)
from paperlib.interventions.sweeps import Sweep
from paperlib.scoring.records import choice_logprobs
from paperlib.tasks.benchmarks import Example

BLOCKS = [range(i, i + 1) for i in range(DEPTH)]


@pytest.fixture(scope="module")
def examples():
    one = Example("0", "scenes", "colour", "test", "What colour?", "red", ("red", "blue", "dog"), Noise(0), "0")
    return [one, replace(one, id="1", group="1", picture=Noise(1), answer="dog")]


def changed(found, sweep):
    """The rows whose scores are not the clean ones."""
    clean = answer_probabilities(sweep.examples, sweep.clean())
    return [i for i, row in enumerate(found) if np.abs(row - clean).max() > 1e-4]


def test_a_closed_edge_and_a_transplant_tell_where_the_circuit_reads(examples):
    vlm = planted(read=3)
    sweep = Sweep(vlm, examples, at=range(DEPTH), fast=False)
    assert changed(with_closed_edge(sweep, "image->answer", BLOCKS), sweep) == [3]
    assert changed(with_closed_edge(sweep, "image->question", BLOCKS), sweep) == []
    assert changed(with_donor(sweep, planted(read=None), BLOCKS), sweep) == [3]


def test_bypasses_tell_where_the_circuit_works_on_the_picture(examples):
    sweep = Sweep(planted(read=3, write=1), examples, at=range(DEPTH), fast=False)
    assert changed(entering_at(sweep, image_tokens, range(DEPTH + 1)), sweep) == list(range(2, DEPTH + 1))
    assert changed(leaving_at(sweep, image_tokens, range(DEPTH + 1)), sweep) == [0, 1]
    reads = Sweep(planted(read=3), examples, at=[0], fast=False)
    assert changed(entering_at(reads, image_tokens, range(DEPTH + 1)), reads) == []
    assert changed(entering_at(reads, image_tokens, range(DEPTH + 1), visible=False), reads) == [4, 5, 6]


def test_a_bypass_of_nothing_is_exactly_the_clean_pass(examples):
    sweep = Sweep(tiny_vlm(), examples, at=[0])
    clean = answer_probabilities(examples, sweep.clean())
    assert (entering_at(sweep, image_tokens, [0])[0] == clean).all()
    assert (leaving_at(sweep, image_tokens, [len(sweep.vlm.layers)])[0] == clean).all()


def test_changed_blocks_are_scored_as_plain_scoring_does(examples):
    vlm, donor, window = tiny_vlm(0), tiny_vlm(1), range(1, 3)
    sweep = Sweep(vlm, examples, at=[1], fast=False)
    for change, found in (
        (transplant(vlm, donor, window), with_donor(sweep, donor, [window])),
        (random_change(vlm, donor, window, 5), with_random_change(sweep, donor, [window], 5)),
    ):
        with change:
            plain = answer_probabilities(examples, choice_logprobs(vlm, examples))
        assert found[0] == pytest.approx(plain, abs=1e-4)


def test_the_caption_takes_the_place_of_the_picture(examples):
    versions = [caption_version(example) for example in examples]
    assert versions[0].picture is None and versions[0].question == "A red dog. What colour?"
    sweep = Sweep(tiny_vlm(), versions, at=[0])
    for chunk in sweep.chunks:
        for row, ids, positions in zip(chunk.rows, chunk.inputs["input_ids"], caption_tokens(examples)(chunk)):
            assert sweep.vlm.tokenizer.decode(ids[positions]).strip() == caption(examples[row.example])


def test_what_follows_the_picture_is_all_that_is_not_the_picture(examples):
    sweep = Sweep(tiny_vlm(), examples, at=[0])
    for chunk in sweep.chunks:
        for span, image, after in zip(sweep.vlm.spans(chunk.inputs), image_tokens(chunk), tokens_after_image(chunk)):
            assert (
                after[0] == image[-1] + 1
                and after[-1] == span.answer[-1]
                and set(span.question.tolist()) <= set(after.tolist())
            )


def test_bad_input_is_refused(examples):
    with pytest.raises(ValueError) as error:
        caption(replace(examples[0], picture=None))
    assert "'0'" in one_sentence(error.value)
    with pytest.raises(ValueError):
        answer_probabilities(examples, choice_logprobs(tiny_vlm(), examples[:1]))
