"""Claim C6 by the rule of `paperlib.stats.verdicts`: the verdict, what it depends on, how often it can come out."""

import math
from collections.abc import Callable

from paperlib.stats.bootstrap import Interval
from paperlib.stats.conditions import SUPPORTED, Verdict, at_least
from paperlib.stats.verdicts import GAINS, KEEPS, band_verdict, beats_every_rival, enough
from paperlib.tasks.benchmarks import PICTURE_SUITES
from paperlib.tuning.band_results import MID, BandResults, pictured
from paperlib.tuning.band_runs import BASELINE, Answer
from paperlib.tuning.band_tables import SUITES, percent

RIVALS = ("early", "late", "sparse")  # of mid's size
FLAT = ("existence", "relation")  # what the training phase "matching" teaches, which no arm has


def judge(results: BandResults, arm: str, step: Interval, n_boot: int = 2000) -> Verdict:
    """The verdict on an arm. step: the time of its step as a share of full tuning's."""
    kept, gained = results.keeps(arm, n_boot=n_boot), results.gains(arm, n_boot=n_boot)
    return band_verdict(kept, gained, step)


def rival_rows(results: BandResults) -> list[dict]:
    """Mid minus each rival (points), alone and as one of all comparisons (Bonferroni), over the seeds of both."""
    return [
        {
            "rival": rival,
            "seeds": ", ".join(map(str, _shared(results, rival))),
            "mid minus it": percent(results.minus(MID, rival)),
            "corrected": percent(results.minus(MID, rival, level=1 - 0.05 / len(RIVALS))),
        }
        for rival in RIVALS
        if results.asked(rival)
    ]


def is_it_the_middle(results: BandResults) -> str:
    """Whether mid beats every rival: "yes", "no" or "open" (`paperlib.stats.verdicts.beats_every_rival`)."""
    there = [rival for rival in RIVALS if results.asked(rival)]
    over = {rival: results.minus(MID, rival) for rival in there}
    return beats_every_rival(over, {rival: len(_shared(results, rival)) for rival in there}, RIVALS)


def condition_rows(results: BandResults) -> list[dict]:
    """What mid keeps and gains (%) on other questions or by other intervals than the rule's."""
    conditions: dict[str, tuple[Callable[[Answer], bool], dict]] = {
        "by the rule": (pictured, {}),
        "90 % intervals": (pictured, {"level": 0.9}),
        "these training runs, other pictures": (pictured, {"runs": None}),
        "without counting": (lambda a: pictured(a) and a.kind != "count", {}),
        "without existence and relation": (lambda a: pictured(a) and a.kind not in FLAT and a.suite != "pope", {}),
    }
    conditions |= {f"seed {s} alone": (_seed_alone(s), {}) for s in results.seeds}
    conditions |= {f"{SUITES.get(suite, suite)} alone": (_suite_alone(suite), {}) for suite in PICTURE_SUITES}
    return [
        {
            "questions": name,
            "keeps": percent(results.keeps(MID, of, **how)),
            "gains": percent(results.gains(MID, of, **how)),
            "n": len(results.paired(MID, BASELINE, "full", of=of)[2]),
        }
        for name, (of, how) in conditions.items()
    ]


def enough_on(rows: list[dict]) -> list[str]:
    """The questions of `condition_rows` on which mid keeps and gains enough for C6."""
    return [r["questions"] for r in rows if enough(r["keeps"], r["gains"], 100 * KEEPS, 100 * GAINS)]


def how_often_supported(results: BandResults, like: str, step: Interval, n: int = 100) -> float:
    """How often (%) the rule would say "supported" if mid and another arm were alike.

    A coin for each picture says which of the two gets whose answers, n times.
    """
    verdicts = [judge(results.swap_answers(MID, like, i), MID, step, n_boot=400).word for i in range(n)]
    return 100 * verdicts.count(SUPPORTED) / n


def questions_needed(estimate: Interval | None, least: float) -> int | None:
    """How many questions would bring the lower end of an estimate's interval up to ``least`` with a power of 80 %, if
    its value is the true one and training runs grow in proportion (`stats.conditions`).

    Those that were asked if they are enough; None if no number would do, the value being no larger than ``least``.
    """
    if estimate is None or estimate.value <= least:
        return None
    condition = at_least(estimate, least)
    return estimate.n if condition.state == "holds" else math.ceil(estimate.n * (condition.times() or 1))


def _seed_alone(seed: int) -> Callable[[Answer], bool]:
    return lambda answer: pictured(answer) and answer.id.startswith(f"{seed} ")


def _suite_alone(suite: str) -> Callable[[Answer], bool]:
    return lambda answer: answer.suite == suite


def _shared(results: BandResults, rival: str) -> list[int]:
    return sorted(set(results.asked(rival)) & set(results.asked(MID)))
