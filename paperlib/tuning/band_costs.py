"""One training step of each recipe, on the same batch, to be counted and timed by `paperlib.tuning.step_costs`."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from paperlib.models.parts import vision_tower
from paperlib.models.precision import dtype_name, mixed_precision, product_dtype
from paperlib.models.vlm import VLM
from paperlib.study.study import Study
from paperlib.tuning.arms import ARMS, arm_config
from paperlib.tuning.finetune import block_inputs, first_trained_block, prepare, training_batch
from paperlib.tuning.packing import embedded, packed_loss
from paperlib.tuning.stages import load_stage
from paperlib.tuning.step_costs import Step
from paperlib.tuning.train_config import TrainConfig

CHANGES: dict[str, dict] = {"connector tuned": {"connector": True}, "all weights": {"method": "full"}}


def step_configs(study: Study) -> dict[str, TrainConfig]:
    """Every recipe whose step is measured.

    These are all arms; mid from cached input, as in the second pass through the data; and full and mid with the
    connector tuned, or with all weights of their blocks instead of LoRA.
    """
    arms = {arm: arm_config(study, arm) for arm in ARMS}
    cached = {"mid, cached input": replace(arms["mid"], steps=2, epochs=2)}
    return (
        arms
        | cached
        | {
            f"{name}, {how}": replace(arms[name], **change)
            for how, change in CHANGES.items()
            for name in ("full", "mid")
        }
    )


def make_steps(study: Study, configs: Mapping[str, TrainConfig], batch_size: int) -> dict[str, Step]:
    """A `step_costs.Step` for each recipe, each with a model of its own, on the first ``batch_size`` conversations.

    Models share the weights that LoRA leaves frozen, so that a dozen fit into little memory. The forward pass includes
    the connector and the decoder, not the vision tower, which is the same for all and could be cached. Blocks are not
    compiled, so that everything can be counted. Matrix products run as in training on this machine: in bfloat16 where
    the recipe allows it and the hardware has units for it. Each step says which.
    """
    origin, steps = load_stage(study, "stage 1"), {}
    frozen: Any = copy.deepcopy(origin.model)  # `finetune.trainable` may round it in place, once for all
    shared = [
        weight
        for part in (frozen.get_decoder(), vision_tower(frozen), frozen.get_output_embeddings())
        for weight in (*part.parameters(), *part.buffers())
    ]
    for name, config in configs.items():
        config = replace(config, batch_size=batch_size)
        model = (
            copy.deepcopy(frozen, {id(weight): weight for weight in shared})
            if config.method == "lora"
            else copy.deepcopy(origin.model)
        )
        vlm = VLM(name, model, origin.processor)
        prepare(vlm, config)
        base = vlm.base
        base.get_decoder().set_attn_implementation("eager")
        steps[name] = Step(_loss(vlm, base, config), vlm.model, dtype_name(product_dtype(vlm.device, config.mixed)))
    return steps


def _loss(vlm: VLM, base: Any, config: TrainConfig) -> Callable[[], torch.Tensor]:
    start = first_trained_block(config)
    if start:
        packed, inputs = block_inputs(vlm, base, config, 0, start)
    else:
        packed, inputs = training_batch(vlm, base, config, 0)  # features, which the connector reads in each step

    def loss() -> torch.Tensor:
        with mixed_precision(vlm.device, config.mixed):
            return packed_loss(base, packed, inputs if start else embedded(base, packed, inputs), start)

    return loss
