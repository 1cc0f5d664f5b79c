"""Which instructions each process takes in each step, and what stands in for those that are refused."""

import threading
from dataclasses import replace

import pytest
import torch
from scaled_runs import CONFIG, Memory
from small_models import tiny_vlm

from paperlib.tuning import scaled_batches
from paperlib.tuning.collation import Collated
from paperlib.tuning.scaled_batches import batches, micro_batch


@pytest.fixture
def taken(monkeypatch):
    """-> for a process, the ids of its instructions by step and micro-batch."""

    def collate(vlm, instructions, length):
        ids = tuple(one.id for one in instructions)
        return Collated({"x": torch.ones(1)}, torch.zeros(len(ids), 3, dtype=torch.long), ids, (), ())

    seen, usual = [], scaled_batches.micro_batch

    def noted(vlm, rows, config):
        seen.append([int(row.id.removeprefix("row ")) for row in rows])
        return usual(vlm, rows, config)

    monkeypatch.setattr(scaled_batches, "collate", collate)
    monkeypatch.setattr(scaled_batches, "micro_batch", noted)

    def of(config, step, rank, count, steps):
        seen.clear()
        with batches(None, config, Memory(), step, rank, count) as coming:
            sizes = [len(next(coming)) for _ in range(steps)]
        return [[seen.pop(0) for _ in range(size)] for size in sizes]

    return of


def test_processes_share_the_batch_of_a_step(taken):
    config = replace(CONFIG, batch_size=12, micro_batch=2)
    for count in (1, 2, 3, 4):
        of_all = [taken(config, 5, rank, count, 2) for rank in range(count)]
        for step in (0, 1):
            start = 12 * (5 + step)
            mine = [sum(of[step], []) for of in of_all]
            assert mine == [list(range(start + rank, start + 12, count)) for rank in range(count)]
            assert {len(of[step]) for of in of_all} == {-(-12 // count // 2)}  # as many micro-batches in each
            assert all(len(ids) <= 2 for of in of_all for ids in of[step])


def test_what_is_refused_is_told_and_what_is_left_is_counted():
    vlm, source = tiny_vlm(), Memory()
    rows = [source.one(i) for i in (4, 5, 6)]  # the middle one holds a special token
    found = micro_batch(vlm, rows, CONFIG)
    assert (found.rows, found.refused) == (2, ("special token in its words",))
    assert found.tokens == int((found.labels[:, 1:] != -100).sum()) > 0
    assert len(found.labels) == 2


def test_without_any_row_a_prompt_without_labels_takes_the_place():
    vlm = tiny_vlm()
    found = micro_batch(vlm, [Memory().one(5)], CONFIG)
    assert (found.rows, found.tokens) == (0, 0) and (found.labels == -100).all()
    assert vlm.model(**found.inputs).logits.isfinite().all()


def test_batches_are_made_ahead_in_a_thread_that_ends():
    before = threading.active_count()
    with batches(tiny_vlm(), CONFIG, Memory(), 0, 0, 1) as coming:
        next(coming)
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_an_error_of_the_source_comes_through():
    class Broken(Memory):
        def one(self, i):
            raise FileNotFoundError("gone")

    with pytest.raises(FileNotFoundError), batches(None, CONFIG, Broken(), 0, 0, 1) as coming:
        next(coming)
