"""How a stage is tuned: what, how long, at which rates."""

import math
import os
import shutil
from dataclasses import dataclass


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

    def rate(self, step: int) -> float:
        """The learning rate of a step, as a share of its largest."""
        _, first, end = self.course(step)
        if step - first < self.warmup:
            return (step - first + 1) / self.warmup
        done = (step - first - self.warmup) / max(1, end - first - self.warmup)
        return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def compiler_found() -> bool:
    """Whether torch.compile can work on this CPU; it about doubles the speed of training."""
    return shutil.which(os.environ.get("CXX", "g++")) is not None
