"""Patching over a grid of layers, on a planted circuit whose reading block is known."""

import numpy as np
import pytest
from planted import DEPTH, planted
from small_models import Noise, one_sentence

from paperlib.interventions.patching_curves import (
    hold_lost,
    leaving_depth,
    log_odds,
    paired_sources,
    patched,
    resumed_at,
    steepest,
)
from paperlib.interventions.sweeps import Sweep
from paperlib.tasks.benchmarks import Example

LAYERS = list(range(DEPTH + 1))


def example(number, side, answer):
    seed = 2 * number + (side == "twin")
    return Example(
        f"{number}/{side}", "counterfactuals", "colour", "test", "Hm?", answer, ("r", "d"), Noise(seed), str(number)
    )


PAIRS = [(example(i, "scene", "r"), example(i, "twin", "d")) for i in range(3)]


@pytest.mark.parametrize("read", [0, 2, DEPTH - 1])
def test_the_hold_passes_from_the_image_to_the_answer_position_at_the_reading_block(read):
    vlm = planted(read)
    mine, other = paired_sources(PAIRS)
    here = Sweep(vlm, mine, at={resumed_at(vlm, layer) for layer in LAYERS}, fast=False)
    there = Sweep(vlm, other, at=[0], fast=False)
    start, end = log_odds(here.clean()), log_odds(there.clean())
    assert np.abs(start - end).min() > 1e-3
    found = patched(here, there, LAYERS, ("image", "question", "answer position"))
    for layer in LAYERS:
        assert found["image"][layer] == pytest.approx(end if layer <= read else start, abs=1e-4)
        assert found["answer position"][layer] == pytest.approx(end if layer > read else start, abs=1e-4)
        assert found["question"][layer] == pytest.approx(start, abs=1e-4)
    lost = hold_lost(found["image"], LAYERS, [range(i, i + 1) for i in range(DEPTH)])
    assert lost[read] == pytest.approx(start - end, abs=1e-4)
    assert np.delete(lost, read, axis=0) == pytest.approx(0, abs=1e-4)


def test_paired_sources_have_the_same_rows():
    mine, other = paired_sources(PAIRS)
    assert [e.id for e in mine] == [e.id for e in other] and [e.answer for e in other] == ["r"] * 3
    assert [e.picture for e in other] == [b.picture for _, b in PAIRS]


def test_sweeps_of_other_questions_are_refused():
    vlm = planted(2)
    mine, other = paired_sources(PAIRS)
    with pytest.raises(ValueError) as error:
        patched(Sweep(vlm, mine, at=[0]), Sweep(vlm, other[:2], at=[0]), [0], ["image"])
    assert "same questions" in one_sentence(error.value)


def test_between_layers_of_the_grid_the_hold_is_interpolated():
    odds = np.array([[-4.0], [-4.0], [0.0]])  # it holds 4 nats at layers 0 and 4, and none at layer 8
    lost = hold_lost(odds, [0, 4, 8], [range(4), range(4, 6), range(5, 8), range(8)])
    assert lost[:, 0].tolist() == [0.0, 2.0, 3.0, 4.0]


def test_the_leaving_depth_is_where_half_of_what_is_held_is_left():
    depth, groups = [0.0, 0.25, 0.5, 0.75, 1.0], list("abcdefgh")
    clean, counterfactual = np.full(8, 3.0), np.full(8, -3.0)
    odds = np.array([-3.0, -3, -3, 1, 3])[:, None] + 0.1 * np.random.default_rng(0).normal(size=(5, 8))
    found = leaving_depth(odds, depth, clean, counterfactual, groups)
    assert found.value == pytest.approx(0.5 + 0.25 * 3 / 4, abs=0.03) and found.low < found.value < found.high
    back = np.array([-3.0, 2, -3, 1, 3])[:, None] + 0 * odds
    assert leaving_depth(back, depth, clean, counterfactual, groups).value == pytest.approx(0.6875), "for good"
    steady = np.linspace(-3, 3, 5)[:, None] + 0.1 * np.random.default_rng(0).normal(size=(5, 8))
    assert leaving_depth(steady, depth, clean, counterfactual, groups).value == pytest.approx(0.5, abs=0.03)


def test_nothing_leaves_where_nothing_is_told_apart_or_held():
    depth, groups, clean, counterfactual = [0, 0.5, 1], list("abcdefgh"), np.full(8, 3.0), np.full(8, -3.0)
    odds = np.array([-3.0, 0, 3])[:, None].repeat(8, axis=1)
    assert leaving_depth(odds, depth, counterfactual, clean, groups) is None
    assert leaving_depth(odds[::-1], depth, clean, counterfactual, groups) is None, "nothing is held at first"
    assert leaving_depth(odds[:1].repeat(3, axis=0), depth, clean, counterfactual, groups) is None, "it never leaves"


def test_the_steepest_fall_of_the_hold():
    assert steepest(np.array([[-5.0, -5], [-4, -5], [1, 0], [1, 1]]), [0, 3, 6, 9]) == (3, 6)
