"""Tables of the band comparison: what each arm keeps and gains, and where, in percent and percentage points."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from paperlib.figures.rows import split
from paperlib.stats.bootstrap import Interval, group_intervals
from paperlib.stats.effects import gap_share
from paperlib.tasks.benchmarks import examples
from paperlib.tuning.arms import ARMS
from paperlib.tuning.band_results import FULL, MID, BandResults, pictured
from paperlib.tuning.band_runs import BASELINE, Answer

CHANCE = "chance"
# Suites that stand as one column; the others are shown kind by kind.
SUITES = {
    "pope": "POPE",
    "held-out concepts": "held-out concepts",
    "outside": "easy-VQA",
    "text": "text-only questions",
}
# The unit of each column of the tables of notebook 05.
UNITS = {
    **dict.fromkeys(("accuracy", "keeps", "gains", "as recorded", "other picture", "own picture", "supported"), "%"),
    **dict.fromkeys((CHANCE, "stage 1", "full", "mid", "time", "FLOPs", "saved activations"), "%"),
    **dict.fromkeys(("gradients and moments", "time to equal loss", "prefill", "needed keys and values"), "%"),
    **dict.fromkeys(("band", "band, connector tuned", "band, all weights", "late entry", "late entry, of band"), "%"),
    **dict.fromkeys(("minus full", "mid minus it", "corrected", "text-only, minus stage 1"), "points"),
    **dict.fromkeys(("gain of full", "gain from the picture"), "points"),
    **dict.fromkeys(("loss", "minus mid"), "nats per token"),
    "trained": "million",
    "seconds": "s",
    "activations": "MB",
}


def units(rows: Sequence[Mapping]) -> dict[str, str]:
    """The unit of each column that has one."""
    return {column: UNITS[column] for column in rows[0] if column in UNITS}


def with_seeds(results: BandResults, arm: str) -> str:
    """An arm, or stage 1, with the seeds behind it where an arm was not asked on all of them."""
    asked = results.asked(arm)
    seeds = "" if asked == results.seeds else f" (seed {', '.join(map(str, asked))})"
    return arm + seeds


def percent(share: Interval | None) -> Interval | None:
    """A share, or a difference of shares, in percent (or percentage points)."""
    return None if share is None else share.scaled(100)


def column(answer: Answer) -> str:
    """Where a question stands in a table: its kind for questions about test pictures, else its suite."""
    return SUITES.get(answer.suite, answer.kind)


def text_only(answer: Answer) -> bool:
    """Whether a question shows no picture."""
    return answer.suite == "text"


def chance_by_id(results: BandResults) -> dict[str, float]:
    """{id: chance} of every question that full tuning was asked: one over the number of its choices.

    Questions are drawn again from their seed, of each suite as many as were asked.
    """
    asked = results.answers(FULL)
    most = Counter((i.split()[0], a.suite, a.kind) for i, a in asked.items())
    found: dict[str, float] = {}
    for seed, suite in dict.fromkeys((seed, suite) for seed, suite, _ in most):
        n = max(count for (s, b, _), count in most.items() if (s, b) == (seed, suite))
        found |= {f"{seed} {suite} {e.id}": 1 / len(e.choices) for e in examples(suite, n, int(seed))}
    return {i: found[i] for i in asked}


def accuracy_rows(results: BandResults) -> list[dict]:
    """Accuracy (%) on questions with a picture, by arm and seed."""
    return [
        {
            "arm": arm,
            "seed": seed,
            "accuracy": 100 * results.accuracy(arm, seed),
            "n": sum(i.split()[0] == str(seed) for i in results.answers(arm, pictured)),
        }
        for arm in (BASELINE, *ARMS)
        for seed in results.asked(arm)
    ]


def arm_rows(results: BandResults) -> list[dict]:
    """What each arm keeps and gains (%), mid's and its lead over full tuning in points, and on text-only questions its
    lead over stage 1. None where full tuning gains nothing for sure, and for mid and stage 1 beside themselves.
    """
    return [
        {
            "arm": arm,
            "seeds": ", ".join(map(str, results.asked(arm))),
            "accuracy": 100 * results.accuracy(arm),
            "keeps": percent(results.keeps(arm)),
            "gains": percent(results.gains(arm)),
            "minus full": percent(results.minus(arm, FULL)) if arm != FULL else _nothing(results),
            "mid minus it": None if arm == MID else percent(results.minus(MID, arm)),
            "text-only, minus stage 1": None if arm == BASELINE else percent(results.minus(arm, BASELINE, text_only)),
            "n": len(results.answers(arm, pictured)),
        }
        for arm in (BASELINE, *ARMS)
        if results.asked(arm)
    ]


def column_rows(results: BandResults) -> list[dict]:
    """Accuracy (%) of chance and of each arm by column, and minus full tuning's on the same questions (points)."""
    right = {with_seeds(results, arm): _right(results, arm) for arm in (BASELINE, *ARMS) if results.asked(arm)}
    asked, full, rows = results.answers(FULL), right[FULL], []
    for name, values in ({CHANCE: chance_by_id(results)} | right).items():
        place = {i: column(asked[i]) for i in full if i in values}
        for where in dict.fromkeys(place.values()):
            ids = [i for i, c in place.items() if c == where]
            mine, theirs = (100 * float(np.mean([found[i] for i in ids])) for found in (values, full))
            rows.append({"arm": name, "column": where, "accuracy": mine, "minus full": mine - theirs, "n": len(ids)})
    return rows


def table_map(rows: Sequence[Mapping], value: str) -> list[list[float | None]]:
    """One number of `column_rows` as a table, arms by columns; None where an arm was not asked."""
    found = {(row["arm"], row["column"]): row[value] for row in rows}
    arms, columns = split(rows, "arm"), split(rows, "column")
    return [[found.get((arm, c)) for c in columns] for arm in arms]


def gain_rows(results: BandResults) -> list[dict]:
    """By column: chance, accuracy of stage 1, full tuning and mid (%), and full tuning's gain over stage 1 (points)."""
    chances, rows = chance_by_id(results), []
    columns = dict.fromkeys(column(a) for a in results.answers(FULL, pictured).values())
    for where in columns:

        def here(answer: Answer, where: str = where) -> bool:
            return pictured(answer) and column(answer) == where

        scores, groups, ids = results.paired(BASELINE, FULL, MID, of=here)
        runs = [group.split()[0] for group in groups]
        found = group_intervals(scores, groups, (0, 1), seed=results.seed, runs=runs)
        rows.append(
            {"column": where, CHANCE: 100 * float(np.mean([chances[i] for i in ids]))}
            | {arm: percent(i) for arm, i in zip((BASELINE, FULL, MID), found, strict=True)}
            | {"gain of full": percent(results.minus(FULL, BASELINE, here)), "n": len(ids)}
        )
    return rows


def share_of_gain(results: BandResults, kind: str) -> Interval | None:
    """Which part of full tuning's gain over stage 1 comes from questions of one kind (%); None if it gains nothing for
    sure.
    """
    (before, full), groups, ids = results.paired(BASELINE, FULL)
    asked = results.answers(FULL)
    only = np.where([asked[i].kind == kind for i in ids], full, before)
    runs = [group.split()[0] for group in groups]
    return percent(gap_share(only, before, full, groups, seed=results.seed, runs=runs))


def looking_rows(results: BandResults) -> list[dict]:
    """Accuracy (%) with another question's picture and with the own one, and the gain from the picture (points)."""
    rows = []
    for arm in (BASELINE, FULL, MID):
        other, own, gain = results.gain_from_image(arm)
        rows.append(
            {
                "arm": arm,
                "other picture": 100 * other,
                "own picture": 100 * own,
                "gain from the picture": percent(gain),
                "n": gain.n,
            }
        )
    return rows


def unbeaten(rows: Sequence[Mapping], cost: str, gain: str) -> list[str]:
    """The arms that no other beats in both: none costs at most as much, gains at least as much, and differs in one."""
    points = {row["arm"]: (row[cost].value, -row[gain].value) for row in rows}
    return [
        arm
        for arm, (x, y) in points.items()
        if not any(a <= x and b <= y and (a, b) != (x, y) for a, b in points.values())
    ]


def live_rows(results: BandResults, live: Mapping[str, Sequence[Answer]]) -> list[dict]:
    """Live answers beside recorded ones: accuracy (%), and the share (%) of questions asked both times with the same
    outcome; None where no question was.
    """
    rows = []
    for arm, answers in live.items():
        recorded = results.answers(arm)
        same = [a.correct == recorded[a.id].correct for a in answers if a.id in recorded]
        rows.append(
            {
                "arm": arm,
                "accuracy": 100 * float(np.mean([a.correct for a in answers])),
                "n": len(answers),
                "as recorded": 100 * float(np.mean(same)) if same else None,
                "asked both times": len(same),
            }
        )
    return rows


def _nothing(results: BandResults) -> Interval:
    """What an arm leads by over itself: no estimate, so it has no width."""
    return Interval(0.0, 0.0, 0.0, len(results.answers(FULL, pictured)))


def _right(results: BandResults, arm: str) -> dict[str, float]:
    return {i: float(a.correct) for i, a in results.answers(arm).items()}
