"""The words of ``python -m paperlib.tuning.band_runs``, checked before torch loads, which takes seconds."""

import re
from collections.abc import Sequence

from paperlib.study.study import Study, StudyError

USAGE = "python -m paperlib.tuning.band_runs mini 0,1 'full;mid'"


def read_words(words: Sequence[str]) -> tuple[Study, list[int], list[str] | None]:
    """Study, seeds and arms from the command line. Commas divide seeds and semicolons arms.

    Seeds and arms may be left out: seeds are then 0 to 2, and arms None, for all. Raises StudyError for anything else;
    whether an arm exists is not checked here.
    """
    if not 1 <= len(words) <= 3:
        raise StudyError(f"Name a preset, and if need be seeds and arms: {USAGE}.")
    preset = words[0]
    seeds = words[1] if len(words) > 1 else "0,1,2"
    names = words[2].split(";") if len(words) > 2 else None
    if re.fullmatch(r"[0-9]{1,10}(,[0-9]{1,10})*", seeds) is None:
        raise StudyError(
            f"Seeds are whole numbers from 0 to {2**32 - 1} with commas between, such as 0,1,2, got {seeds[:40]!r}."
        )
    found = Study.make(preset), [int(seed) for seed in seeds.split(",")], names
    check_once(found[1], names or ())
    return found


def check_once(seeds: Sequence[int], names: Sequence[str]) -> None:
    """Raise StudyError unless there are seeds, each from 0 to 2**32 - 1, and no seed and no arm comes twice."""
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
            raise StudyError(f"A seed is a whole number from 0 to {2**32 - 1}, got {seed!r}.")
    if not seeds:
        raise StudyError("The band comparison needs at least one seed, such as 0.")
    for what, given in (("seed", seeds), ("arm", names)):
        twice = [one for i, one in enumerate(given) if one in given[:i]]
        if twice:
            raise StudyError(f"The {what} {twice[0]!r} is named twice: name each {what} once.")
