"""Tuning in two stages, as LLaVA does (Liu et al., arXiv 2304.08485): the connector alone, then LLM and connector.

Stage 2 has two courses: questions that are read off one place of the picture, then mostly such as need all of it matched.
It tunes any set of decoder blocks (`paperlib.tuning.bands`). With the connector frozen nothing below the lowest of them is
back-propagated through or stored, and where the data repeat, what enters it is kept instead of computed again.

One plain loop. It is seeded (the data depend on seed and step alone), resumes from an atomically written checkpoint to the
same result, clips gradients, stops at the first NaN, and records its loss curve.
"""

import re
import time
from pathlib import Path

import torch
from peft import PeftModel
from torch import nn
from tqdm import tqdm

from paperlib.models.adapters import add_lora, connector
from paperlib.models.late_entry import install, measure_scale
from paperlib.models.precision import dtype_name, fast_products, product_dtype
from paperlib.models.vlm import VLM
from paperlib.tasks.conversations import conversation
from paperlib.tasks.questions import DESCRIBE
from paperlib.tuning.checkpoints import resume, save
from paperlib.tuning.packing import Packed, below, embedded, pack, packed_loss
from paperlib.tuning.train_config import TrainConfig, TrainingError, compiler_found


def trainable(vlm: VLM, config: TrainConfig) -> dict[str, nn.Parameter]:
    """Freeze everything but what the stage tunes and return that by name; with LoRA, ``vlm.model`` becomes a PeftModel.

    Stage 1 tunes the connector; stage 2 the connector and, in the chosen decoder blocks, LoRA matrices or all weights.
    """
    if isinstance(vlm.model, PeftModel):
        raise TrainingError(
            "This model already carries LoRA from an earlier run: load it again with load_vlm; training "
            "goes on from its checkpoint."
        )
    blocks = range(len(vlm.layers))
    layers = list(blocks) if config.layers is None else list(config.layers)
    if config.stage == 1 and not config.connector:
        raise TrainingError("Stage 1 tunes the connector and nothing else: leave it trained, or take stage 2.")
    if config.stage == 2 and not config.connector and not layers:
        raise TrainingError("Without blocks and connector there is nothing to tune: give a band or connector=True.")
    if config.enter and config.epochs > 1:
        raise TrainingError("What enters a band is not kept where image tokens enter later: give enter=0 or epochs=1.")
    if config.epochs < 1 or config.steps % config.epochs:
        raise TrainingError(f"{config.steps} steps can't go through the data {config.epochs} times: give a divisor.")
    if config.stage not in (1, 2) or config.method not in ("lora", "full") or not set(layers) <= set(blocks):
        raise TrainingError(
            f"Stage must be 1 or 2, method 'lora' or 'full', layers among 0 to {len(blocks) - 1}; got "
            f"{config.stage}, {config.method!r}, {layers}."
        )
    vlm.model.requires_grad_(False)
    bridge = connector(vlm.model)
    if config.method == "lora" and product_dtype(vlm.device, config.mixed) == torch.bfloat16:
        vlm.model.model.language_model.to(torch.bfloat16)  # what is frozen needs no float32 copy to cast from
    if config.stage == 2 and config.method == "full":
        for i in layers:
            vlm.layers[i].requires_grad_(True)
    elif config.stage == 2 and layers:
        torch.manual_seed(config.seed)
        vlm.model = add_lora(vlm.model, config.rank, layers)
    bridge.requires_grad_(config.connector)
    parameters = {name: p for name, p in vlm.model.named_parameters() if p.requires_grad}
    _check_trained(vlm, parameters, layers if config.stage == 2 else [], config.connector)
    return parameters


def prepared(vlm: VLM, config: TrainConfig) -> dict[str, nn.Parameter]:
    """`trainable`, and image tokens made to enter where the configuration says, at the scale that the untuned model has
    there on the pictures of the first step.
    """
    if not config.enter:
        return trainable(vlm, config)
    pictures = [conversation(config.seed, i, "reading").picture.render() for i in range(config.batch_size)]
    scale = measure_scale(vlm, vlm.batch([vlm.prompt(DESCRIBE)] * len(pictures), pictures), config.enter)
    parameters = trainable(vlm, config)
    install(vlm.model, config.enter, scale)
    return parameters


def train(
    vlm: VLM,
    config: TrainConfig,
    checkpoint: Path | None = None,
    every: int = 50,
    progress: bool = True,
    until: int | None = None,
    start: str | None = None,
) -> dict:
    """Tune ``vlm`` in place and return {"loss": [...], "tokens": supervised tokens, "seconds": ..., "trained": names,
    "precision": "bfloat16" or "float32", "compiled": whether blocks were}: mixed precision and compilation are what the
    configuration allows and the machine can do, and a run may go on on another machine.

    checkpoint: file written every ``every`` steps and at the end; if it exists, training goes on from it. until: stop
    after this many of the steps, to compare beginnings; the rates are those of the whole run. start: digest of what the
    model was tuned from (`recipe.start_of`), which a checkpoint must share.
    Raises TrainingError if loss or gradient is not finite, if the checkpoint was made with another configuration or from
    another start, or if it cannot be written.
    """
    parameters = prepared(vlm, config)
    base = vlm.model.get_base_model() if hasattr(vlm.model, "get_base_model") else vlm.model
    bridge = [p for name, p in parameters.items() if "multi_modal_projector" in name]
    rest = [p for name, p in parameters.items() if "multi_modal_projector" not in name]
    groups = [{"params": bridge, "lr": config.lr_connector}, {"params": rest, "lr": config.lr_llm}]
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: config.rate(step))
    losses, tokens, seconds = resume(checkpoint, config, parameters, optimizer, schedule, start)
    llm, attention = base.model.language_model, base.config.text_config._attn_implementation
    llm.set_attn_implementation("eager")  # faster than sdpa in training on a CPU, whose sdpa backward is slow
    compiled = config.compile and compiler_found(vlm.device.type)
    if compiled:
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 4 * len(vlm.layers))
        for block in llm.layers:
            block.compile(dynamic=False)
    try:
        started = time.perf_counter() - seconds
        end, first, kept = min(config.steps, until or config.steps), lowest(config), {}
        bar = tqdm(
            range(len(losses), end),
            initial=len(losses),
            total=end,
            disable=not progress,
            desc=f"stage {config.stage}",
            mininterval=30,
        )
        for step in bar:
            place = step % (config.steps // config.epochs)
            packed, states = kept.get(place) or entering(vlm, base, config, step, first)
            if first:
                kept[place] = packed, states
            with fast_products(vlm.device, config.mixed):
                loss = packed_loss(base, packed, states, first)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(parameters.values(), config.clip)
            if not (torch.isfinite(loss) and torch.isfinite(norm)):  # checked before any weight is touched
                raise TrainingError(
                    f"The loss of stage {config.stage} is {loss.item()} and its gradient's norm "
                    f"{norm.item()} at step {step}: lower the learning rates; the last checkpoint "
                    f"is intact."
                )
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            tokens += len(packed.targets)
            seconds = time.perf_counter() - started
            bar.set_postfix(loss=f"{sum(losses[-20:]) / len(losses[-20:]):.3f}", refresh=False)
            if checkpoint and ((step + 1) % every == 0 or step + 1 == end):
                save(checkpoint, config, parameters, optimizer, schedule, losses, tokens, seconds, start)
    finally:  # also after an error or an interrupt
        optimizer.zero_grad()
        llm.set_attn_implementation(attention)
    vlm.model.eval()
    return {
        "loss": losses,
        "tokens": tokens,
        "seconds": round(seconds, 1),
        "trained": sorted(parameters),
        "precision": dtype_name(product_dtype(vlm.device, config.mixed)),
        "compiled": compiled,
    }


def lowest(config: TrainConfig) -> int:
    """The block from which on something is tuned or its gradient passes, if what enters it may be kept; 0 otherwise."""
    keep = config.epochs > 1 and config.stage == 2 and not config.connector
    return min(config.layers or [0]) if keep else 0


def batch(vlm: VLM, base: nn.Module, config: TrainConfig, step: int) -> tuple[Packed, torch.Tensor]:
    """The conversations of a step, packed, and the vision tower's features of their pictures [B, tokens, D_vision]."""
    first, (diet, _, _) = step % (config.steps // config.epochs) * config.batch_size, config.course(step)
    talks = [conversation(config.seed, first + i, diet) for i in range(config.batch_size)]
    dtype = next(base.model.language_model.parameters()).dtype
    packed = pack(VLM(vlm.name, base, vlm.processor), talks, config.length, dtype)
    images = vlm.processor.image_processor([talk.picture.render() for talk in talks], return_tensors="pt")
    with torch.no_grad():
        tower = base.model.vision_tower(images["pixel_values"].to(vlm.device), output_hidden_states=True)
    features = tower.hidden_states[base.config.vision_feature_layer]
    if base.config.vision_feature_select_strategy == "default":
        features = features[:, 1:]  # drops the class token
    return packed, features


def entering(vlm: VLM, base: nn.Module, config: TrainConfig, step: int, start: int) -> tuple[Packed, torch.Tensor]:
    """The packed conversations of a step and what block ``start`` reads of them, [B, T, D]."""
    packed, features = batch(vlm, base, config, step)
    with fast_products(vlm.device, config.mixed):
        states = embedded(base, packed, features)
        return packed, states if start == 0 else below(base, packed, states, start)


def _check_trained(vlm: VLM, parameters: dict[str, nn.Parameter], layers: list[int], with_connector: bool) -> None:
    """Raise TrainingError unless what is trained is the chosen blocks, the connector if it shall, and nothing else."""
    blocks, others = set(), set()
    for name in parameters:
        inside = re.search(r"language_model\.layers\.(\d+)\.", name)
        blocks |= {int(inside[1])} if inside else set()
        others |= set() if inside else {"connector" if "multi_modal_projector" in name else name}
    if blocks != set(layers) or others != ({"connector"} if with_connector else set()):
        raise TrainingError(
            f"Training reached blocks {sorted(blocks)} and {sorted(others)} of {vlm.name!r} instead of "
            f"blocks {sorted(layers)}{' and the connector' if with_connector else ''} alone."
        )
