"""What the trials of stage 1 came to: accuracies of probes, and their differences from a connector never tuned."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from paperlib.stats.bootstrap import group_intervals
from paperlib.stats.interval import Interval
from paperlib.stats.multiplicity import Family, simultaneous_intervals
from paperlib.study.results import read_json
from paperlib.tuning.connector_trials import ENCODER, FILE, RANDOM, TASKS

CLOSE = 0.05  # how far below a probe of the vision tower's features a connector that sees may be


def read_trials() -> dict:
    """The recorded trials (`connector_trials`). Raises ResultError if there are none."""
    return read_json(FILE)


def accuracy_rows(found: Mapping, seed: int = 0) -> list[dict]:
    """{"connector", "task", "accuracy", "minus random", "minus tower"} (shares) for each trial and task.

    found: `read_trials`. Differences are paired by scene; those of one column hold together over trials and tasks. None
    where a thing would be compared with itself.
    """
    rows = []
    columns = {
        f"minus {name}": _differences(found, against, seed)
        for name, against in (("random", RANDOM), ("tower", ENCODER))
    }
    for name, trial in found["trials"].items():
        for task in TASKS:
            right, scenes = trial["right"][task], found["scenes"][task]
            accuracy = group_intervals([right], scenes, (0, 1), seed=seed)[0]
            rows.append(
                {"connector": name, "task": task, "accuracy": accuracy}
                | {column: of.get((name, task)) for column, of in columns.items()}
            )
    return rows


def _differences(found: Mapping, against: str, seed: int) -> dict[tuple[str, str], Interval]:
    trials = found["trials"]
    names = [name for name in trials if name != against]
    families = [
        Family(
            np.array([np.subtract(trials[name]["right"][task], trials[against]["right"][task]) for name in names]),
            found["scenes"][task],
            limits=(-1, 1),
        )
        for task in TASKS
    ]
    together = simultaneous_intervals(families, seed=seed) if names else []
    return {
        (name, task): interval
        for task, of in zip(TASKS, together, strict=bool(names))
        for name, interval in zip(names, of, strict=True)
    }


def that_see(rows: list[dict]) -> list[str]:
    """The connectors that clearly beat a random one on every task, and whose value is close to the tower's on each."""
    found = []
    for name in dict.fromkeys(row["connector"] for row in rows):
        of = [row for row in rows if row["connector"] == name and name not in (RANDOM, ENCODER)]
        if of and all(r["minus random"].low > 0 and r["minus tower"].value >= -CLOSE for r in of):
            found.append(name)
    return found
