"""From numbers and intervals to words, so that every notebook says the same of the same numbers."""

from collections.abc import Iterable, Mapping, Sequence

from paperlib.stats.conditions import INCONCLUSIVE, POWER, UNMET, Verdict
from paperlib.stats.interval import Interval


def direction(
    change: Interval, up: str = "rises", down: str = "falls", unclear: str = "does not change clearly", by: float = 0.0
) -> str:
    """The word for a change: ``up`` if its interval lies above ``by``, ``down`` if below ``-by``, else ``unclear``."""
    if change.low > by:
        return up
    return down if change.high < -by else unclear


def listed(names: Sequence[str], none: str = "none") -> str:
    """Names as a sentence holds them: "a", "a and b", "a, b and c"; ``none`` if there are no names."""
    if not names:
        return none
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def sentence_case(text: str) -> str:
    """The text with a great first letter, all others as they are: "LLM before tuning" stays itself."""
    return text[:1].upper() + text[1:]


def count(n: int, one: str, many: str | None = None) -> str:
    """A number with its noun: "1 task", "3 tasks"; ``many`` where the plural is not ``one`` with an s."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def written(value: object, spec: str = ".3g", none: str = "–") -> str:
    """A decimal or an interval as ``spec`` says, a whole number with its thousands apart, anything else as it is.

    ``none`` is written for a value that does not exist.
    """
    if value is None:
        return none
    if isinstance(value, float | Interval):
        return format(value, spec)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def values(estimates: Mapping[str, Interval], spec: str = ".0p") -> str:
    """Such as "a (57 [47, 67]) and b (43 [32, 55])"; "none" if there are none."""
    return listed([f"{name} ({estimate:{spec}})" for name, estimate in estimates.items()])


def by_word(words: Mapping[str, str]) -> str:
    """Things grouped by the word that holds of them: {"a": "ahead of", "b": "behind"} is "ahead of a; behind b"."""
    groups = {word: [name for name, other in words.items() if other == word] for word in words.values()}
    return "; ".join(f"{word} {listed(names)}" for word, names in groups.items())


def by_direction(
    changes: Mapping[str, Interval],
    up: str = "rises for",
    down: str = "falls for",
    unclear: str = "does not change clearly for",
    spec: str = "+.0p",
) -> str:
    """Such as "rises for a (+9 [+2, +15]) and b (...); does not change clearly for c (...)".

    Each change is sorted by `direction` and printed as ``spec`` says, shares in points by default.
    Raises ValueError for no changes.
    """
    if not changes:
        raise ValueError("A sentence about changes needs at least one.")
    said = {f"{name} ({change:{spec}})": direction(change, up, down, unclear) for name, change in changes.items()}
    order = [name for word in dict.fromkeys((up, down, unclear)) for name in said if said[name] == word]
    return by_word({name: said[name] for name in order})


def names_above(rows: Iterable[Mapping], name: str, column: str, level: float = 0.0) -> list[str]:
    """The names of the rows whose estimate lies above a level with its interval."""
    return [row[name] for row in rows if row[column] is not None and row[column].low > level]


def would_decide(verdict: Verdict, needed: int | None) -> list[str]:
    """One sentence on the n that would decide an open verdict, two digits of it; none for a verdict that is decided."""
    if verdict.word not in (INCONCLUSIVE, UNMET) or (verdict.word == UNMET and needed is None):
        return []
    if needed is None:
        return ["No n can be named that would decide."]
    what = "decide" if verdict.word == INCONCLUSIVE else "show the precondition"
    power = f"with a power of {100 * POWER:.0f} %"
    return [f"An n of about {float(f'{needed:.2g}'):,.0f} would {what} {power}, if what was seen is the truth."]
