"""Suites: named lists of miniature benchmarks and splits that are evaluated together."""

from paperlib.tasks.benchmarks.example import Example
from paperlib.tasks.benchmarks.twins import load
from paperlib.tasks.concepts import concepts
from paperlib.tasks.scenes import COLOURS, SHAPES

SUITES = {
    "pictures": (("scenes", "test"), ("knowledge", "test"), ("charts", "test"), ("captions", "test")),
    "pope": (("pope", "test"),),
    "held-out concepts": (("scenes", "held-out"), ("knowledge", "held-out")),
    "outside": (("easyvqa", "test"),),
    "text": (("text", "test"), ("text", "held-out")),
    "validation": (("scenes", "validation"), ("knowledge", "validation"), ("charts", "validation")),
}
PICTURE_SUITES = ("pictures", "pope", "held-out concepts", "outside")  # performance is the mean accuracy over these
ASKED_SUITES = (*PICTURE_SUITES, "text")  # what every arm is asked


def examples(suite: str, n: int, seed: int = 0) -> list[Example]:
    """All examples of a suite, n of each kind and split. Raises ValueError for an unknown suite.

    >>> examples("pope", 1)[0].question
    'Is there a blue star in the picture?'
    """
    if not isinstance(suite, str) or suite not in SUITES:
        raise ValueError(f"Unknown suite {suite!r}: use one of {', '.join(SUITES)}.")
    return [example for name, split in SUITES[suite] for example in load(name, split, n, seed)]


def vocabulary() -> list[str]:
    """The names of all things that scenes can hold."""
    return [c.name for c in concepts().values()] + [f"{c} {s}" for c in COLOURS for s in SHAPES]
