"""The runs of one command: a study for each model and seed, checked before anything is computed.

Words of a configuration are those of one study, and beside them ``models`` and ``seeds``, lists with commas.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from paperlib.study.study import Study, StudyError


@dataclass(frozen=True)
class Run:
    """One run of a grid: its study, and what a notebook's parameters cell is given."""

    study: Study
    parameters: dict[str, Any]


def runs_of(config: Mapping[str, Any]) -> dict[str, Run]:
    """The runs by name (`Study.run`), models in the outer order. config: values that have been read as YAML.

    Raises StudyError for what no study can use, for a list with an empty or repeated entry, for seeds that are no
    numbers, and for a list beside its single word.
    """
    rest = {name: value for name, value in config.items() if name not in ("models", "seeds", "preset")}
    for many, one in (("models", "model"), ("seeds", "seed")):
        if many in config and one in rest:
            raise StudyError(f"{many} and {one} cannot both be set: leave one.")
    models = _listed(config, "models", [rest.pop("model", None)])
    seeds = [_number(seed) for seed in _listed(config, "seeds", [rest.pop("seed", 0)])]
    found: dict[str, Run] = {}
    for model in models:
        for seed in seeds:
            overrides = ({"model": model} if model is not None else {}) | rest
            study = Study.make(config.get("preset", "mini"), seed=seed, **overrides)
            found[study.run] = Run(study, {"preset": study.preset, "seed": seed, "overrides": overrides})
    return found


def _listed(config: Mapping[str, Any], name: str, otherwise: list) -> list:
    if name not in config:
        return otherwise
    entries = [entry.strip() for entry in str(config[name]).split(",")]
    if not all(entries):
        raise StudyError(f"{name} must be a list with commas and without empty places, got {config[name]!r}.")
    if repeated := _repeated(entries):
        raise StudyError(f"{name} holds {repeated!r} twice: leave one.")
    return entries


def _repeated(entries: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for entry in entries:
        if entry in seen:
            return entry
        seen.add(entry)
    return None


def _number(seed: Any) -> Any:
    """A seed of a list as the number that it is; other values are refused by `Study`."""
    if isinstance(seed, str):
        if not (seed.isdecimal() and str(int(seed)) == seed):
            raise StudyError(f"A seed must be a whole number in plain digits, got {seed!r}.")
        return int(seed)
    return seed
