"""How a stage is tuned: what, how long, at which rates."""

import functools
import logging
import math
from dataclasses import dataclass

from paperlib.models.lineages import lineage_of
from paperlib.study.study import Study

log = logging.getLogger(__name__)


class TrainingError(RuntimeError):
    """Training cannot go on; the message is one sentence that says why and what to do."""


@dataclass(frozen=True)
class TrainConfig:
    """One stage of tuning. Lengths are in tokens.

    Rates are AdamW's. They decay as a cosine after a linear warm-up, anew in each training phase (Loshchilov & Hutter,
    arXiv 1608.03983).
    """

    stage: int
    steps: int  # of both training phases
    matching: int = 0  # stage 2: how many of them belong to the second phase
    batch_size: int = 16
    length: int = 160
    seed: int = 0
    method: str = "lora"  # stage 2: "lora" or "full"
    rank: int = 24
    layers: tuple[int, ...] | None = None  # stage 2: which decoder blocks; None is all
    connector: bool = True  # stage 2: whether the connector is tuned too
    epochs: int = 1  # passes through the data within these steps
    enter: int = 0  # stage 2: the block at which image tokens enter (`paperlib.models.late_entry`)
    lr_connector: float = 1e-3
    lr_llm: float = 1e-3
    warmup: int = 30
    clip: float = 1.0
    mixed: bool = True  # allows bfloat16 autocast, with the frozen LLM in bfloat16 altogether, where hardware has units
    compile: bool = False  # allows compiled blocks, where a compiler works

    @staticmethod
    def of(study: Study, stage: int) -> "TrainConfig":
        """The preset's recipe for a stage.

        Captions alone fit into 80 tokens, conversations get 160; four times that on the tiny model, whose tokens are
        bytes.
        """
        steps, matching = (study.stage1_steps, 0) if stage == 1 else (study.stage2_steps, study.matching_steps)
        length = (80 if stage == 1 else 160) * (4 if lineage_of(study.model).built == "tiny" else 1)
        return TrainConfig(
            stage,
            steps,
            matching,
            study.batch_size,
            length,
            study.seed,
            rank=study.lora_rank,
            mixed=study.preset != "smoke",
            compile=study.preset != "smoke",
        )

    def phase_at(self, step: int) -> tuple[str, int, int]:
        """The mixture of a step's training phase (`conversations.MIXTURES`), the phase's first step and its end."""
        border = self.steps - self.matching
        if self.stage == 1:
            return "captions", 0, self.steps
        return ("reading", 0, border) if step < border else ("matching", border, self.steps)

    def rate(self, step: int) -> float:
        """The learning rate of a step, as a share of its largest."""
        _, first, end = self.phase_at(step)
        if step - first < self.warmup:
            return (step - first + 1) / self.warmup
        done = (step - first - self.warmup) / max(1, end - first - self.warmup)
        return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


@functools.cache
def compiler_found(device: str = "cpu") -> bool:
    """Whether torch.compile works for a kind of device. It about doubles the speed of training on a CPU.

    It is tried once per process, since a compiler may be there and lack headers or libraries. If it fails, one line is
    logged.
    """
    import torch  # here, so that a recipe can be made without it
    from torch._inductor.utils import fresh_cache

    try:
        with fresh_cache():  # what an earlier process compiled proves nothing
            torch.compile(lambda x: x.sin() + 1)(torch.ones(8, device=device))
    except Exception as error:  # a compiler fails in many ways, and training can do without it
        log.warning(
            "Training goes on uncompiled, about half as fast: torch.compile does not work here (%s); install a C++ "
            "compiler such as g++ with its headers.",
            type(error).__name__,
        )
        return False
    return True
