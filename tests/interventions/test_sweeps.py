"""A sweep gives the records that running everything in full gives, for pictures and for text alone."""

import contextlib
from dataclasses import replace

import pytest
import torch
from small_models import Noise, one_sentence, tiny_vlm

from paperlib.interventions.edits import knockout, transplant
from paperlib.interventions.sweeps import Sweep, windows
from paperlib.models.residual import run
from paperlib.models.token_sets import edge
from paperlib.scoring.choices import chunks
from paperlib.scoring.records import answer_probability, choice_logprobs, records
from paperlib.tasks.benchmarks import Example


@pytest.fixture(scope="module")
def examples():
    made = [
        Example(
            str(i),
            "twin",
            "colour",
            "test",
            f"What colour{'?' * (i + 1)}",
            "red",
            ("red", "blue", "redder"),
            Noise(i),
            str(i),
        )
        for i in range(3)
    ]
    return made + [replace(made[0], id="text", picture=None)]


def test_without_an_intervention_it_is_plain_scoring(examples):
    vlm = tiny_vlm()
    sweep = Sweep(vlm, examples, at=[0, 2], batch_size=2, fast=False)
    plain = choice_logprobs(vlm, examples, batch_size=2)
    assert sweep.clean() == plain
    for start in (0, 2):
        for a, b in zip(sweep.under(start, lambda chunk: contextlib.nullcontext()), plain):
            assert a.logprobs == pytest.approx(b.logprobs, abs=1e-5) and a.prediction == b.prediction


def test_under_a_transplant_it_is_plain_scoring_of_the_changed_model(examples):
    vlm, donor = tiny_vlm(0), tiny_vlm(1)
    sweep = Sweep(vlm, examples, at=[1, 3], batch_size=3, fast=False)
    for window in (range(1, 3), range(3, 4)):
        found = sweep.under(window.start, lambda chunk: transplant(vlm, donor, window))
        with transplant(vlm, donor, window):
            plain = choice_logprobs(vlm, examples)
        for a, b, c in zip(found, plain, sweep.clean()):
            assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)
            assert a.logprobs != pytest.approx(c.logprobs, abs=1e-2)
        with transplant(vlm, donor, window):  # once for all chunks
            assert sweep.under(window.start) == found


def test_under_a_knockout_it_is_each_chunk_in_full(examples):
    vlm, pictured = tiny_vlm(), examples[:3]
    close = lambda chunk: knockout(vlm, [2, 3], *edge(vlm, chunk.inputs, "image->answer"))  # noqa: E731
    found = Sweep(vlm, pictured, at=[2], batch_size=2, fast=False).under(2, close)
    reads = []
    for chunk in chunks(vlm, pictured, batch_size=5):
        with torch.no_grad(), close(chunk):
            reads += chunk.read(run(vlm, chunk.inputs))
    for a, b, c in zip(found, records(pictured, reads), choice_logprobs(vlm, pictured)):
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)
        assert a.logprobs != pytest.approx(c.logprobs, abs=1e-3)


def test_an_intervention_below_the_start_is_refused(examples):
    vlm, donor = tiny_vlm(0), tiny_vlm(1)
    sweep = Sweep(vlm, examples, at=[2])
    with pytest.raises(ValueError) as error:
        sweep.under(2, lambda chunk: transplant(vlm, donor, [1, 2]))
    assert "block 1" in one_sentence(error.value)
    with pytest.raises(ValueError, match="not traced"):
        sweep.under(1, lambda chunk: contextlib.nullcontext())


def test_answer_probability_is_the_softmax_over_choices(examples):
    vlm = tiny_vlm()
    record = choice_logprobs(vlm, examples[:1])[0]
    p = torch.tensor(record.logprobs, dtype=torch.double).softmax(0)
    assert answer_probability(examples[0], record) == pytest.approx(p[0].item())
    captions = replace(examples[0], benchmark="captions")
    per_token = torch.tensor([lp / n for lp, n in zip(record.logprobs, record.tokens)], dtype=torch.double)
    assert answer_probability(captions, record) == pytest.approx(per_token.softmax(0)[0].item())


def test_windows():
    assert windows(30, 6, 12) == [range(6), range(12, 18), range(24, 30)]
    assert windows(10, 4, 4) == [range(4), range(4, 8), range(6, 10)]  # the last is moved back
    assert windows(3, 3, 1) == [range(3)]
    for bad in ((3, 4, 1), (3, 0, 1), (3, 1, 0)):
        with pytest.raises(ValueError) as error:
            windows(*bad)
        one_sentence(error.value)
