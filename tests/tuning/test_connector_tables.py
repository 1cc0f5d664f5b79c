"""The table of trials: paired, together, and which connectors see."""

import numpy as np
import pytest

from paperlib.stats.effects import paired_difference
from paperlib.tuning.connector_tables import accuracy_rows, read_trials, that_see
from paperlib.tuning.connector_trials import ENCODER, RANDOM, TASKS, TRIALS

N = 200


def planted(**shares):
    """Trials with so many right answers, on the same scenes: who is right with less is right with more."""
    luck = np.random.default_rng(0).random(N)
    right = {
        name.replace("_", " "): {task: (luck < share).astype(int).tolist() for task in TASKS}
        for name, share in shares.items()
    }
    return {
        "scenes": {task: [str(i) for i in range(N)] for task in TASKS},
        "trials": {name: {"right": of} for name, of in right.items()},
    }


def test_differences_are_paired_and_hold_together():
    found = planted(vision_tower=0.8, random=0.5, good=0.78, same=0.5)
    rows = {(row["connector"], row["task"]): row for row in accuracy_rows(found)}
    row, right = rows["good", "count"], {k: v["right"]["count"] for k, v in found["trials"].items()}
    assert row["accuracy"].value == pytest.approx(np.mean(right["good"])) and row["accuracy"].n == N
    alone = paired_difference(right["good"], right["random"], range(N), (-1, 1))
    assert row["minus random"].value == alone.value and row["minus random"].low < alone.low
    assert rows["random", "count"]["minus random"] is None and rows[ENCODER, "count"]["minus tower"] is None
    assert rows["same", "count"]["minus random"].value == 0


def test_a_connector_sees_if_it_beats_a_random_one_everywhere_and_is_close_to_the_tower():
    found = planted(vision_tower=0.8, random=0.5, good=0.78, behind=0.7, same=0.5)
    assert that_see(accuracy_rows(found)) == ["good"]
    found["trials"]["good"]["right"]["colour"] = found["trials"]["random"]["right"]["colour"]
    assert that_see(accuracy_rows(found)) == []


def test_the_recorded_trials_are_those_that_are_defined():
    found = read_trials()
    assert set(found["trials"]) <= {ENCODER, *TRIALS} and {ENCODER, RANDOM} <= set(found["trials"])
    for name, trial in found["trials"].items():
        assert {task: len(right) for task, right in trial["right"].items()} == {
            task: len(found["scenes"][task]) for task in TASKS
        }
        assert name == ENCODER or len(trial["loss"]) == TRIALS[name].steps
