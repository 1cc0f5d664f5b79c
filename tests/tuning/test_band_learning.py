"""Learning curves, gaps and times to equal loss, by hand on short runs and on the shipped ones."""

import numpy as np
import pytest

from paperlib.stats.bootstrap import Interval
from paperlib.study.study import Study
from paperlib.tuning import band_learning as learning
from paperlib.tuning.arms import ARMS
from paperlib.tuning.band_results import BandResults, smoothed
from paperlib.tuning.band_runs import read_reference

FALL = np.linspace(4, 1, 48)


def run(arm, seed, loss):
    return {"arm": arm, "seed": seed, "loss": list(loss), "answers": [], "other": []}


@pytest.fixture
def short():
    """Full falls by itself, mid lies 0.5 above it and late 0.25 below mid; seed 1 lies 0.1 higher, without late."""
    above = {"full": 0, "mid": 0.5, "late": 0.25}
    runs = [run(arm, 0, FALL + up) for arm, up in above.items()]
    runs += [run(arm, 1, FALL + up + 0.1) for arm, up in above.items() if arm != "late"]
    return BandResults([*runs, run("from 1/6", 1, FALL[:12])])


@pytest.fixture(scope="module")
def shipped():
    return BandResults(read_reference(Study.make("mini")))


def test_curves_are_those_of_arms_that_all_seeds_have(short):
    rows = learning.curve_rows(short)
    assert {r["arm"] for r in rows} == {"full", "mid"} and [r["step"] for r in rows[:2]] == [6, 8]
    first = rows[0]["loss"]
    assert first.value == pytest.approx(FALL[4:6].mean() + 0.05) and first.n == 2
    assert (first.low, first.high) == pytest.approx((FALL[4:6].mean(), FALL[4:6].mean() + 0.1))


def test_gaps_are_those_that_were_planted(short):
    rows = learning.gap_rows(short)
    assert {r["arm"] for r in rows} == {"full", "late"}
    assert {r["steps"] for r in rows} == {"7 to 12", "25 to 48"}
    found = {(r["arm"], r["seed"]): r["minus mid"].value for r in rows if r["steps"] == "25 to 48"}
    assert found == pytest.approx(
        {("full", "all"): -0.5, ("full", "0"): -0.5, ("full", "1"): -0.5}
        | {("late", "all"): -0.25, ("late", "0"): -0.25}
    )


def test_time_to_equal_loss_goes_with_the_time_of_a_step(short):
    step = {arm: Interval(0.5, 0.4, 0.75, 4) for arm in ARMS}
    rows = learning.equal_loss_rows(short, step)
    assert {(r["arm"], r["seed"]) for r in rows} == {("mid", 0), ("mid", 1), ("late", 0)}
    for r in rows:
        share = short.time_to_equal_loss(r["arm"], r["seed"], 1, r["width"])
        assert r["time to equal loss"][:3] == pytest.approx((50 * share, 40 * share, 75 * share))
    times = [r["time to equal loss"] for r in rows if r["arm"] == "mid"]
    span = learning.equal_loss_range(rows, "mid")
    assert (span.low, span.high) == (min(t.low for t in times), max(t.high for t in times)) and span.n == len(times)


def test_a_loss_that_full_tuning_never_reaches_has_no_time():
    never = BandResults([run("full", 0, FALL + 2), run("mid", 0, FALL)])
    rows = learning.equal_loss_rows(never, {"mid": Interval(0.5, 0.5, 0.5, 4)})
    assert {r["time to equal loss"] for r in rows} == {None} and learning.equal_loss_range(rows, "mid") is None


def test_sweeps_are_compared_on_the_seed_that_has_them(short, shipped):
    assert learning.sweep_seed(short) == 1 and learning.sweep_seed(shipped) == 0
    rows = learning.sweep_rows(Study.make("mini"), shipped, 30)
    starts = {r["arm"]: r["at"] for r in rows if r["question"] == "start"}
    assert starts == {"early": 0, "from 1/6": 5 / 30, "mid": 10 / 30, "from 1/2": 0.5, "late": 20 / 30}
    widths = {r["arm"]: r["at"] for r in rows if r["question"] == "width"}
    assert widths == {"a fifth wide": 0.2, "mid": 10 / 30, "two thirds wide": 20 / 30, "full": 1}
    assert {r["minus mid"] for r in rows if r["arm"] == "mid"} == {Interval(0, 0, 0, 30)}
    tuned = [r["at"] for r in rows if r["connector"] == learning.TUNED]
    assert tuned == [0, 10 / 30]


def test_what_entry_costs_is_measured_over_mid_with_the_same_connector(shipped):
    first = learning.one_seed(shipped, 0)
    mine, base = (
        first.losses(arm)[0][30:60]
        for arm in ("late entry, connector tuned, short run", "mid, connector tuned, short run")
    )
    assert learning.entry_cost(shipped, tuned=True).value == pytest.approx((mine - base).mean())
    assert learning.entry_cost(learning.one_seed(shipped, 1), tuned=True) is None


def test_a_shipped_curve_is_the_smoothed_loss(shipped):
    rows = [r for r in learning.curve_rows(shipped) if r["arm"] == "mid"]
    each = [smoothed(loss.tolist(), 10)[239] for loss in shipped.losses("mid").values()]
    assert rows[-1]["step"] == 240 and rows[-1]["loss"].value == pytest.approx(np.mean(each))
    assert learning.length(shipped) == 240 and learning.resampled_together(shipped) == 5
    assert learning.stretches(shipped) == (slice(30, 60), slice(120, 240))


@pytest.mark.parametrize("ends, arm", [((0.19, 0.53), "from 1/6"), ((0, 1), "full"), ((0.3, 0.7), "mid")])
def test_the_nearest_arm(ends, arm):
    name, (first, end), brief = learning.nearest_arm(Study.make("mini"), ends, 30)
    assert name == arm and brief == (arm == "from 1/6") and first < end
