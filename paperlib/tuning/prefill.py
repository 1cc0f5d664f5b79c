"""What late entry saves where it works after training: the prefill, timed with and without it, in turns."""

import time

import torch

from paperlib.models.late_entry import entry_of, install, measure_scale, remove
from paperlib.models.residual import run
from paperlib.models.vlm import VLM
from paperlib.stats.bootstrap import Interval
from paperlib.study.study import Study
from paperlib.tuning.arms import arm_config, load_arm
from paperlib.tuning.stages import load_stage
from paperlib.tuning.step_costs import ratio

LATE = "mid, late entry"


def late_entry_model(study: Study, trained: bool, batch: dict) -> VLM:
    """The study's arm with late entry; where it was not ``trained``, the stage-1 model with the same entry, whose times
    are the same. batch: some input with pictures, by which the untrained entry's scale is measured.
    """
    if trained:
        return load_arm(study, LATE)
    vlm, block = load_stage(study, "stage 1"), arm_config(study, LATE).enter
    install(vlm.model, block, measure_scale(vlm, batch, block))
    return vlm


def time_prefill(vlm: VLM, batch: dict, rounds: int = 5) -> Interval:
    """Time of a prefill with late entry as a share of the same with entry at block 0: median, lowest and highest round.

    One round of warm-up is not kept. The model's late entry is as before afterwards. Raises ValueError for a model
    without late entry.
    """
    entry = entry_of(vlm.model)
    if entry is None:
        raise ValueError("There is no late entry to time in this model: load an arm that has one.")
    late, bottom = [], []
    for _ in range(rounds + 1):
        late.append(_seconds(vlm, batch))
        remove(vlm.model)
        try:
            bottom.append(_seconds(vlm, batch))
        finally:
            install(vlm.model, entry.block, entry.scale)
    return ratio(late[1:], bottom[1:])


def _seconds(vlm: VLM, batch: dict) -> float:
    begun = time.perf_counter()
    with torch.inference_mode():
        run(vlm, batch)
    if vlm.device.type != "cpu":
        torch.accelerator.synchronize(vlm.device)  # operations are only queued until then
    return time.perf_counter() - begun
