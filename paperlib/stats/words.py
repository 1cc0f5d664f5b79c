"""From intervals to words, so that every notebook says the same of the same numbers."""

from collections.abc import Sequence

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


def count(n: int, one: str, many: str | None = None) -> str:
    """A number with its noun: "1 task", "3 tasks"; ``many`` where the plural is not ``one`` with an s."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"
