"""The arms of the comparison of bands: which blocks each tunes, training one, and loading it again.

All arms start from the same stage 1, leave its connector frozen unless they say otherwise, and share data order, steps,
batches, rank and seed.
Shipped adapters (seed 0) are in ``data/adapters/bands/``, retrained ones in
``data/cache/adapters/<preset>-seed<seed>/bands/``.
"""

import functools
from dataclasses import asdict, dataclass
from pathlib import Path

from paperlib.models.adapters import apply_adapter, made_for, save_adapter
from paperlib.models.vlm import VLM, load_vlm
from paperlib.study.parameters import Study
from paperlib.study.results import provenance
from paperlib.tuning.bands import band
from paperlib.tuning.checkpoints import make_way
from paperlib.tuning.finetune import train
from paperlib.tuning.stages import finished, load_stage, start_of
from paperlib.tuning.train_config import TrainConfig


class ArmError(ValueError):
    """There is no such arm; the message is one sentence that says which there are."""


@dataclass(frozen=True)
class Arm:
    """A band as `bands.band` takes it, or from and to which relative depth; the relative depth at which image tokens
    enter (`paperlib.models.late_entry`), to the nearest block; which share of the steps it gets, at the rates of the whole run; and
    whether the connector is tuned too.
    """

    band: str | tuple[float, float]
    enter: float = 0.0
    share: float = 1.0
    connector: bool = False


ARMS = {
    "full": Arm("full"),
    "mid": Arm("mid"),
    "mid, entered": Arm("mid", enter=1 / 3),
    "late": Arm("late"),
    "sparse": Arm("sparse"),
    "early": Arm("early"),
    "complement": Arm("complement"),
}
# Beginnings of runs, which see the data that the arms see, so that their losses can be compared.
SWEEPS = {
    "from 1/6": Arm((1 / 6, 1 / 2), share=0.25),
    "from 1/2": Arm((1 / 2, 5 / 6), share=0.25),
    "a fifth wide": Arm((2 / 5, 3 / 5), share=0.25),
    "two thirds wide": Arm((1 / 6, 5 / 6), share=0.25),
    "entered at 1/6": Arm("mid", 1 / 6, 0.25),
    "entered at 1/2": Arm("mid", 1 / 2, 0.25),
    "entered at 2/3": Arm("mid", 2 / 3, 0.25),
    "mid, connector too": Arm("mid", 0, 0.25, True),
    "entered, connector too": Arm("mid", 1 / 3, 0.25, True),
}


def arm_config(study: Study, name: str) -> TrainConfig:
    """How an arm is trained in a study. Raises ArmError for a name that is neither in `ARMS` nor in `SWEEPS`."""
    arm, real = _arm(name), study.preset != "smoke"
    length = 160 * (4 if study.model == "tiny" else 1)
    depth = _depth(study.model)
    blocks = arm.band
    if not isinstance(blocks, str):
        first, end = (round(place * depth) for place in arm.band)
        blocks = range(first, max(first + 1, end))
    return TrainConfig(
        2,
        study.band_steps,
        0,
        study.band_batch,
        length,
        study.seed,
        rank=study.band_rank,
        layers=band(blocks, depth),
        connector=arm.connector,
        mixed=real,
        compile=real,
        enter=round(arm.enter * depth),
    )


def arm_folder(study: Study, name: str) -> Path:
    """Where an arm's adapters are: shipped for preset mini, seed 0, else those that `train_arm` makes for a study."""
    shipped = name in ARMS and study.preset == "mini" and study.seed == 0 and not study.retrain
    return (study.adapters / "bands" if shipped else _made(study)) / _slug(name)


def train_arm(study: Study, name: str, progress: bool = True) -> dict:
    """Train an arm unless that was done with the same recipe from the same stage 1, resuming after a kill, and return its
    record.
    """
    config, folder, start = arm_config(study, name), arm_folder(study, name), start_of(study)
    steps, checkpoint = max(1, round(_arm(name).share * config.steps)), _made(study) / f"{_slug(name)}.checkpoint"
    record = finished(folder, config, start, steps)
    if record is not None:
        return record
    vlm = load_stage(study, "stage 1")
    base = None if config.connector else made_for(vlm.model)
    make_way(checkpoint, config, start)
    run = train(vlm, config, checkpoint, progress=progress, until=steps, start=start)
    record = provenance(
        study,
        run["seconds"],
        steps * config.batch_size,
        arm=name,
        recipe=asdict(config),
        start=start,
        precision=run["precision"],
        compiled=run["compiled"],
        supervised_tokens=run["tokens"],
        trained=run["trained"],
        loss=run["loss"],
    )
    save_adapter(folder, vlm.model, record, base)
    checkpoint.unlink(missing_ok=True)
    return record


def load_arm(study: Study, name: str) -> VLM:
    """Stage 1 with an arm's adapters merged in. Raises AdapterError if they are missing or for another model."""
    vlm = load_stage(study, "stage 1")
    apply_adapter(vlm.model, arm_folder(study, name))
    return VLM(f"{study.model} {name}", vlm.model.eval(), vlm.processor)


def _arm(name: str) -> Arm:
    if name not in ARMS | SWEEPS:
        raise ArmError(f"There is no arm {name!r}: use one of {'; '.join(ARMS | SWEEPS)}.")
    return (ARMS | SWEEPS)[name]


@functools.cache
def _depth(model: str) -> int:
    return len(load_vlm("tiny" if model == "tiny" else "mini-base", "cpu").layers)


def _made(study: Study) -> Path:
    return study.cache / "adapters" / f"{study.preset}-seed{study.seed}" / "bands"


def _slug(name: str) -> str:
    return name.replace(", ", "-").replace(" ", "-").replace("/", "_of_")
