"""How a band is tuned on instructions, as LLaVA does it: what, how long, at which rates.

Rates and schedule are those of LLaVA-1.5's stage 2 (Liu et al., arXiv 2310.03744, and its public scripts): AdamW
without weight decay, 2e-5 for all weights, 2e-4 for LoRA with 2e-5 for the connector, a warm-up over 3 % of the steps,
then a cosine down to 0. LoRA has alpha = 2 x rank, as there.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from paperlib.tuning.train_config import TrainingError

LR_LORA, LR_FULL = 2e-4, 2e-5
WARMUP = 0.03  # of the steps


@dataclass(frozen=True)
class ScaledConfig:
    """One run. Its result depends on all fields but the last three, which say how the machine computes it."""

    steps: int
    layers: tuple[int, ...]  # the blocks that are tuned
    batch_size: int = 128  # instructions of a step, over all processes
    length: int = 2048  # tokens of a row, at most
    seed: int = 0  # of the data's order and of LoRA's initial values
    method: str = "lora"  # "lora", or "full" for all weights of the blocks
    rank: int = 128
    connector: bool = True  # whether the connector is tuned too
    lr: float = LR_LORA  # of the blocks
    lr_connector: float = LR_FULL
    warmup: float = WARMUP
    clip: float = 1.0  # the gradient's norm, at most
    micro_batch: int = 4  # instructions that a process holds at once; what is left of a step is accumulated
    checkpointing: bool = True  # blocks keep their input alone and are run again in the backward pass
    mixed: bool = True  # allows bfloat16 autocast, with the frozen LLM in bfloat16, where hardware has units

    @staticmethod
    def of(layers: tuple[int, ...], method: str, **more: Any) -> ScaledConfig:
        """LLaVA's recipe for these blocks, with its rate for the method."""
        return ScaledConfig(layers=layers, method=method, **{"lr": LR_FULL if method == "full" else LR_LORA} | more)

    def __post_init__(self) -> None:
        if self.method not in ("lora", "full"):
            raise TrainingError(f"The method is 'lora' or 'full', for all weights of the blocks, got {self.method!r}.")
        if not self.layers and not self.connector:
            raise TrainingError("Without blocks and connector there is nothing to tune: give a band or connector=True.")
        for name in ("steps", "batch_size", "length", "rank", "micro_batch"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} must be at least 1, got {getattr(self, name)}.")
        for name in ("lr", "lr_connector", "clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise TrainingError(f"{name} must be a number above 0, got {getattr(self, name)}.")

    def recipe(self) -> dict[str, Any]:
        """What decides the result: the same on every machine, and what a checkpoint must share to be gone on with."""
        fields = asdict(self) | {"stage": 2, "layers": list(self.layers)}
        return {name: value for name, value in fields.items() if name not in ("micro_batch", "checkpointing", "mixed")}

    def rate(self, step: int) -> float:
        """The learning rates of a step, as a share of the largest: transformers' cosine, but with no step at rate 0."""
        warm = math.ceil(self.warmup * self.steps)
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, self.steps - warm)))

    def rows_of(self, processes: int) -> int:
        """How many instructions of a step each process takes. Raises TrainingError if they cannot be divided so."""
        if self.batch_size % processes:
            raise TrainingError(
                f"A batch of {self.batch_size} cannot be divided among {processes} processes: take a number of "
                f"processes that divides it."
            )
        return self.batch_size // processes
