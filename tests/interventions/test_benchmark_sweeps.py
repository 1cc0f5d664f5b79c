"""Benchmark sweeps find the block of a planted circuit by each method, and a donor that is alike changes nothing."""

from dataclasses import replace

import numpy as np
import pytest
from planted import DEPTH, planted
from small_models import Noise

from paperlib.interventions.benchmark_sweeps import clear_windows, gap_rows, profile_rows, sweep_benchmark
from paperlib.interventions.sweep_scores import answer_probabilities, with_closed_edge
from paperlib.interventions.sweeps import Sweep
from paperlib.stats.votes import votes_together
from paperlib.tasks.benchmarks import Example

BLOCKS = [range(i, i + 1) for i in range(DEPTH)]
CENTRES = [(i + 0.5) / DEPTH for i in range(DEPTH)]


@pytest.fixture(scope="module")
def examples():
    """Ten pictures, each asked with the answer that the circuit reads in it: there is a gap to lose."""
    vlm, found = planted(read=3), []
    for i in range(10):
        one = Example(str(i), "b", "k", "test", "What?", "red", ("red", "blue"), Noise(i), str(i))
        [likely] = answer_probabilities([one], Sweep(vlm, [one], at=[0], fast=False).clean())
        found.append(one if likely > 0.5 else replace(one, answer="blue"))
    return found


def moved(effects):
    return [i for i, row in enumerate(effects) if np.abs(row).max() > 1e-2]


@pytest.mark.parametrize("read", [1, 3, 5])
def test_every_method_finds_the_block_that_reads(examples, read):
    found = sweep_benchmark(planted(read=read), planted(read=None), examples, BLOCKS)
    assert list(found.effects) == ["necessity", "sufficiency", "knockout"]
    assert {name: moved(effects) for name, effects in found.effects.items()} == dict.fromkeys(found.effects, [read])
    # One block holds the circuit, so each method finds the whole gap there.
    for effects in found.effects.values():
        assert effects[read] == pytest.approx(found.tuned - found.before, abs=1e-3)


def test_votes_point_where_the_circuit_is(examples):
    for read, word in ((1, "against"), (3, "for"), (5, "against")):
        found = sweep_benchmark(planted(read=read), planted(read=None), examples, BLOCKS)
        if found.gap().low > 0:  # answers were chosen for read=3; the gap of the others has either sign
            cells = {name: (effects, found.groups) for name, effects in found.effects.items()}
            assert {v.vote for v in votes_together(cells, CENTRES).values()} == {word}


def test_a_donor_that_is_alike_changes_nothing(examples):
    found = sweep_benchmark(planted(read=3), planted(read=3), examples, BLOCKS)
    assert moved(found.effects["necessity"]) == moved(found.effects["sufficiency"]) == []
    assert not gap_rows({"b": found})[0]["takes part"]


def test_knockout_is_that_of_both_edges_at_once(examples):
    """No question token reads in the planted circuit, so closing image to answer alone does the same."""
    vlm = planted(read=3)
    found = sweep_benchmark(vlm, None, examples, BLOCKS)
    sweep = Sweep(vlm, examples, at=range(DEPTH))
    clean = answer_probabilities(examples, sweep.clean())
    assert found.effects["knockout"] == pytest.approx(100 * (clean - with_closed_edge(sweep, "image->answer", BLOCKS)))
    assert list(found.effects) == ["knockout"] and found.before is None and found.gap() is None


def test_without_pictures_there_is_no_knockout(examples):
    bare = [replace(e, picture=None) for e in examples]
    found = sweep_benchmark(planted(read=3), planted(read=None), bare, BLOCKS)
    assert list(found.effects) == ["necessity", "sufficiency"]


def test_rows_hold_together_and_are_told_in_words(examples):
    one = sweep_benchmark(planted(read=3), planted(read=None), examples, BLOCKS)
    alone, both = profile_rows({"b": one}, CENTRES), profile_rows({"b": one, "c": one}, CENTRES)
    assert len(alone) == 18 and [r["benchmark"] for r in both[::18]] == ["b", "c"]
    at = next(i for i, r in enumerate(alone) if r["depth"] == CENTRES[3])
    assert alone[at]["effect"].value == pytest.approx(one.effects["necessity"][3].mean())
    assert both[at]["effect"].low < alone[at]["effect"].low
    assert clear_windows(alone) == [f"{name} at 0.58" for name in one.effects]
    assert gap_rows({"b": one})[0]["takes part"] and profile_rows({}, CENTRES) == gap_rows({}) == []
