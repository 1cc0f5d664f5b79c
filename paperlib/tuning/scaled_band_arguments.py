"""The words of ``make bands``, checked before torch loads, which takes seconds.

python -m paperlib.tuning.scaled_band_arguments paper model=llava-1.5-7b bands=full,6:17 data=folder
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paperlib.models.lineages import LineageError, lineage_of
from paperlib.study.make_arguments import values
from paperlib.study.study import Study, StudyError
from paperlib.tuning.bands import BandError, band

USAGE = "make bands PRESET=paper MODEL=llava-1.5-7b BANDS=full,6:17 DATA=folder-or-hub-id"
ANY_DEPTH = 1000  # blocks: more than any model has
NUMBERS: dict[str, type] = {"length": int, "micro_batch": int, "every": int, "lr": float, "lr_connector": float}
CHOICES: dict[str, dict[str, Any]] = {
    "method": {"lora": "lora", "full": "full"},
    "connector": {"tuned": True, "frozen": False},
    "checkpointing": {"true": True, "false": False},
}
TEXTS = ("bands", "data", "pictures", "accelerate")


@dataclass(frozen=True)
class Asked:
    """What was asked for. settings: fields of a `ScaledConfig`. accelerate: options of `accelerate launch`.

    pictures: where the files of pictures are, if not beside the data. every: steps from checkpoint to checkpoint.
    """

    study: Study
    bands: tuple[str, ...]
    data: str
    pictures: str | None
    settings: Mapping[str, Any]
    every: int
    accelerate: tuple[str, ...]


def read_words(words: Sequence[str]) -> Asked:
    """Preset, then words "name=value": `TEXTS`, `NUMBERS`, `CHOICES`, and fields of a study.

    Raises StudyError for words that are missing, unknown or cannot be read, BandError for a band of another form, and
    LineageError for an unknown model. Whether model and data are there is not checked here.
    """
    if not words:
        raise StudyError(f"Name a preset, bands and data: {USAGE}.")
    given: dict[str, str] = {}
    for word in words[1:]:
        name, equals, value = word.partition("=")
        if not (name and equals and value) or name in given:
            raise StudyError(f"Each word is name=value, and no name comes twice, got {word!r}: {USAGE}.")
        given[name] = value
    for name in ("bands", "data"):
        if name not in given:
            raise StudyError(f"Name the {name}: {USAGE}.")
    texts = {name: given.pop(name, "") for name in TEXTS}
    settings = {name: _number(name, given.pop(name)) for name in NUMBERS if name in given}
    settings |= {name: _choice(name, given.pop(name)) for name in CHOICES if name in given}
    study = Study.make(words[0], **values(given))
    lineage_of(study.model)
    every = settings.pop("every", 100)
    bands = tuple(spec.strip() for spec in texts["bands"].split(","))
    for i, spec in enumerate(bands):
        band(spec, ANY_DEPTH)
        if spec in bands[:i]:
            raise StudyError(f"The band {spec!r} is named twice: name each once.")
    try:
        options = tuple(shlex.split(texts["accelerate"]))
    except ValueError as error:
        raise StudyError(f"The options of accelerate cannot be read ({error}): close what is quoted.") from None
    if "--cpu" in options:
        raise StudyError(
            "accelerate starts one process alone with --cpu: say device=cpu in CONFIG, and --multi_gpu or --use_fsdp "
            "in ACCELERATE, which on CPUs stand for several processes too."
        )
    return Asked(study, bands, texts["data"], texts["pictures"] or None, settings, every, options)


def _number(name: str, value: str) -> Any:
    wanted = NUMBERS[name]
    pattern = r"[0-9]{1,9}" if wanted is int else r"[0-9]*\.?[0-9]+(e-?[0-9]+)?"
    if re.fullmatch(pattern, value) is None or float(value) <= 0:
        raise StudyError(f"{name} is a {'whole ' * (wanted is int)}number above 0, got {value[:40]!r}.")
    return wanted(value)


def _choice(name: str, value: str) -> Any:
    if value not in CHOICES[name]:
        raise StudyError(f"{name} is one of {', '.join(CHOICES[name])}, got {value[:40]!r}.")
    return CHOICES[name][value]


if __name__ == "__main__":
    try:
        read_words(sys.argv[1:])
    except (StudyError, BandError, LineageError) as error:
        sys.exit(f"make bands: {error}")
