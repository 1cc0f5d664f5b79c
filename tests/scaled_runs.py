"""Instructions in memory and runs on them, for tests of training in several processes.

    torchrun --nproc-per-node 2 tests/scaled_runs.py FOLDER    # each of `RUNS` into FOLDER; the last one is killed

The tests start this file with two processes, and call `run` themselves with one.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from small_models import tiny_vlm

from paperlib.models import precision
from paperlib.tasks.benchmarks.example import StoredPicture
from paperlib.tasks.instructions import Instruction, RowPicture
from paperlib.tuning import scaled_training
from paperlib.tuning.processes import Processes
from paperlib.tuning.scaled_config import ScaledConfig
from paperlib.tuning.scaled_training import train_scaled

COLOURS = ("red", "green", "blue", "white", "black")
CONFIG = ScaledConfig(
    20, (1, 2), batch_size=4, length=220, rank=2, lr=5e-3, lr_connector=5e-3, micro_batch=1, mixed=False, warmup=0.1
)
FULL = replace(CONFIG, steps=10, method="full", lr=2e-3)


class Memory:
    """Instruction i is the same wherever one begins. Answers are long in every second one: a batch that is divided
    among two processes has few tokens in one and many in the other. Every third has no picture, one in seven is
    refused.
    """

    name, seed = "memory", 0

    def examples(self, start=0):
        i = start
        while True:
            yield self.one(i)
            i += 1

    def one(self, i):
        colour = COLOURS[i % len(COLOURS)]
        said = f"{colour} " * (1 + i % 3) if i % 2 else colour[0]
        words = "<image>" if i % 7 == 5 else "What colour is it?"  # a special token in words is refused
        pictures = () if i % 3 == 2 else (RowPicture(StoredPicture(Image.new("RGB", (24, 24), colour), f"row {i}")),)
        return Instruction(f"row {i}", ((words, said.strip()), ("And?", colour[: 1 + i % 4])), pictures)


class TextAlone(Memory):
    """No picture in the rows of the second of two processes: its connector is not run."""

    def one(self, i):
        given = super().one(i)
        return Instruction(given.id, given.turns) if i % 2 else given


class Refused(Memory):
    """All rows of the second of two processes are refused in steps 1 and 2."""

    def one(self, i):
        given = super().one(i)
        return Instruction(given.id, (("<image>", "no"),)) if i % 2 and 4 <= i < 12 else given


class Stopped(Memory):
    """Nothing comes from step 9 on: a run that is interrupted."""

    def one(self, i):
        if i >= 9 * CONFIG.batch_size:
            raise InterruptedError
        return super().one(i)


def run(processes, config=CONFIG, source=None, checkpoint=None, every=100, make=tiny_vlm):
    """-> (the record of training, the model's weights by name, whole)."""
    vlm = make()
    record = train_scaled(vlm, config, source or Memory(), processes, checkpoint, every, "tiny", progress=False)
    return record, whole_weights(vlm)


def whole_weights(vlm):
    found = {}
    for name, value in vlm.model.state_dict().items():
        value = value.full_tensor() if hasattr(value, "full_tensor") else value
        found[name.replace(".base_layer.", ".")] = value.detach().clone()
    return found


def killed_at(step):
    """Let this process be killed by the system's signal 9 in the midst of a step, after its gradients."""
    usual, calls = scaled_training.clip, []

    def clip(*args):
        calls.append(1)
        if len(calls) == step + 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return usual(*args)

    scaled_training.clip = clip


SHORT = replace(CONFIG, steps=4)
BFLOAT16 = replace(FULL, steps=4, mixed=True)
# name: (config, source, steps from checkpoint to checkpoint)
RUNS = {
    "whole": (CONFIG, Memory, 100),
    "resumed": (CONFIG, Memory, 100),  # from the checkpoint that the tests left there
    "text": (SHORT, TextAlone, 100),
    "refused": (SHORT, Refused, 100),
    "sharded LoRA": (SHORT, Memory, 100),
    "sharded text": (SHORT, TextAlone, 100),
    "sharded refused": (SHORT, Refused, 100),
    "sharded bfloat16": (BFLOAT16, Memory, 100),
    "sharded full": (FULL, Memory, 8),
    "sharded resumed": (FULL, Memory, 100),  # from another such checkpoint
    "killed": (CONFIG, Memory, 3),
}


def main(folder, *names):
    for name in names or RUNS:
        config, source, every = RUNS[name]
        processes = Processes("cpu", sharded=name.startswith("sharded"))
        precision.bfloat16_units = lambda device: True  # where a run allows it
        if name == "killed" and processes.rank == 1:
            killed_at(8)
        record, weights = run(processes, config, source(), folder / name, every)
        if processes.main:
            torch.save({"record": record, "weights": weights}, folder / f"{name}.pt")
        processes.sums(0)  # until all are here


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
