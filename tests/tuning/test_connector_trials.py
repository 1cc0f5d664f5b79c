"""A trial tunes the connector and nothing else, and what it reads is what the connector gives."""

import numpy as np
import pytest
import torch

from paperlib.models.parts import connector
from paperlib.models.vlm import load_vlm
from paperlib.tasks.probe_tasks import probe_tasks
from paperlib.tuning import connector_trials
from paperlib.tuning.connector_trials import TRIALS, Trial, right_answers, tuned_connector


@pytest.fixture
def tiny(monkeypatch):
    """Trials on the tiny model, whose tokens are bytes and so many."""
    monkeypatch.setattr(connector_trials, "load_vlm", lambda name, device, seed: load_vlm("tiny", device, seed))
    monkeypatch.setattr(connector_trials, "LENGTH", 320)
    monkeypatch.setattr(connector_trials, "BATCH", 2)


def state(vlm):
    return {name: p.detach().clone() for name, p in vlm.base.named_parameters()}


@pytest.mark.parametrize("matched", [False, True])
def test_nothing_but_the_connector_is_tuned(tiny, matched):
    before = state(load_vlm("tiny", "cpu", 0))
    vlm, run = tuned_connector(Trial("random", 2, matched=matched))
    # Where a CPU has units for bfloat16, the frozen LLM is rounded to it.
    changed = {name for name, value in state(vlm).items() if not torch.equal(value, before[name].to(value.dtype))}
    assert len(run["loss"]) == 2 and all(np.isfinite(run["loss"])) and run["seconds"] > 0
    assert changed and all("multi_modal_projector" in name for name in changed)


def test_no_steps_leave_the_start(tiny):
    plain, found = load_vlm("tiny", "cpu", 0), tuned_connector(TRIALS["random"])
    assert found[1]["loss"] == [] and torch.equal(
        connector(found[0].base).linear_2.weight, connector(plain.base).linear_2.weight
    )


def test_probes_read_what_tokens_hold():
    task = probe_tasks(40)["count"]
    numbers = torch.tensor([["one", "two", "three", "four"].index(label) for label in task.labels])
    telling = torch.nn.functional.one_hot(numbers, 4).float()[:, None].repeat(1, 16, 1)
    noise = torch.randn(telling.shape, generator=torch.Generator().manual_seed(0))
    assert np.mean(right_answers(task, telling + 0.1 * noise)) > 0.95 > 0.6 > np.mean(right_answers(task, noise))
