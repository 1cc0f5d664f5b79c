"""Two ways of scoring one benchmark side by side: the likeliest choice (`records.py`) and the reply (`generation.py`).

records, replies = choice_logprobs(vlm, examples), generate(vlm, examples, max_new_tokens=8)
agreement(examples, records, replies, score=pope.score)
"""

from collections.abc import Callable, Sequence

from paperlib.scoring.generation import Reply
from paperlib.scoring.records import Record
from paperlib.stats.bootstrap import group_intervals
from paperlib.stats.effects import paired_difference
from paperlib.stats.interval import Interval
from paperlib.tasks.benchmarks import Example


def named_choice(text: str, example: Example) -> str | None:
    """The choice that a reply is, letter case, outer blanks and a full stop aside; None if it is none of them.

    >>> from paperlib.tasks.benchmarks import examples
    >>> [named_choice(text, examples("pope", 1)[0]) for text in ("Yes.", "no", "I think so")]
    ['yes', 'no', None]
    """
    plain = {choice.strip().removesuffix(".").lower(): choice for choice in example.choices}
    return plain.get(text.strip().removesuffix(".").lower())


def agreement(
    examples: Sequence[Example],
    records: Sequence[Record],
    replies: Sequence[Reply],
    score: Callable[[str, Example], dict] | None = None,
    named: Callable[[str, Example], str | None] = named_choice,
    level: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> dict[str, Interval]:
    """What both ways find on the same examples, as shares in [0, 1] with intervals over groups.

    Args:
        examples: the examples, with choices.
        records: what `records.choice_logprobs` says of them, in any order.
        replies: what `generation.generate` says of them, in any order.
        score: the benchmark's rule for a reply, whose "correct" is 0 or 1; without one, a reply is right if it names
            the answer.
        named: the choice that a reply names, or None.
        level: of the intervals, see `stats.bootstrap`.
        n_boot: draws of the bootstrap.
        seed: of these draws.

    Returns:
        "choices" and "replies": the accuracy of each way; "difference": replies minus choices, paired; "both right or
        both wrong"; "same choice": the reply names the likeliest choice; "unreadable": the reply names none.

    Raises:
        ValueError: no examples, one side that lacks an example or holds others, ids that repeat, a score that is
            neither 0 nor 1.
    """
    likeliest, said = _by_id(examples, records, "records"), _by_id(examples, replies, "replies")
    names = [named(said[e.id].text, e) for e in examples]
    by_choice = [bool(likeliest[e.id].correct) for e in examples]
    if score is None:
        by_reply = [name == e.answer for e, name in zip(examples, names, strict=True)]
    else:
        by_reply = [_right(score(said[e.id].text, e)["correct"], e) for e in examples]
    rows = {
        "choices": by_choice,
        "replies": by_reply,
        "both right or both wrong": [a == b for a, b in zip(by_choice, by_reply, strict=True)],
        "same choice": [likeliest[e.id].prediction == name for e, name in zip(examples, names, strict=True)],
        "unreadable": [name is None for name in names],
    }
    groups = [e.group for e in examples]
    found = dict(zip(rows, group_intervals(list(rows.values()), groups, (0, 1), level, n_boot, seed), strict=True))
    return found | {"difference": paired_difference(by_reply, by_choice, groups, (-1, 1), level, n_boot, seed)}


def _by_id(examples: Sequence[Example], found: Sequence, what: str) -> dict:
    by_id = {one.id: one for one in found}
    if (
        not examples
        or len(by_id) < len(found)
        or by_id.keys() != {e.id for e in examples}
        or len(examples) != len(found)
    ):
        raise ValueError(
            f"Both ways must be asked the same examples once each, but there are {len(examples)} examples and "
            f"{len(found)} {what}, not all of the same ids: score the same list both ways."
        )
    return by_id


def _right(correct: float, example: Example) -> bool:
    if correct not in (0, 1):
        raise ValueError(
            f"The score of example {example.id!r} is {correct!r}, which is neither right nor wrong: give a rule whose "
            f"'correct' is 0 or 1."
        )
    return bool(correct)
