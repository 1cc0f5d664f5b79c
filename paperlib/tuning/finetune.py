"""Tuning in two stages, as LLaVA does (Liu et al., arXiv 2304.08485): the connector alone, then LLM and connector.

Stage 2 has two training phases: questions about one place of the picture, then mostly questions that need all of it. It
tunes any set of blocks (`paperlib.tuning.bands`). With the connector frozen, nothing below the lowest tuned block is
back-propagated through or stored. Where the data repeat, the input of that block is cached.

One plain loop. Its data depend on seed and step alone. It resumes from an atomically written checkpoint to the same
result, clips gradients, stops at the first NaN, and records its loss curve.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from PIL import Image
from torch import nn
from tqdm import tqdm

from paperlib.models.late_entry import install, measure_scale
from paperlib.models.parts import vision_tower
from paperlib.models.precision import dtype_name, mixed_precision, product_dtype
from paperlib.models.vlm import VLM
from paperlib.tasks.conversations import conversation
from paperlib.tasks.questions import DESCRIBE
from paperlib.tuning.checkpoints import resume, save
from paperlib.tuning.packing import Packed, embedded, pack, packed_loss, run_below
from paperlib.tuning.train_config import TrainConfig, TrainingError, compiler_found
from paperlib.tuning.trained_parts import choose, split


def trainable(vlm: VLM, config: TrainConfig) -> dict[str, nn.Parameter]:
    """Freeze everything but what the stage tunes, and return that by name.

    With LoRA, ``vlm.model`` becomes a PeftModel.
    Stage 1 tunes the connector; stage 2 the connector and, in the chosen blocks, LoRA matrices or all weights. Raises
    TrainingError for a configuration that tunes nothing or does not fit the model.
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
        raise TrainingError("The input of a band cannot be cached with late entry: give enter=0 or epochs=1.")
    if config.epochs < 1 or config.steps % config.epochs:
        raise TrainingError(f"{config.steps} steps can't go through the data {config.epochs} times: give a divisor.")
    if config.stage not in (1, 2) or config.method not in ("lora", "full") or not set(layers) <= set(blocks):
        raise TrainingError(
            f"Stage must be 1 or 2, method 'lora' or 'full', layers among 0 to {len(blocks) - 1}; got "
            f"{config.stage}, {config.method!r}, {layers}."
        )
    if config.method == "lora" and product_dtype(vlm.device, config.mixed) == torch.bfloat16:
        vlm.base.get_decoder().to(torch.bfloat16)  # frozen weights need no float32 copy
    return choose(vlm, config.method, layers if config.stage == 2 else [], config.connector, config.rank, config.seed)


def prepare(vlm: VLM, config: TrainConfig) -> dict[str, nn.Parameter]:
    """`trainable`, with late entry where the configuration asks for it.

    The connector's output is scaled to the residual stream at the entry block, measured on the untuned model and the
    pictures of the first step.
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
    """Tune ``vlm`` in place.

    Returns {"loss": nats per token of each step, "tokens": supervised tokens, "seconds": ..., "trained": names,
    "precision": "bfloat16" or "float32", "compiled": whether blocks were}. Mixed precision and compilation are used if
    the configuration allows them and the machine can; a run may resume on another machine.

    checkpoint: file written every ``every`` steps and at the end; if it exists, training resumes from it. until: stop
    after this many steps, at the rates of the whole run. start: digest of what the model is tuned from
    (`stages.start_of`), which a checkpoint must share.
    Raises TrainingError if loss or gradient is not finite, if the checkpoint was made with another configuration or
    from another start, or if it cannot be written.
    """
    parameters = prepare(vlm, config)
    base = vlm.base
    bridge, rest = (list(part.values()) for part in split(vlm, parameters))
    groups = [{"params": bridge, "lr": config.lr_connector}, {"params": rest, "lr": config.lr_llm}]
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: config.rate(step))
    losses, tokens, seconds = resume(checkpoint, config, parameters, optimizer, schedule, start)
    llm, attention = base.get_decoder(), base.config.text_config._attn_implementation
    llm.set_attn_implementation("eager")  # faster than sdpa in training on a CPU, whose sdpa backward is slow
    compiled = config.compile and compiler_found(vlm.device.type)
    if compiled:
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 4 * len(vlm.layers))
        for block in llm.layers:
            block.compile(dynamic=False)
    try:
        started = time.perf_counter() - seconds
        end, first = min(config.steps, until or config.steps), first_trained_block(config)
        kept: dict[int, tuple[Packed, torch.Tensor]] = {}
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
            packed, states = kept.get(place) or block_inputs(vlm, base, config, step, first)
            if first:
                kept[place] = packed, states
            with mixed_precision(vlm.device, config.mixed):
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


def first_trained_block(config: TrainConfig) -> int:
    """The lowest tuned block, if its input can be cached; 0 otherwise."""
    keep = config.epochs > 1 and config.stage == 2 and not config.connector
    return min(config.layers or [0]) if keep else 0


def training_batch(vlm: VLM, base: Any, config: TrainConfig, step: int) -> tuple[Packed, torch.Tensor]:
    """The conversations of a step, packed, and the vision tower's features of their pictures [B, tokens, D_vision]."""
    first, (mixture, _, _) = step % (config.steps // config.epochs) * config.batch_size, config.phase_at(step)
    talks = [conversation(config.seed, first + i, mixture) for i in range(config.batch_size)]
    dtype = next(base.get_decoder().parameters()).dtype
    packed = pack(VLM(vlm.name, base, vlm.processor), talks, config.length, dtype)
    return packed, tower_features(vlm, base, [talk.picture.render() for talk in talks])


@torch.no_grad()
def tower_features(vlm: VLM, base: Any, pictures: Sequence[Image.Image]) -> torch.Tensor:
    """The vision tower's features of pictures, as a LLaVA's connector reads them, [B, tokens, D_vision]."""
    processor: Any = vlm.processor
    images = processor.image_processor(list(pictures), return_tensors="pt")
    tower = vision_tower(base)(images["pixel_values"].to(vlm.device), output_hidden_states=True)
    features = tower.hidden_states[base.config.vision_feature_layer]
    if base.config.vision_feature_select_strategy == "default":
        features = features[:, 1:]  # drops the class token
    return features


def block_inputs(vlm: VLM, base: Any, config: TrainConfig, step: int, start: int) -> tuple[Packed, torch.Tensor]:
    """The packed conversations of a step, and what block ``start`` reads of them, [B, T, D]."""
    packed, features = training_batch(vlm, base, config, step)
    with mixed_precision(vlm.device, config.mixed):
        states = embedded(base, packed, features)
        return packed, states if start == 0 else run_below(base, packed, states, start)
