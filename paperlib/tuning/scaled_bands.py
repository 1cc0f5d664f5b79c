"""Tune bands of a model on instructions, on all GPUs at hand, and ask them: what `make bands` runs; resumable.

    python -m paperlib.tuning.scaled_bands paper model=llava-1.5-7b bands=full,6:17 data=llava_v1_5_mix665k.json

Each band begins at the model's stage before tuning and is trained by `band_training` under `accelerate launch`. Then
all answer the questions of the notebooks. What is finished is kept; notebooks 05 and 06 find it (`own_bands`), and the
answers in the cache. Training runs in processes of its own, so that a GPU is free again for the next one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from paperlib.study.study import StudyError
from paperlib.tuning.scaled_band_arguments import Asked, BandError, LineageError, read_words

if __name__ == "__main__":  # before torch loads below
    try:
        read_words(sys.argv[1:])
    except (StudyError, BandError, LineageError) as error:
        sys.exit(f"make bands: {error}")

from paperlib.stats.words import written
from paperlib.study.results import ResultError
from paperlib.study.run_lock import lock
from paperlib.tuning.band_training import TOLD, config_of, source_of
from paperlib.tuning.lineage_bands import ask_bands, rows_of_bands
from paperlib.tuning.lineage_stages import stages_of
from paperlib.tuning.own_bands import arm_name, band_folder, is_finished, stage_before, start_name, write_band
from paperlib.tuning.scaled_batches import data_name
from paperlib.tuning.stages import tune
from paperlib.tuning.train_config import TrainingError


def tune_bands(words: Sequence[str]) -> list[dict]:
    """Train what is missing and ask all; -> a row for each arm, as `lineage_bands.rows_of_bands` makes them.

    Before anything is trained, raises StudyError, BandError and LineageError for words that cannot be used, VLMError
    for a model without a stage before tuning, SourceError for data that are not there, and TrainingError for a band
    that is there and was made otherwise. Raises TrainingError if training stops.
    """
    asked = read_words(words)
    study = asked.study
    stage_before(study)
    configs = {blocks: config_of(asked, blocks) for blocks in asked.bands}
    source = source_of(asked)
    next(source.examples())
    data = data_name(source)
    tune(study)  # does nothing unless the study says retrain and this project builds the model
    start = start_name(study)
    folders = {blocks: band_folder(study, blocks, config.method) for blocks, config in configs.items()}
    held = lock(next(iter(folders.values())).parent)
    try:
        for blocks in [b for b, config in configs.items() if not is_finished(folders[b], config, start, data)]:
            print(f"Tuning {arm_name(blocks, configs[blocks].method)} of {study.model}.", flush=True)
            _train(words, asked, blocks)
            write_band(study, blocks, configs[blocks])
    finally:
        os.close(held)
    names = [arm_name(blocks, config.method) for blocks, config in configs.items()]
    found, absent = ask_bands(stages_of(study), study, bands=names)
    for what, why in absent.items():
        print(f"{what} cannot be asked: {why}.", file=sys.stderr)
    return rows_of_bands(found)


def _train(words: Sequence[str], asked: Asked, blocks: str) -> None:
    rest = [word for word in words if word.partition("=")[0] not in ("accelerate", "bands")]
    launch = [sys.executable, "-m", "accelerate.commands.launch", *asked.accelerate]
    watched = [sys.executable, "-m", "paperlib.study.watch", str(os.getpid()), *launch]  # ends when this process does
    done = subprocess.run([*watched, "-m", "paperlib.tuning.band_training", *rest, f"bands={blocks}"])
    if done.returncode:
        raise TrainingError(
            f"The band {blocks} was not tuned, and the lines above say why: once that is mended, the same command goes "
            f"on from its last checkpoint."
        )


def main(words: Sequence[str]) -> None:
    """Tune and ask the bands, and print what each keeps of full tuning."""
    try:
        rows = tune_bands(words)
    except (*TOLD, ResultError) as error:
        sys.exit(f"make bands: {error}")
    except OSError as error:
        sys.exit(f"make bands: a file cannot be read or written ({error.strerror or error}): make room on the disk.")
    for row in rows:
        kept = "" if row["keeps"] is None else f", keeps {written(row['keeps'], '.1f')} % of full tuning's"
        print(f"{row['arm']}: {row['accuracy']:.1f} % right{kept}")


if __name__ == "__main__":
    main(sys.argv[1:])
