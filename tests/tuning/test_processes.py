"""One process; two and shards are in `test_scaled_training`."""

import copy

import pytest
import torch
from torch import nn

from paperlib.tuning.processes import Processes, clip, fill, unsharded


@pytest.fixture(scope="module")
def alone():
    return Processes("cpu")


def test_one_process_is_the_main_one_and_shards_nothing(alone, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    told = Processes("cpu")
    for one in (alone, told, Processes("auto" if not torch.cuda.is_available() else "cpu", sharded=True)):
        assert (one.count, one.rank, one.main, one.sharded, one.device.type) == (1, 0, True, False, "cpu")
    assert alone.sums(1.5, 2) == [1.5, 2.0] and alone.all_of({"a": 1}) == [{"a": 1}]


@pytest.mark.parametrize("most", [0.1, 1.0, 1e6])
def test_clipping_is_torchs(most):
    torch.manual_seed(0)
    mine = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    mine(torch.randn(5, 3)).pow(2).sum().backward()
    theirs = copy.deepcopy(mine)
    for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
        b.grad = a.grad.clone()
    wanted = nn.utils.clip_grad_norm_(theirs.parameters(), most)
    assert clip(mine.parameters(), most).item() == pytest.approx(wanted.item())
    for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_a_norm_that_is_not_finite_is_told():
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.tensor([1.0, float("inf")])
    assert not clip([weight], 1.0).isfinite()


def test_a_tensor_that_is_whole_is_filled_and_stays_whole():
    own, other = torch.zeros(3), torch.arange(3.0)
    fill(own, other)
    assert torch.equal(own, other) and unsharded(own) is own
