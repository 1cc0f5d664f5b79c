"""The arms of the band comparison: which blocks each tunes, training one, and loading it again.

All arms start from the same stage 1, leave its connector frozen unless they say otherwise, and share data order, steps,
batches, rank and seed. Shipped adapters (preset mini, seed 0) are in ``data/adapters/bands/``, trained ones in
``data/cache/adapters/<preset>-seed<seed>/bands/``.
"""

import functools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from paperlib.models.adapter_files import RECORD
from paperlib.models.adapters import apply_adapter, made_for, save_adapter
from paperlib.models.lineages import lineage_of
from paperlib.models.vlm import VLM, load_vlm
from paperlib.study.results import provenance
from paperlib.study.study import Study
from paperlib.tuning.bands import band
from paperlib.tuning.checkpoints import make_way
from paperlib.tuning.finetune import train
from paperlib.tuning.stages import check_recipe, finished, load_stage, start_of, trained_folder
from paperlib.tuning.train_config import TrainConfig

BASELINE = "stage 1"  # what all arms start from
# What shipped adapters depend on: a study that differs in one of these trains arms of its own.
SHIPPED_BY = ("preset", "model", "seed", "retrain", "band_steps", "band_batch", "band_rank")


class ArmError(ValueError):
    """An arm is unknown or was not trained; the message is one sentence that says what to use instead."""


@dataclass(frozen=True)
class Arm:
    """One recipe. Relative depths are rounded to the nearest block.

    ``band``: as `bands.band` takes it, or from and to which relative depth. ``enter``: relative depth at which image
    tokens enter (`paperlib.models.late_entry`). ``share``: of the steps, at the learning rates of the whole run.
    ``connector``: whether it is tuned too.
    """

    band: str | tuple[float, float]
    enter: float = 0.0
    share: float = 1.0
    connector: bool = False


ARMS = {
    "full": Arm("full"),
    "mid": Arm("mid"),
    "mid, late entry": Arm("mid", enter=1 / 3),
    "late": Arm("late"),
    "sparse": Arm("sparse"),
    "early": Arm("early"),
    "complement": Arm("complement"),
}
# Shorter runs on the same data, compared by their losses alone.
SWEEPS = {
    "from 1/6": Arm((1 / 6, 1 / 2), share=0.25),
    "from 1/2": Arm((1 / 2, 5 / 6), share=0.25),
    "a fifth wide": Arm((2 / 5, 3 / 5), share=0.25),
    "two thirds wide": Arm((1 / 6, 5 / 6), share=0.25),
    "late entry at 1/6": Arm("mid", 1 / 6, 0.25),
    "late entry at 1/2": Arm("mid", 1 / 2, 0.25),
    "late entry at 2/3": Arm("mid", 2 / 3, 0.25),
    "mid, connector tuned, short run": Arm("mid", 0, 0.25, True),
    "late entry, connector tuned, short run": Arm("mid", 1 / 3, 0.25, True),
}
# Earlier names, which shipped folders and recorded runs still have.
FORMER = {
    BASELINE: "none",
    "mid, late entry": "mid, entered",
    "late entry at 1/6": "entered at 1/6",
    "late entry at 1/2": "entered at 1/2",
    "late entry at 2/3": "entered at 2/3",
    "mid, connector tuned, short run": "mid, connector too",
    "late entry, connector tuned, short run": "entered, connector too",
}


def arm_config(study: Study, arm: str) -> TrainConfig:
    """How an arm is trained in a study. Raises ArmError for an arm that is neither in `ARMS` nor in `SWEEPS`."""
    recipe, real = _recipe(arm), study.preset != "smoke"
    length = 160 * (4 if lineage_of(study.model).built == "tiny" else 1)
    depth = config_of_built(study.model).num_hidden_layers
    blocks: str | range
    if isinstance(recipe.band, str):
        blocks = recipe.band
    else:
        first, end = (round(place * depth) for place in recipe.band)
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
        connector=recipe.connector,
        mixed=real,
        compile=real,
        enter=round(recipe.enter * depth),
    )


def arm_folder(study: Study, arm: str) -> Path:
    """Where an arm's adapters are: the shipped ones if they fit the study, else those that `train_arm` makes for it."""
    shipped = Study.make("mini")
    fits = all(getattr(study, field) == getattr(shipped, field) for field in SHIPPED_BY)
    return (study.adapters / "bands" if fits and arm in ARMS else _trained(study)) / slug(arm)


def available_arms(study: Study) -> list[str]:
    """The arms and sweeps that `load_arm` can load for a study without training: shipped, or trained before."""
    return [arm for arm in (*ARMS, *SWEEPS) if (arm_folder(study, arm) / RECORD).is_file()]


def slug(arm: str) -> str:
    """An arm's name as a file's name: letters, digits, "-" and "_"."""
    return FORMER.get(arm, arm).replace(", ", "-").replace(" ", "-").replace("/", "_of_")


def train_arm(study: Study, arm: str, progress: bool = True) -> dict:
    """Train an arm and return its record; resumable.

    Nothing is trained if that was done with the same recipe from the same stage 1. Raises ArmError for an unknown arm.
    """
    config, folder, start = arm_config(study, arm), arm_folder(study, arm), start_of(study)
    steps, checkpoint = max(1, round(_recipe(arm).share * config.steps)), _trained(study) / f"{slug(arm)}.checkpoint"
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
        arm=arm,
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


def load_arm(study: Study, arm: str) -> VLM:
    """Stage 1 with an arm's adapters merged in.

    Raises ArmError for an arm that was not trained for this study, and AdapterError for damaged adapters or those of
    another model or of other settings.
    """
    folder, _ = arm_folder(study, arm), _recipe(arm)
    if not folder.is_dir():
        raise ArmError(
            f"The arm {arm!r} was not trained for preset {study.preset!r} and seed {study.seed}: train it with make "
            f"reference, or use one of available_arms(study)."
        )
    if folder.is_relative_to(_trained(study)):
        check_recipe(folder, arm_config(study, arm))
    vlm = load_stage(study, "stage 1")
    apply_adapter(vlm.model, folder)
    return VLM(f"{study.model} {arm}", vlm.model.eval(), vlm.processor)


def _recipe(arm: str) -> Arm:
    if arm not in ARMS | SWEEPS:
        raise ArmError(f"There is no arm {arm!r}: use one of {'; '.join(ARMS | SWEEPS)}.")
    return (ARMS | SWEEPS)[arm]


@functools.cache
def config_of_built(model: str) -> Any:
    """The LLM's configuration of a model that this project builds."""
    vlm = load_vlm("tiny" if lineage_of(model).built == "tiny" else "mini-base", "cpu")
    return vlm.base.config.get_text_config()


def _trained(study: Study) -> Path:
    return trained_folder(study) / "bands"
