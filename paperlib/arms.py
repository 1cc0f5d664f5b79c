"""The arms of the comparison of bands: which blocks each tunes, training one, and loading it again.

All arms start from the same stage 1, leave its connector frozen, and share data order, steps, batches, rank and seed. Shipped adapters (seed 0) are in ``data/adapters/bands/``, retrained ones in
``data/cache/adapters/<preset>-seed<seed>/bands/``.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from .adapters import apply_adapter, made_for, save_adapter
from .bands import band
from .finetune import TrainConfig, compiler_found, train
from .recipe import load_stage
from .results import plain, provenance, read_json
from .study import Study
from .vlm import VLM


class ArmError(ValueError):
    """There is no such arm; the message is one sentence that says which there are."""


@dataclass(frozen=True)
class Arm:
    """A band as `bands.band` takes it; the relative depth at which image tokens enter (`paperlib.entry`), to the nearest
    block; how much of the study's budget it gets (beginnings of runs are compared in sweeps)."""

    band: str
    enter: float = 0.0
    share: float = 1.0


ARMS = {"full": Arm("full"), "mid": Arm("mid"), "mid, entered": Arm("mid", enter=1 / 3), "late": Arm("late"),
        "sparse": Arm("sparse"), "early": Arm("early"), "complement": Arm("complement")}


def arm_config(study: Study, name: str) -> TrainConfig:
    """How an arm is trained in a study. Raises ArmError for a name that is not in `ARMS`."""
    if name not in ARMS:
        raise ArmError(f"There is no arm {name!r}: use one of {', '.join(ARMS)}.")
    arm, real = ARMS[name], study.preset != "smoke"
    length = 160 * (4 if study.model == "tiny" else 1)
    depth = len(load_stage(study, "stage 1").layers)
    return TrainConfig(2, study.band_steps, 0, study.band_batch, length, study.seed, rank=study.band_rank,
                       layers=band(arm.band, depth), connector=False, mixed=real,
                       compile=real and compiler_found(), enter=round(arm.enter * depth))


def arm_folder(study: Study, name: str) -> Path:
    """Where an arm's adapters are: the shipped ones for seed 0, or those that `train_arm` makes for this study."""
    return (_made(study) if study.retrain or study.seed else study.adapters / "bands") / _slug(name)


def train_arm(study: Study, name: str, progress: bool = True) -> dict:
    """Train an arm unless that was done with the same recipe, resuming after a kill, and return its record."""
    config, folder = arm_config(study, name), arm_folder(study, name)
    finished = folder / "provenance.json"
    if finished.is_file() and read_json(finished).get("recipe") == plain(asdict(config)):
        return read_json(finished)
    vlm = load_stage(study, "stage 1")
    base = made_for(vlm.model)
    run = train(vlm, config, _made(study) / f"{_slug(name)}.checkpoint", progress=progress)
    record = provenance(study, run["seconds"], config.steps * config.batch_size, arm=name, recipe=asdict(config),
                        supervised_tokens=run["tokens"], trained=run["trained"], loss=run["loss"])
    save_adapter(folder, vlm.model, record, base)
    return record


def load_arm(study: Study, name: str) -> VLM:
    """Stage 1 with an arm's adapters merged in. Raises AdapterError if they are missing or were made for another model."""
    vlm = load_stage(study, "stage 1")
    apply_adapter(vlm.model, arm_folder(study, name))
    return VLM(f"{study.model} {name}", vlm.model.eval(), vlm.processor)


def _made(study: Study) -> Path:
    return study.cache / "adapters" / f"{study.preset}-seed{study.seed}" / "bands"


def _slug(name: str) -> str:
    return name.replace(", ", "-").replace(" ", "-")
