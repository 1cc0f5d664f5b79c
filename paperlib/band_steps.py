"""One training step of each way of tuning, on the same batch, to be counted and timed by `paperlib.costs`."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import nn

from .arms import ARMS, arm_config
from .costs import Step
from .finetune import batch, entering, lowest, prepared
from .packed_loss import embedded, packed_loss
from .recipe import load_stage
from .study import Study
from .train_config import TrainConfig
from .vlm import VLM


def ways(study: Study) -> dict[str, TrainConfig]:
    """Every way whose step is measured: the arms with the connector frozen, full and mid with it tuned, and mid from
    kept input, as in the second time through the data."""
    arms = {name: arm_config(study, name) for name in (*ARMS, "complement")}
    return {**arms, "full, connector tuned": replace(arms["full"], connector=True),
            "mid, connector tuned": replace(arms["mid"], connector=True),
            "mid, input kept": replace(arms["mid"], steps=2, epochs=2)}


def steps_of(study: Study, configs: Mapping[str, TrainConfig], batch_size: int) -> dict[str, Step]:
    """A `costs.Step` for each way, each with a model of its own, on the first ``batch_size`` conversations.

    The forward pass includes the connector and the decoder, not the vision tower, which is the same for all and could
    be kept. Blocks are not compiled, so that everything can be counted.
    """
    origin, steps = load_stage(study, "stage 1"), {}
    for name, config in configs.items():
        config = replace(config, batch_size=batch_size)
        vlm = VLM(name, copy.deepcopy(origin.model), origin.processor)
        prepared(vlm, config)
        base = vlm.model.get_base_model()
        base.model.language_model.set_attn_implementation("eager")
        steps[name] = Step(_loss(vlm, base, config), vlm.model)
    return steps


def _loss(vlm: VLM, base: nn.Module, config: TrainConfig) -> Callable[[], torch.Tensor]:
    start = lowest(config)
    if start:
        packed, kept = entering(vlm, base, config, 0, start)
    else:
        packed, features = batch(vlm, base, config, 0)

    def loss() -> torch.Tensor:
        with torch.autocast(vlm.device.type, torch.bfloat16, enabled=config.mixed):
            return packed_loss(base, packed, kept if start else embedded(base, packed, features), start)

    return loss
