"""A pass that does not fit into memory runs in halves, says so, and gives the same; other errors pass."""

import logging

import pytest
import torch
from PIL import Image

from paperlib.interventions.sweeps import Sweep
from paperlib.models import capture as capturing
from paperlib.models.capture import capture
from paperlib.models.input_checks import VLMError
from paperlib.models.memory import divided, in_halves, out_of_memory
from paperlib.models.vlm import load_vlm
from paperlib.scoring import records as scoring
from paperlib.scoring.records import choice_logprobs
from paperlib.tasks import examples


@pytest.fixture(scope="module")
def vlm():
    return load_vlm("tiny", "cpu")


def full(rows, most):
    """A pass that fits ``most`` rows and no more."""
    if len(rows) > most:
        raise torch.OutOfMemoryError("CUDA out of memory.")
    return [row * 10 for row in rows]


@pytest.mark.parametrize("most", [1, 2, 3, 7])
def test_results_come_in_order_whatever_fits(most):
    assert in_halves(lambda rows: full(rows, most), list(range(7)), divided) == [10 * i for i in range(7)]


def test_it_is_said(caplog):
    with caplog.at_level(logging.WARNING):
        in_halves(lambda rows: full(rows, 4), list(range(7)), divided)
    assert len(caplog.records) == 1 and "in halves" in caplog.text


def test_a_single_sequence_that_does_not_fit():
    with pytest.raises(VLMError, match="single sequence does not fit") as error:
        in_halves(lambda rows: full(rows, 0), [1, 2], divided)
    assert "\n" not in str(error.value)


def test_other_errors_pass():
    def broken(rows):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        in_halves(broken, [1, 2], divided)
    assert out_of_memory(RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"))


def short_of_memory(monkeypatch, module, name, most):
    """Let a function that takes (vlm, batch) fail for batches of more rows."""
    own = getattr(module, name)

    def limited(vlm, batch, *rest, **named):
        if len(batch["input_ids"]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return own(vlm, batch, *rest, **named)

    monkeypatch.setattr(module, name, limited)


def test_scores_are_the_same_in_halves(vlm, monkeypatch):
    asked = examples("pictures", 1)[:9] + examples("text", 1)
    whole = choice_logprobs(vlm, asked, batch_size=64)
    short_of_memory(monkeypatch, scoring, "run", 3)
    for a, b in zip(whole, choice_logprobs(vlm, asked, batch_size=64)):
        assert a.id == b.id and a.logprobs == pytest.approx(b.logprobs, abs=1e-4)


def test_states_are_the_same_in_halves(vlm, monkeypatch):
    prompts = [vlm.prompt(text) for text in ("What?", "What is it?", "Is it red?", "How many things are there?")]
    pictures = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue", "green", "black")]
    places = ["image mean", "answer position"]
    whole = capture(vlm, prompts, pictures, positions=places)
    short_of_memory(monkeypatch, capturing, "states", 1)
    halves = capture(vlm, prompts, pictures, positions=places)
    for place in places:
        torch.testing.assert_close(halves[place], whole[place], rtol=0, atol=1e-5)


def test_a_sweep_is_the_same_in_halves(vlm, monkeypatch):
    from paperlib.interventions import sweeps

    asked = examples("pictures", 1)[:5]
    whole = Sweep(vlm, asked, at=[1]).clean()
    short_of_memory(monkeypatch, sweeps, "trace", 2)
    swept = Sweep(vlm, asked, at=[1])
    assert len(swept.chunks) > 1 and all(len(chunk.rows) <= 2 for chunk in swept.chunks)
    for a, b in zip(whole, swept.clean()):
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)
    for a, b in zip(whole, swept.under(1)):
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)
