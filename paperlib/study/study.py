"""`Study`: which run this is. A preset, a model, a seed and the budgets, checked before anything is computed.

Nothing here imports torch, so that a bad parameter is refused in milliseconds; only a device other than "auto" and
"cpu" is looked for with it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from paperlib.study.checks import shown
from paperlib.study.presets import CHOICES, LIMITS, PRESETS, WHERE

CODE_ROOT = Path(__file__).resolve().parent.parent.parent

MOST_OF_MODEL = 60  # characters of a model's name in a run's, which must not be longer than a folder's may be


class StudyError(ValueError):
    """A preset or parameter cannot be used; the message is one sentence that says what to pass instead."""


def repo_root() -> Path:
    """The folder that holds data/ and figures/: the clone, or what the variable PAPERLIB_ROOT names."""
    given = os.environ.get("PAPERLIB_ROOT")
    return Path(given).resolve() if given else CODE_ROOT


def device_fault(name: str) -> str | None:
    """Why a device can't be used on this machine, in one sentence, or None if it can."""
    if name in ("auto", "cpu") or importlib.util.find_spec("torch") is None:  # before anything is installed
        return None
    import torch  # here alone: it takes seconds

    if name == "mps" and torch.backends.mps.is_available():
        return None
    kind, _, number = name.partition(":")
    count = torch.cuda.device_count() if kind == "cuda" and torch.cuda.is_available() else 0
    if kind == "cuda" and (number or "0").isdecimal() and int(number or 0) < count:
        return None
    there = ["cpu", *(f"cuda:{i}" for i in range(count)), *["mps"] * torch.backends.mps.is_available()]
    return f"There is no device {name!r} on this machine: choose auto or one of {', '.join(there)}."


def _part(name: str, value: object) -> str:
    """A field as a part of a run's name: a text that is no word is named by its digest."""
    text = str(value)
    plain = re.fullmatch(r"[\w.]{0,40}", text)
    return f"{name}_{text if plain else hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:8]}"


@dataclass(frozen=True)
class Study:
    """The parameters of one run. Make it with `Study.make`, which fills in what the preset says.

    preset        smoke, mini, gpu or paper
    model         a lineage: its name, the path of its TOML file, or a folder or hub id (`paperlib.models.lineages`)
    seed          of drawing, training and resampling
    retrain       train the adapters again instead of loading the shipped ones
    n_eval        evaluated examples per kind of question
    stage1_steps, stage2_steps   steps of the two training stages
    matching_steps   how many of stage 2's belong to its second phase (see `paperlib.tasks.conversations.MIXTURES`)
    batch_size    scenes per step
    lora_rank     rank of the stage-2 adapters
    band_steps, band_batch, band_rank   the same for tuning bands, which share one shorter budget
    device        auto, cpu, mps, cuda or cuda:N
    dtype         of the weights: auto (bfloat16 on a GPU for models of the hub, else float32), or a dtype of `CHOICES`
    attention     auto (what transformers takes), eager or sdpa; knockouts need a mask, which others do not have
    eval_batch    sequences in one pass when a model is asked; halved where memory does not suffice
    pairs         natural pictures with captions: "" for none, a folder, or a data set of the hub ("id@revision")
    benchmarks    of notebook 06: miniature, public (from the hub), or a folder with a folder for each public one
    """

    preset: str
    model: str
    seed: int
    retrain: bool
    n_eval: int
    stage1_steps: int
    stage2_steps: int
    matching_steps: int
    batch_size: int
    lora_rank: int
    band_steps: int
    band_batch: int
    band_rank: int
    device: str
    dtype: str
    attention: str
    eval_batch: int
    pairs: str
    benchmarks: str

    @classmethod
    def make(cls, preset: str = "mini", **overrides: Any) -> Study:
        """The preset's study with some parameters replaced; None (or model="") means "what the preset says".

        Raises StudyError for an unknown preset or parameter, and for a value of the wrong type or range.

        >>> study = Study.make("smoke", seed=1)
        >>> study.seed, study.run
        (1, 'smoke-tiny-seed1')
        >>> Study.make("smoke", sed=1)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        paperlib.study.study.StudyError: There is no parameter 'sed': choose among model, seed, retrain, ...
        """
        if not isinstance(preset, str) or preset not in PRESETS:
            raise StudyError(f"There is no preset {shown(preset)}: choose one of {', '.join(PRESETS)}.")
        known = [f.name for f in fields(cls) if f.name != "preset"]
        unknown = sorted(set(overrides) - set(known))
        if unknown:
            raise StudyError(f"There is no parameter {unknown[0]!r}: choose among {', '.join(known)}.")
        usual = {"seed": 0, "retrain": False, "device": "auto", "dtype": "auto", "attention": "auto"}
        values = usual | {"eval_batch": 64, "pairs": "", "benchmarks": "miniature"} | PRESETS[preset]
        values |= {
            name: value
            for name, value in overrides.items()
            if value is not None and not (name == "model" and isinstance(value, str) and not value)
        }
        return cls(preset=preset, **values)

    @classmethod
    def of_notebook(cls, names: dict) -> Study:
        """The study of a notebook's parameters cell; names: the notebook's globals().

        Raises StudyError for overrides that are no dict, and for a parameter beside them, which would have no effect
        (papermill -p n_eval 2).
        """
        preset, seed, overrides = (names[name] for name in ("preset", "seed", "overrides"))
        if not isinstance(overrides, dict) or not all(isinstance(name, str) for name in overrides):
            raise StudyError(
                f"overrides must be a dict such as {{'n_eval': 2}}, got {overrides!r}: pass it as YAML "
                f"(papermill -y 'overrides: {{n_eval: 2}}')."
            )
        for f in fields(cls):
            inside = f.name in ("preset", "seed")
            if inside and f.name in overrides:
                raise StudyError(
                    f"overrides cannot hold {f.name}, which is a parameter of its own: pass {f.name} beside it."
                )
            # A reader's own variables may have such names, as `model` for an object.
            plain = isinstance(names.get(f.name, ...), (bool, int, float, str, list, dict, type(None)))
            if not inside and plain:
                raise StudyError(
                    f"{f.name} has no effect as a variable of its own: pass it in overrides (papermill -y "
                    f"'overrides: {{{f.name}: {names[f.name]}}}')."
                )
        return cls.make(preset, seed=seed, **overrides)

    def __post_init__(self) -> None:
        for f in fields(self):
            value: Any = getattr(self, f.name)
            wanted: type = {"str": str, "int": int, "bool": bool}[str(f.type)]
            if type(value) is not wanted:  # not isinstance: True would pass for the number 1
                raise StudyError(
                    f"{f.name} must be {'an' if wanted is int else 'a'} {f.type}, got "
                    f"{type(value).__name__} {shown(value)}: pass parameters as YAML (papermill -f), "
                    f"which keeps their types."
                )
            least, most = LIMITS.get(f.name, (1, 10**7))
            if wanted is int and getattr(self, f.name) < least:
                raise StudyError(f"{f.name} must be at least {least}, got {shown(value)}.")
            if wanted is int and getattr(self, f.name) > most:
                raise StudyError(f"{f.name} must be at most {most:,}, got {shown(value)}.")
        if self.matching_steps >= self.stage2_steps:
            raise StudyError(
                f"matching_steps must be less than stage2_steps, of which they are a part, got "
                f"{self.matching_steps} of {self.stage2_steps}: pass both."
            )
        if self.preset not in PRESETS:
            raise StudyError(f"There is no preset {self.preset!r}: choose one of {', '.join(PRESETS)}.")
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise StudyError(f"There is no {name} {getattr(self, name)!r}: choose one of {', '.join(allowed)}.")
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device):
            raise StudyError(f"There is no device {self.device!r}: choose auto, cpu, mps, cuda or cuda:N.")
        if missing := device_fault(self.device):
            raise StudyError(missing)

    def as_dict(self) -> dict:
        """Every parameter by name: what goes into provenance and cache keys."""
        return asdict(self)

    @property
    def root(self) -> Path:
        """See `repo_root`."""
        return repo_root()

    @property
    def run(self) -> str:
        """The run's name, a folder of runs/, results/ and figures/, so that no run overwrites another's.

        The preset alone, or with model, seed and whatever else differs from the preset: "mini-mini-seed1-n_eval_500".
        What `WHERE` holds is left out: it says where, not what.
        """
        usual = Study.make(self.preset)
        others = [
            f.name
            for f in fields(self)
            if f.name not in ("preset", "model", "seed", *WHERE) and getattr(self, f.name) != getattr(usual, f.name)
        ]
        if not others and (self.model, self.seed) == (usual.model, usual.seed):
            return self.preset
        parts = [self.preset, self.model, f"seed{self.seed}", *(_part(name, getattr(self, name)) for name in others)]
        model = re.sub(r"[^\w.-]+", "_", self.model).strip("._-")[-MOST_OF_MODEL:]
        if model != self.model:  # a digest tells a/b from a_b
            model = f"{model}_{hashlib.sha256(self.model.encode(errors='surrogatepass')).hexdigest()[:8]}"
        return "-".join([parts[0], model, *parts[2:]])

    @property
    def figures(self) -> Path:
        """figures/<run>, where figures and the numbers drawn in them go."""
        return self.root / "figures" / self.run

    @property
    def results(self) -> Path:
        """results/<run>, where tables of results go."""
        return self.root / "results" / self.run

    @property
    def adapters(self) -> Path:
        """data/adapters, where the shipped connector and LoRA weights are."""
        return self.root / "data" / "adapters"

    @property
    def cache(self) -> Path:
        """data/cache, git-ignored: assets, converted weights, whatever can be made again."""
        return self.root / "data" / "cache"
