"""Tables of costs: shares by hand, and the 7B model against the formula."""

import numpy as np
import pytest

from paperlib.stats.bootstrap import Interval
from paperlib.study.study import Study
from paperlib.tuning import band_cost_tables as step_costs
from paperlib.tuning.arms import arm_config
from paperlib.tuning.flops_at_size import LLAVA_7B, Flops, step_flops
from paperlib.tuning.step_costs import StepCounts, StepTimes

NAMES = {name for pair in step_costs.KINDS.values() for name in pair}


def seconds(*rounds):
    half = np.array(rounds) / 2
    return StepTimes(half, half, np.zeros(len(rounds)), None)


@pytest.fixture
def times():
    return {name: seconds(1.0, 2.0) for name in NAMES} | {
        "full": seconds(1.9, 4.1),
        step_costs.REPEATED: seconds(2.1, 3.9),
    }


@pytest.fixture
def counts():
    small = StepCounts(Flops(10, 20), 5 * 10**6, 400, 30, 1)
    large = StepCounts(Flops(20, 40), 10**7, 500, 90, 1)
    return {name: large if name.startswith("full") else small for name in NAMES}


def test_full_tuning_is_the_mean_of_its_two_timings(times):
    assert step_costs.full_seconds(times).tolist() == [2, 4]
    step = step_costs.step_times(times)
    assert step["mid"] == Interval(0.5, 0.5, 0.5, 2)
    assert step["full"].value == pytest.approx(np.median([0.95, 1.025]))


def test_shares_of_full_tuning(times, counts):
    config = arm_config(Study.make("mini"), "mid")
    rows = step_costs.cost_rows({"mid, cached input": config, "full": config}, counts, times)
    mid = rows[0]
    assert mid["arm"] == "mid, cached input" and mid["blocks"] == 10 and mid["trained"] == 5
    assert (mid["FLOPs"], mid["saved activations"], mid["seconds"]) == (50, 80, 1.5)
    assert mid["time"] == Interval(50, 50, 50, 2) and rows[1]["FLOPs"] == 100


def test_mid_is_divided_by_full_tuning_of_its_own_kind(times, counts):
    times["full, all weights"] = seconds(4.0, 8.0)
    rows = {r["kind"]: r for r in step_costs.own_kind_rows(counts, times)}
    assert rows["all weights, connector frozen"]["time"].value == 25
    assert rows["LoRA, connector frozen"]["time"].value == 50
    assert rows["LoRA, connector tuned"]["gradients and moments"] == pytest.approx(100 / 3)


def test_the_7b_table_is_the_formula():
    row = step_costs.rows_7b((576,))[0]
    full = step_flops(LLAVA_7B, 60, 576, range(32)).total
    assert row["band"] == 100 * step_flops(LLAVA_7B, 60, 576, range(6, 17)).total / full
    assert row["late entry"] == pytest.approx(row["band"] * row["late entry, of band"] / 100)
    assert row["late entry"] < row["band"] < row["band, connector tuned"] < 100
    assert row["needed keys and values"] == 100 * (6 * 60 + 26 * 636) / (32 * 636)


def test_late_entry_saves_more_with_more_image_tokens():
    few, some, many = step_costs.rows_7b()
    for column in ("late entry, of band", "needed keys and values", "prefill"):
        assert few[column] > some[column] > many[column]
