"""The training of one band, in each of the processes that `accelerate launch` starts for `scaled_bands`.

    accelerate launch --num_processes 8 -m paperlib.tuning.band_training paper bands=6:17 data=folder

It leaves a checkpoint at the band's end, and goes on from the newest one that is there.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch

from paperlib.models.adapter_files import AdapterError
from paperlib.models.input_checks import VLMError
from paperlib.models.lineages import LineageError
from paperlib.study.run_lock import RunError, lock
from paperlib.study.study import StudyError
from paperlib.tasks.benchmarks.card import SourceError
from paperlib.tasks.instructions import Instructions, open_instructions
from paperlib.tuning.bands import BandError, band
from paperlib.tuning.own_bands import band_folder, checkpoint_folder, start_model, start_name, text_config
from paperlib.tuning.processes import Processes
from paperlib.tuning.scaled_band_arguments import Asked, read_words
from paperlib.tuning.scaled_config import ScaledConfig
from paperlib.tuning.scaled_training import train_scaled
from paperlib.tuning.train_config import TrainingError

# What is told in one sentence; anything else is a fault of this code.
TOLD = (StudyError, BandError, LineageError, VLMError, SourceError, TrainingError, AdapterError, RunError)
LONGEST = 2048  # tokens of a row, as in LLaVA's tuning, where the model's context allows it


def config_of(asked: Asked, blocks: str) -> ScaledConfig:
    """How a band is tuned: the study's budget for bands, LLaVA's recipe, and what was asked for.

    Raises BandError for a band that the model does not have, VLMError if its configuration cannot be read.
    """
    study, text = asked.study, text_config(asked.study)
    context = getattr(text, "max_position_embeddings", LONGEST)
    own: dict[str, Any] = {
        "steps": study.band_steps,
        "batch_size": study.band_batch,
        "rank": study.band_rank,
        "seed": study.seed,
    }
    own |= {"length": min(LONGEST, context), "mixed": study.preset != "smoke", **asked.settings}
    return ScaledConfig.of(band(blocks, text.num_hidden_layers), own.pop("method", "lora"), **own)


def source_of(asked: Asked) -> Instructions:
    """The instructions, in the order of the study's seed. Raises SourceError as `open_instructions` does."""
    return open_instructions(asked.data, asked.study.seed, asked.pictures)


def main(words: Sequence[str]) -> None:
    """Train the one band that the words name."""
    asked = read_words(words)
    study, blocks = asked.study, asked.bands[0]
    processes = Processes(study.device)
    try:
        config = config_of(asked, blocks)
        folder = checkpoint_folder(band_folder(study, blocks, config.method))
        if processes.main:
            lock(folder)  # a run that was killed may take seconds to end
        source = source_of(asked)
        train_scaled(start_model(study), config, source, processes, folder, asked.every, start_name(study))
    except TOLD as error:
        sys.exit(str(error) if processes.main else 1)
    finally:
        if processes.count > 1:
            torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1:])
