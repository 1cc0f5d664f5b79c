"""Which benchmarks a study asks side by side: the miniature ones, or the public ones from the hub or a folder.

A study's field ``benchmarks`` says which: "miniature", "public" (each from the hub), or a folder that holds a folder
for each of some public benchmarks, by the names of `registry.PUBLIC`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from paperlib.stats.words import listed
from paperlib.study.study import Study
from paperlib.tasks.benchmarks.card import SourceError
from paperlib.tasks.benchmarks.example import Example
from paperlib.tasks.benchmarks.hub_rows import EXTRA
from paperlib.tasks.benchmarks.photographs import NAME as PHOTOGRAPHS
from paperlib.tasks.benchmarks.photographs import photographs
from paperlib.tasks.benchmarks.registry import PUBLIC
from paperlib.tasks.benchmarks.twins import load

MINIATURE, ON_THE_HUB = "miniature", "public"
# Miniature benchmarks in reading order, and which benchmark of the paper asks the like.
LIKE = {
    "scenes": "visual questions",
    "pope": "POPE",
    "knowledge": "ScienceQA, MMMU",
    "charts": "ChartQA",
    "captions": "SugarCrepe",
    "describe": "Flickr30K",
    "easyvqa": "others' pictures",
    "text": "MMLU-Pro",
}
DIRECT = {"mmlu_pro": "direct"}  # the prompt's variant, where the default asks for a chain of thought of many tokens


def asked_benchmarks(study: Study, n: int) -> tuple[dict[str, list[Example]], dict[str, str]]:
    """{benchmark: examples} and {benchmark: why it is not there}, by the names that examples have.

    n: examples of each kind of question of a miniature benchmark, and of a public benchmark in all (of SugarCrepe, a
    seventh of it from each of its sets, at least one). A public benchmark that cannot be read, or not be scored here,
    is missing with the reason. Raises SourceError for a folder that is none, or that holds none of them.
    """
    if study.benchmarks == MINIATURE:
        found = {name: load(name, "test", n, study.seed) for name in LIKE}
        return found | {PHOTOGRAPHS: photographs()}, {}
    sources = _sources(study.benchmarks)
    there, missing = dict[str, list[Example]](), dict[str, str]()
    for key, module in PUBLIC.items():
        name = module.CARD.name
        if key not in sources:
            missing[name] = f"the folder has no folder {key}"
            continue
        if key == "flickr30k" and importlib.util.find_spec("pycocoevalcap") is None:
            missing[name] = f"CIDEr needs a package ({EXTRA})"
            continue
        drawn = max(1, n // 7) if key == "sugarcrepe" else n
        try:
            there[name] = module.load(sources[key], drawn, study.seed, DIRECT.get(key))
        except SourceError as error:
            missing[name] = str(error).rstrip(".")
    return there, missing


def _sources(where: str) -> dict[str, Path | None]:
    """The source of each public benchmark that there is."""
    if where == ON_THE_HUB:
        return dict.fromkeys(PUBLIC)
    folder = Path(where).expanduser()
    if not folder.is_dir():
        raise SourceError(
            f"There are no benchmarks {where!r}: choose {MINIATURE}, {ON_THE_HUB} or a folder that holds folders "
            f"named {listed(list(PUBLIC))}."
        )
    found: dict[str, Path | None] = {key: folder / key for key in PUBLIC if (folder / key).is_dir()}
    if not found:
        raise SourceError(f"The folder {where} holds no folder named {listed(list(PUBLIC))}.")
    return found
