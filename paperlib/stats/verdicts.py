"""The rules of all six claims: what follows from the estimates, in the words of `conditions.py`.

They were rewritten once, when the numbers of the first mini model had been seen, because several of the first rules
could hardly come out; they came before any later model. Each is a list of conditions that must hold together, or a vote
of several methods. Where a rule speaks of the middle of the depth, that is the middle third or other `votes.BORDERS`.

**One event is counted once.** Methods that look at the same event (the answer's content passes from the image tokens to
the answer position) are no independent evidence. So they make up one group, whose word is formed first, and groups are
counted (`by_groups`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from paperlib.stats.conditions import (
    CONTRADICTORY,
    INCONCLUSIVE,
    NOT_SUPPORTED,
    SUPPORTED,
    UNMET,
    Condition,
    Verdict,
    above,
    at_least,
    below,
    decide,
    inside,
    stricter,
)
from paperlib.stats.interval import Interval
from paperlib.stats.votes import THIRD

ENTERS = 0.25  # C1: the least relative depth of entry, and the depth until which image tokens skip blocks
REMAINS = 0.9  # C1: the least share of what the picture adds that remains then
KEEPS, GAINS = 0.95, 0.80  # C6: the least shares of full tuning
MARGIN = 5.0  # C6: points that a band may fall short of full tuning on a benchmark


def by_bypass(keeps: Interval | None, over_captions: Interval | None, least: float) -> Verdict:
    """C1 by intervention: image tokens that skip the early blocks keep at least the share ``least`` of what the picture
    adds, and more than a caption's tokens keep of what the caption adds.

    keeps: the share; over_captions: that minus the captions', paired. None where a picture or caption adds nothing.
    """
    return decide([keeps and at_least(keeps, least), over_captions and above(over_captions)])


def by_entry_depth(depth: Interval, margins: Sequence[Interval], least: float) -> Verdict:
    """C1 by geometry: the best match lies at or above ``least`` of the depth, and every margin lies above 0.

    margins: `geometry.entry_depth.EntryDepth`'s, which compare with an untrained connector.
    """
    return decide([at_least(depth, least), *map(above, margins)] if margins else [])


def by_onsets(
    onsets: Mapping[str, Interval | None], borders: tuple[float, float] = THIRD
) -> tuple[dict[str, Verdict], Verdict]:
    """C2 for one event: what each task says of it, and what follows by `by_votes`.

    onsets: of each task (`stats.onset`), with intervals that hold together; None if nothing can clearly be read: then
    the task has no vote. A task is for the middle if its interval lies between the borders, against it if it lies
    wholly beyond one of them.
    """
    votes = {task: decide([None] if at is None else inside(at, borders)) for task, at in onsets.items()}
    return votes, by_votes(list(votes.values()))


def by_place(where: Interval | None, borders: tuple[float, float] = THIRD) -> Verdict:
    """C2 by one depth, where the answer's content leaves the image tokens: it lies between the borders. None if the
    content cannot be followed.
    """
    return decide([None] if where is None else inside(where, borders))


def by_votes(votes: Sequence[Verdict]) -> Verdict:
    """Supported if more than half of the votes are for and none is against; not supported if more than half are against
    and none for; contradictory if there are some of both, or only votes that are so in themselves; precondition not met
    if nobody has a vote; else inconclusive.

    votes: "supported" is for, "not supported" against, "precondition not met" no vote. They must be cast by intervals
    that hold together, so that both kinds together are more than chance. How many examples would decide: as many as
    give those votes that the majority lacks, if all open ones lean to its side; else no number can be named.
    """
    part = [vote for vote in votes if vote.word != UNMET]
    pro, contra = (sum(vote.word == word for vote in part) for word in (SUPPORTED, NOT_SUPPORTED))
    if not part:
        return Verdict(UNMET)
    if pro and contra:
        return Verdict(CONTRADICTORY)
    if 2 * max(pro, contra) > len(part):
        return Verdict(SUPPORTED if pro else NOT_SUPPORTED)
    if not pro + contra and any(vote.word == CONTRADICTORY for vote in part):
        return Verdict(CONTRADICTORY)
    lacking = len(part) // 2 + 1 - max(pro, contra)
    sides = {1} if pro else {-1} if contra else set()
    sides |= {vote.leans for vote in part if vote.word == INCONCLUSIVE}
    times = sorted(vote.times for vote in part if vote.times is not None)
    if len(sides) != 1 or len(times) < lacking:
        return Verdict(INCONCLUSIVE)
    return Verdict(INCONCLUSIVE, stricter(times[lacking - 1], lacking), *sides)


def by_groups(votes: Mapping[str, Sequence[Verdict]]) -> tuple[dict[str, Verdict], Verdict]:
    """What each group says, and what follows by `by_votes`. Groups are the benchmarks of C3, or the events of a claim.

    votes: of each group, those of its methods. A group is for if one of them is for and none against; against, if it is
    the other way round; contradictory, if there are both, and then it counts as a vote that is open.
    """
    said = {name: _together(of) for name, of in votes.items()}
    return said, by_votes(list(said.values()))


def _together(votes: Sequence[Verdict]) -> Verdict:
    words = {vote.word for vote in votes}
    if CONTRADICTORY in words or {SUPPORTED, NOT_SUPPORTED} <= words:
        return Verdict(CONTRADICTORY)
    for word in (SUPPORTED, NOT_SUPPORTED):
        if word in words:
            return Verdict(word)
    still = [vote for vote in votes if vote.word == INCONCLUSIVE]
    soonest = min((vote for vote in still if vote.times is not None), key=lambda vote: vote.times or 0, default=None)
    if not still:
        return Verdict(UNMET)
    # Methods that lean apart would contradict each other.
    return soonest if soonest and len({vote.leans for vote in still}) == 1 else Verdict(INCONCLUSIVE)


def by_growth(changes: Mapping[str, Sequence[Interval]], humps: Sequence[Interval]) -> Verdict:
    """C4: of each modality something grows, and nothing shrinks, given humps that can be extended.

    changes: of captions and of pictures, tuned minus before, with intervals that hold together; humps: by how much
    their profiles before tuning rise above both of their ends. Not supported if something shrinks and nothing grows;
    contradictory if one thing grows and another shrinks.
    """
    given = [above(hump) for hump in humps]
    if not changes or any(c.state != "holds" for c in given):
        return decide(given if changes else [], given)
    found = {name: [above(change) for change in of] for name, of in changes.items()}
    states = {name: {c.state for c in of} for name, of in found.items()}
    grows, shrinks = (any(word in of for of in states.values()) for word in ("holds", "fails"))
    if grows and shrinks:
        return Verdict(CONTRADICTORY)
    if shrinks:
        return Verdict(NOT_SUPPORTED)
    if all("holds" in of for of in states.values()):
        return Verdict(SUPPORTED)
    falling = [n for of in found.values() for c in of if c.distance < 0 and (n := c.times()) is not None]
    if falling:  # clear, it would contradict what grows
        return Verdict(INCONCLUSIVE) if grows else Verdict(INCONCLUSIVE, min(falling), -1)
    rising = [_soonest(of) for name, of in found.items() if "holds" not in states[name]]
    return Verdict(INCONCLUSIVE) if None in rising else Verdict(INCONCLUSIVE, _together_rise(rising), 1)


def _soonest(conditions: Sequence[Condition]) -> float | None:
    return min((n for c in conditions if c.distance > 0 and (n := c.times()) is not None), default=None)


def _together_rise(times: Sequence[float | None]) -> float:
    return stricter(max(t for t in times if t is not None), len(times))


def by_gain(middle: Interval, over_others: Sequence[Interval], beyond: Interval) -> Verdict:
    """C5: the alignment of pictures with what captions had before tuning grows in the middle, more there than in each
    other region, and beyond what the scenes' true attributes explain.

    middle, over_others: the gain there, and that minus the gain in each other region; beyond: the gain there that true
    attributes do not explain (`geometry.attribute_control`).
    """
    return decide([above(middle), *map(above, over_others), above(beyond)] if over_others else [])


def band_verdict(
    kept: Interval | None, gained: Interval | None, step: Interval, keeps: float = KEEPS, gains: float = GAINS
) -> Verdict:
    """C6 for a band: it keeps and gains at least so much of full tuning, and its step (as a share of full tuning's)
    takes less time. None where full tuning gains nothing: then there is nothing to keep.

    How many times the examples would decide counts questions: none would, where the time is what is open.
    """
    answers = decide([kept and at_least(kept, keeps), gained and at_least(gained, gains)])
    timed = decide([below(step, 1)])
    if answers.word == UNMET or NOT_SUPPORTED in (answers.word, timed.word):
        return Verdict(UNMET if answers.word == UNMET else NOT_SUPPORTED)
    return answers if timed.word == SUPPORTED or answers.leans < 0 else Verdict(INCONCLUSIVE)


def enough(kept: Interval | None, gained: Interval | None, keeps: float = KEEPS, gains: float = GAINS) -> bool:
    """Whether a band keeps and gains at least so much of full tuning, both by the lower ends."""
    return decide([kept and at_least(kept, keeps), gained and at_least(gained, gains)]).word == SUPPORTED


def by_margin(differences: Sequence[Interval], margin: float) -> Verdict:
    """C6 by benchmarks: every difference, band minus full tuning, lies above -margin. The precondition is that there is
    one, on a benchmark where full tuning gains.
    """
    return decide([above(difference, -margin) for difference in differences])


def beats_every_rival(over: dict[str, Interval], seeds: dict[str, int], rivals: Sequence[str], least: int = 3) -> str:
    """Whether a band beats every rival: "yes", "no" or "open".

    over: band minus rival; seeds: how many seeds each difference comes from. Differences from fewer than ``least``
    seeds decide nothing. "yes" if every difference lies above 0 with its interval, "no" if one lies below 0.
    """
    telling = {rival: above(difference) for rival, difference in over.items() if seeds[rival] >= least}
    if any(condition.state == "fails" for condition in telling.values()):
        return "no"
    won = {rival for rival, condition in telling.items() if condition.state == "holds"}
    return "yes" if rivals and set(rivals) <= won else "open"
