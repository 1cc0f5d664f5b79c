"""Tuning in two stages, as LLaVA does (Liu et al., arXiv 2304.08485): the connector alone, then LLM and connector.

Stage 2 has two courses: questions that are read off one place of the picture, then mostly such as need all of it matched.
It tunes any set of decoder blocks (`paperlib.bands`). With the connector frozen nothing below the lowest of them is
back-propagated through or stored, and where the data repeat, what enters it is kept instead of computed again.

One plain loop. It is seeded (the data depend on seed and step alone), resumes from an atomically written checkpoint to the
same result, clips gradients, stops at the first NaN, and records its loss curve.
"""

import hashlib
import json
import logging
import math
import os
import re
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from peft import PeftModel
from torch import nn
from tqdm import tqdm

from .adapters import add_lora, connector
from .conversations import DESCRIBE, Packed, conversation, pack
from .entry import install, measure_scale
from .packed_loss import below, embedded, packed_loss
from .vlm import VLM


class TrainingError(RuntimeError):
    """Training cannot go on; the message is one sentence that says why and what to do."""


@dataclass(frozen=True)
class TrainConfig:
    """One stage of tuning. Lengths are in tokens; rates are AdamW's and decay as a cosine after a linear warm-up, anew in
    each course (Loshchilov & Hutter, arXiv 1608.03983)."""

    stage: int
    steps: int  # of both courses
    matching: int = 0  # stage 2: how many of them belong to the second course
    batch_size: int = 16
    length: int = 160
    seed: int = 0
    method: str = "lora"  # stage 2: "lora" or "full"
    rank: int = 24
    layers: tuple[int, ...] | None = None  # stage 2: which decoder blocks; None is all
    connector: bool = True  # stage 2: whether the connector is tuned too
    epochs: int = 1  # how often the data are gone through within these steps
    enter: int = 0  # stage 2: the block at which image tokens enter (`paperlib.entry`)
    lr_connector: float = 1e-3
    lr_llm: float = 1e-3
    warmup: int = 30
    clip: float = 1.0
    mixed: bool = True  # bfloat16 autocast; the frozen LLM is held in bfloat16 altogether
    compile: bool = False

    @staticmethod
    def of(study, stage: int) -> "TrainConfig":
        """The preset's recipe for a stage: captions alone fit into 80 tokens, conversations get 160; four times that on
        the tiny model, whose tokens are bytes."""
        steps, matching = (study.stage1_steps, 0) if stage == 1 else (study.stage2_steps, study.matching_steps)
        length = (80 if stage == 1 else 160) * (4 if study.model == "tiny" else 1)
        return TrainConfig(stage, steps, matching, study.batch_size, length, study.seed, rank=study.lora_rank,
                           mixed=study.preset != "smoke", compile=study.preset != "smoke" and compiler_found())

    def course(self, step: int) -> tuple[str, int, int]:
        """The diet of a step, and the first step and the end of its course."""
        border = self.steps - self.matching
        if self.stage == 1:
            return "captions", 0, self.steps
        return ("reading", 0, border) if step < border else ("matching", border, self.steps)


def compiler_found() -> bool:
    """Whether torch.compile can work on this CPU; it about doubles the speed of training."""
    return shutil.which(os.environ.get("CXX", "g++")) is not None


def trainable(vlm: VLM, config: TrainConfig) -> dict[str, nn.Parameter]:
    """Freeze everything but what the stage tunes and return that by name; with LoRA, ``vlm.model`` becomes a PeftModel.

    Stage 1 tunes the connector; stage 2 the connector and, in the chosen decoder blocks, LoRA matrices or all weights.
    """
    if isinstance(vlm.model, PeftModel):
        raise TrainingError("This model already carries LoRA from an earlier run: load it again with load_vlm; training "
                            "goes on from its checkpoint.")
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
        raise TrainingError(f"Stage must be 1 or 2, method 'lora' or 'full', layers among 0 to {len(blocks) - 1}; got "
                            f"{config.stage}, {config.method!r}, {layers}.")
    vlm.model.requires_grad_(False)
    bridge = connector(vlm.model)
    if config.mixed and config.method == "lora":
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
    there on the pictures of the first step."""
    if not config.enter:
        return trainable(vlm, config)
    pictures = [conversation(config.seed, i, "reading").picture.render() for i in range(config.batch_size)]
    scale = measure_scale(vlm, vlm.batch([vlm.prompt(DESCRIBE)] * len(pictures), pictures), config.enter)
    parameters = trainable(vlm, config)
    install(vlm.model, config.enter, scale)
    return parameters


def train(vlm: VLM, config: TrainConfig, checkpoint: Path | None = None, every: int = 50, progress: bool = True,
          until: int | None = None) -> dict:
    """Tune ``vlm`` in place and return {"loss": [...], "tokens": supervised tokens, "seconds": ..., "trained": names}.

    checkpoint: file written every ``every`` steps and at the end; if it exists, training goes on from it. until: stop
    after this many of the steps, to compare beginnings; the rates are those of the whole run.
    Raises TrainingError if loss or gradient is not finite, or if the checkpoint was made with another configuration.
    """
    parameters = prepared(vlm, config)
    base = vlm.model.get_base_model() if hasattr(vlm.model, "get_base_model") else vlm.model
    bridge = [p for name, p in parameters.items() if "multi_modal_projector" in name]
    rest = [p for name, p in parameters.items() if "multi_modal_projector" not in name]
    groups = [{"params": bridge, "lr": config.lr_connector}, {"params": rest, "lr": config.lr_llm}]
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, config))
    losses, tokens, seconds = _resume(checkpoint, config, parameters, optimizer, schedule)
    llm, attention = base.model.language_model, base.config.text_config._attn_implementation
    llm.set_attn_implementation("eager")  # faster than sdpa in training on a CPU, whose sdpa backward is slow
    if config.compile:
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 4 * len(vlm.layers))
        for block in llm.layers:
            block.compile(dynamic=False)
    try:
        started = time.perf_counter() - seconds
        end, start, kept = min(config.steps, until or config.steps), lowest(config), {}
        bar = tqdm(range(len(losses), end), initial=len(losses), total=end, disable=not progress,
                   desc=f"stage {config.stage}", mininterval=30)
        for step in bar:
            place = step % (config.steps // config.epochs)
            packed, states = kept.get(place) or entering(vlm, base, config, step, start)
            if start:
                kept[place] = packed, states
            with torch.autocast(vlm.device.type, torch.bfloat16, enabled=config.mixed):
                loss = packed_loss(base, packed, states, start)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(parameters.values(), config.clip)
            if not (torch.isfinite(loss) and torch.isfinite(norm)):  # checked before any weight is touched
                raise TrainingError(f"The loss of stage {config.stage} is {loss.item()} and its gradient's norm "
                                    f"{norm.item()} at step {step}: lower the learning rates; the last checkpoint "
                                    f"is intact.")
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            tokens += len(packed.targets)
            seconds = time.perf_counter() - started
            bar.set_postfix(loss=f"{sum(losses[-20:]) / len(losses[-20:]):.3f}", refresh=False)
            if checkpoint and ((step + 1) % every == 0 or step + 1 == end):
                state = dict(config=_key(config), losses=losses, tokens=tokens, seconds=seconds,
                             parameters={k: v.detach() for k, v in parameters.items()},
                             optimizer=optimizer.state_dict(), schedule=schedule.state_dict())
                _save(state, checkpoint)
    finally:  # also after an error or an interrupt
        optimizer.zero_grad()
        llm.set_attn_implementation(attention)
    vlm.model.eval()
    return {"loss": losses, "tokens": tokens, "seconds": round(seconds, 1), "trained": sorted(parameters)}


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
    with torch.autocast(vlm.device.type, torch.bfloat16, enabled=config.mixed):
        states = embedded(base, packed, features)
        return packed, states if start == 0 else below(base, packed, states, start)


def _rate(step: int, config: TrainConfig) -> float:
    _, first, end = config.course(step)
    if step - first < config.warmup:
        return (step - first + 1) / config.warmup
    done = (step - first - config.warmup) / max(1, end - first - config.warmup)
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _check_trained(vlm: VLM, parameters: dict[str, nn.Parameter], layers: list[int], with_connector: bool) -> None:
    """Raise TrainingError unless what is trained is the chosen blocks, the connector if it shall, and nothing else."""
    blocks, others = set(), set()
    for name in parameters:
        inside = re.search(r"language_model\.layers\.(\d+)\.", name)
        blocks |= {int(inside[1])} if inside else set()
        others |= set() if inside else {"connector" if "multi_modal_projector" in name else name}
    if blocks != set(layers) or others != ({"connector"} if with_connector else set()):
        raise TrainingError(f"Training reached blocks {sorted(blocks)} and {sorted(others)} of {vlm.name!r} instead of "
                            f"blocks {sorted(layers)}{' and the connector' if with_connector else ''} alone.")


def _key(config: TrainConfig) -> str:
    return hashlib.sha256(json.dumps(asdict(config), sort_keys=True).encode()).hexdigest()


def _resume(checkpoint, config, parameters, optimizer, schedule) -> tuple[list[float], int, float]:
    if checkpoint is None or not checkpoint.is_file():
        return [], 0, 0.0
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        shapes = {name: value.shape for name, value in state["parameters"].items()}
    except Exception as error:  # a damaged file fails in many ways
        raise TrainingError(f"{checkpoint.name} cannot be read: delete it to start again.") from error
    if state["config"] != _key(config) or shapes != {name: value.shape for name, value in parameters.items()}:
        raise TrainingError(f"{checkpoint.name} was made with other settings or for another model: delete it to start "
                            f"again, or pass the settings that it was made with.")
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(state["parameters"][name])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    logging.getLogger(__name__).info("resumed at step %d", len(state["losses"]))
    return state["losses"], state["tokens"], state["seconds"]


def _save(state: dict, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".tmp")
    torch.save(state, scratch)
    os.replace(scratch, path)
