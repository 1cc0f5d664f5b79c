"""Public benchmarks by name: each module has `CARD`, `load`, `prompt` and `score`."""

from types import ModuleType

from paperlib.tasks.benchmarks import chartqa, flickr30k, mmlu_pro, mmmu, pope, scienceqa, sugarcrepe

PUBLIC: dict[str, ModuleType] = {
    "pope": pope,
    "chartqa": chartqa,
    "scienceqa": scienceqa,
    "mmmu": mmmu,
    "mmlu_pro": mmlu_pro,
    "sugarcrepe": sugarcrepe,
    "flickr30k": flickr30k,
}


def public(name: str) -> ModuleType:
    """The module of a public benchmark. Raises ValueError for a name that is not in `PUBLIC`.

    >>> public("pope").CARD.name
    'POPE'
    """
    if not isinstance(name, str) or name not in PUBLIC:
        raise ValueError(f"Unknown public benchmark {name!r}: use one of {', '.join(PUBLIC)}.")
    return PUBLIC[name]
