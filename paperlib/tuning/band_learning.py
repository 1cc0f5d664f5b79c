"""How the arms learn: losses by step and by time, gaps to mid on the same batches, and the time to equal loss."""

from collections.abc import Mapping, Sequence

import numpy as np

from paperlib.stats.bootstrap import Interval
from paperlib.study.study import Study
from paperlib.tuning.arms import ARMS, SWEEPS, arm_config
from paperlib.tuning.band_results import FULL, MID, BandResults, smoothed

STARTS = ("early", "from 1/6", "mid", "from 1/2", "late")
WIDTHS = ("a fifth wide", "mid", "two thirds wide", "full")
ENTRIES = ("mid", "late entry at 1/6", "mid, late entry", "late entry at 1/2", "late entry at 2/3")
ENTRIES_TUNED = ("mid, connector tuned, short run", "late entry, connector tuned, short run")
FROZEN, TUNED = "connector frozen", "connector tuned too"


def length(results: BandResults) -> int:
    """Over how many steps all arms were trained."""
    return min(len(loss) for arm in ARMS for loss in results.losses(arm).values())


def arms_of_all_seeds(results: BandResults) -> list[str]:
    """The arms that were trained on every seed."""
    return [arm for arm in ARMS if sorted(results.losses(arm)) == results.seeds]


def one_seed(results: BandResults, seed: int) -> BandResults:
    """The results of one seed."""
    return BandResults([run for run in results.runs if run["seed"] == seed], results.seed)


def curve_rows(results: BandResults) -> list[dict]:
    """The loss of each arm along its run, over the steps since the point before: mean, lowest and highest seed.

    The first eighth is left out, where losses are too large to be told apart.
    """
    steps = length(results)
    every = max(1, steps // 24)
    shown, rows = range(max(every, steps // 8), steps + 1, every), []
    for arm in arms_of_all_seeds(results):
        each = np.array(
            [smoothed(loss.tolist(), every)[[s - 1 for s in shown]] for loss in results.losses(arm).values()]
        )
        rows += [
            {"arm": arm, "step": s, "loss": Interval(float(v.mean()), float(v.min()), float(v.max()), len(v))}
            for s, v in zip(shown, each.T, strict=True)
        ]
    return rows


def stretches(results: BandResults) -> tuple[slice, slice]:
    """The stretch of steps in which beginnings are compared, and the second half."""
    steps = length(results)
    quarter = max(1, steps // 4)
    return slice(quarter // 2, quarter), slice(steps // 2, steps)


def resampled_together(results: BandResults) -> int:
    """How many neighbouring steps a bootstrap draws together, for their losses are alike."""
    return max(1, length(results) // 48)


def gap_rows(results: BandResults) -> list[dict]:
    """Loss of each arm minus mid's on the same batches (nats per token), over all seeds and for each."""
    block, rows = resampled_together(results), []
    for arm in ARMS:
        if arm == MID or not results.losses(arm):
            continue
        seeds = sorted(results.losses(arm))
        for part in stretches(results):
            for name, some in [("all", results), *((str(s), one_seed(results, s)) for s in seeds)]:
                gap, _ = some.loss_gap(arm, part, block)
                rows.append({"arm": arm, "steps": f"{part.start + 1} to {part.stop}", "seed": name, "minus mid": gap})
    return rows


def equal_loss_rows(results: BandResults, step_times: Mapping[str, Interval]) -> list[dict]:
    """Time of each arm's run in percent of the time in which full tuning reaches the arm's last loss.

    step_times: of a step, as a share of full tuning's; the interval holds their lowest and highest round, and nothing
    else. None where full tuning never gets there. width: the means of how many steps are compared.
    """
    rows, steps = [], length(results)
    for arm in ARMS:
        if arm == FULL:
            continue
        for seed in sorted(results.losses(arm)):
            for width in sorted({max(1, steps // 12), max(1, steps // 6), max(1, steps // 4)}):
                share = results.time_to_equal_loss(arm, seed, 1.0, width)
                time = None if share is None else step_times[arm].scaled(100 * share)
                rows.append({"arm": arm, "seed": seed, "width": width, "time to equal loss": time})
    return rows


def equal_loss_range(rows: Sequence[Mapping], arm: str) -> Interval | None:
    """From the lowest to the highest of an arm's times over seeds, widths and rounds, with their median.

    None if full tuning did not always get there.
    """
    found = [row["time to equal loss"] for row in rows if row["arm"] == arm]
    if not found or None in found:
        return None
    median = float(np.median([time.value for time in found]))
    return Interval(median, min(time.low for time in found), max(time.high for time in found), len(found))


def sweep_seed(results: BandResults) -> int:
    """The seed on which most sweeps were trained; of equals that of the study, else the lowest."""
    trained = {s: sum(s in results.losses(arm) for arm in SWEEPS) for s in results.seeds}
    return max(results.seeds, key=lambda s: (trained[s], s == results.seed, -s))


def sweep_rows(study: Study, results: BandResults, blocks: int) -> list[dict]:
    """Beginnings of runs on one seed: loss minus mid's over the early stretch, by start, width and entry.

    "at" is the relative depth of the first tuned block or of the entry, or the share of blocks that are tuned.
    """
    first, (part, _) = one_seed(results, sweep_seed(results)), stretches(results)
    rows = []
    for question, connector, arms in (
        ("start", FROZEN, STARTS),
        ("width", FROZEN, WIDTHS),
        ("entry", FROZEN, ENTRIES),
        ("entry", TUNED, ENTRIES_TUNED),
    ):
        for arm in arms:
            if not first.losses(arm):
                continue
            config = arm_config(study, arm)
            tuned = config.layers or ()
            at = {"start": tuned[0], "width": len(tuned), "entry": config.enter}[question] / blocks
            gap, _ = first.loss_gap(arm, part, resampled_together(results))
            rows.append(
                {
                    "question": question,
                    "arm": arm,
                    "connector": connector,
                    "at": at,
                    "first block": tuned[0],
                    "minus mid": gap,
                }
            )
    return rows


def nearest_arm(study: Study, ends: Sequence[float], blocks: int) -> tuple[str, tuple[float, float], bool]:
    """The arm or sweep whose band of neighbouring blocks lies nearest to one with these ends, in relative depth.

    Its name, the ends of its own band, and whether only the beginning of its run is made.
    """
    found = []
    for arm in (*ARMS, *SWEEPS):
        tuned = arm_config(study, arm).layers or ()
        if len(tuned) == tuned[-1] + 1 - tuned[0]:
            first, end = tuned[0] / blocks, (tuned[-1] + 1) / blocks
            found.append((abs(first - ends[0]) + abs(end - ends[1]), arm, (first, end)))
    _, arm, own = min(found, key=lambda one: one[0])
    return arm, own, arm in SWEEPS


def entry_cost(results: BandResults, tuned: bool) -> Interval | None:
    """What entry at a third of the depth costs over mid with the same connector, frozen or tuned (nats per token, early
    stretch); None if it was not trained.
    """
    first, (part, _) = one_seed(results, sweep_seed(results)), stretches(results)
    base, late = ENTRIES_TUNED if tuned else (MID, "mid, late entry")
    if not (first.losses(base) and first.losses(late)):
        return None
    return first.loss_gap(late, part, resampled_together(results), other=base)[0]
