"""One training step of each way of tuning, on the same batch, to be counted and timed by `paperlib.tuning.costs`."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import nn

from paperlib.models.precision import dtype_name, fast_products, product_dtype
from paperlib.models.vlm import VLM
from paperlib.study.parameters import Study
from paperlib.tuning.arms import ARMS, arm_config
from paperlib.tuning.costs import Step
from paperlib.tuning.finetune import batch, entering, lowest, prepared
from paperlib.tuning.packing import embedded, packed_loss
from paperlib.tuning.stages import load_stage
from paperlib.tuning.train_config import TrainConfig


def ways(study: Study) -> dict[str, TrainConfig]:
    """Every way whose step is measured: the arms with the connector frozen, mid from kept input, as in the second time
    through the data, and full and mid with the connector tuned, or with all weights of their blocks instead of LoRA.
    """
    arms = {name: arm_config(study, name) for name in ARMS}
    kept = {"mid, input kept": replace(arms["mid"], steps=2, epochs=2)}
    return (
        arms
        | kept
        | {
            f"{name}, {how}": replace(arms[name], **change)
            for how, change in (("connector tuned", {"connector": True}), ("all weights", {"method": "full"}))
            for name in ("full", "mid")
        }
    )


def steps_of(study: Study, configs: Mapping[str, TrainConfig], batch_size: int) -> dict[str, Step]:
    """A `costs.Step` for each way, each with a model of its own, on the first ``batch_size`` conversations. Models share
    the weights that LoRA leaves frozen, so that a dozen ways fit into little memory.

    The forward pass includes the connector and the decoder, not the vision tower, which is the same for all and could
    be kept. Blocks are not compiled, so that everything can be counted. Products run as in training here: in bfloat16
    where the recipe allows it and the hardware has units for it, and each step says so.
    """
    origin, steps = load_stage(study, "stage 1"), {}
    frozen = copy.deepcopy(origin.model)  # `finetune.trainable` may round it in place, with the first way for all
    shared = [
        weight
        for part in (frozen.get_decoder(), frozen.model.vision_tower, frozen.get_output_embeddings())
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
        prepared(vlm, config)
        base = vlm.model.get_base_model() if hasattr(vlm.model, "get_base_model") else vlm.model
        base.model.language_model.set_attn_implementation("eager")
        steps[name] = Step(_loss(vlm, base, config), vlm.model, dtype_name(product_dtype(vlm.device, config.mixed)))
    return steps


def _loss(vlm: VLM, base: nn.Module, config: TrainConfig) -> Callable[[], torch.Tensor]:
    start = lowest(config)
    if start:
        packed, kept = entering(vlm, base, config, 0, start)
    else:
        packed, features = batch(vlm, base, config, 0)

    def loss() -> torch.Tensor:
        with fast_products(vlm.device, config.mixed):
            return packed_loss(base, packed, kept if start else embedded(base, packed, features), start)

    return loss
