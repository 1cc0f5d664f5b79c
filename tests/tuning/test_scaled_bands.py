"""make bands: bands are trained under `accelerate launch`, written and asked; a run that was killed goes on."""

import subprocess
import sys
import time

import pytest
from small_models import one_sentence

from paperlib.models.input_checks import VLMError
from paperlib.study.results import read_json
from paperlib.study.study import CODE_ROOT
from paperlib.tasks.benchmarks.card import SourceError
from paperlib.tuning import scaled_bands
from paperlib.tuning.band_training import config_of, source_of
from paperlib.tuning.bands import BandError
from paperlib.tuning.lineage_stages import stages_of
from paperlib.tuning.own_bands import arm_name, band_folder, checkpoint_folder, own_bands, start_model, start_name
from paperlib.tuning.processes import Processes
from paperlib.tuning.scaled_band_arguments import read_words
from paperlib.tuning.scaled_bands import tune_bands
from paperlib.tuning.scaled_checkpoints import newest
from paperlib.tuning.scaled_training import train_scaled
from paperlib.tuning.train_config import TrainingError

DATA = CODE_ROOT / "tests" / "fixtures" / "instructions" / "llava"
WORDS = ["smoke", "model=llava-1.5-7b", "retrain=false", "n_eval=2", "device=cpu", f"data={DATA}"]
WORDS += ["band_steps=20", "band_batch=4", "band_rank=2", "lr=5e-3", "every=2", "bands=1:3"]
TWO = "accelerate=--multi_gpu --num_processes 2 --main_process_port 0"


@pytest.fixture
def processes_there(hub, study, monkeypatch):
    """Processes that are started find the miniature hub and the code."""
    monkeypatch.setenv("HF_HUB_CACHE", str(hub))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", str(CODE_ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.slow
def test_a_command_that_was_killed_goes_on_to_the_same_end(processes_there, monkeypatch):
    """Training is killed with one process after a checkpoint, and goes on with two; then everything is there."""
    asked = read_words(WORDS)
    folder = band_folder(asked.study, "1:3", "lora")
    first = subprocess.Popen([sys.executable, "-m", "paperlib.tuning.band_training", *WORDS])
    while newest(checkpoint_folder(folder)) is None:
        assert first.poll() is None
        time.sleep(0.05)
    first.kill()  # signal 9
    first.wait()
    assert int(newest(checkpoint_folder(folder)).name.removeprefix("step-")) < 20
    rows = {row["arm"]: row for row in tune_bands([*WORDS, TWO])}
    assert set(rows) == {arm_name("1:3", "lora"), "full", "stage 1"}
    record = read_json(folder / "provenance.json")
    assert record["processes"] == 2 and list(own_bands(asked.study)) == [arm_name("1:3", "lora")]
    config = config_of(asked, "1:3")
    alone = train_scaled(start_model(asked.study), config, source_of(asked), Processes("cpu"), progress=False)
    assert record["loss"] == pytest.approx(alone["loss"], abs=1e-4) and record["refused"] == alone["refused"]
    # A second call trains nothing, and the notebooks find the band.
    monkeypatch.setattr(scaled_bands.subprocess, "run", None)
    assert tune_bands(WORDS) == list(rows.values())
    assert arm_name("1:3", "lora") in stages_of(asked.study).bands
    with pytest.raises(TrainingError) as error:
        tune_bands([*WORDS, "connector=frozen"])
    assert "other settings" in one_sentence(error.value)
    assert start_name(asked.study) == record["start"]


@pytest.mark.parametrize(
    "words, error, said",
    [
        (["bands=6:17"], BandError, "0 to 3"),
        (["data=nothere.json"], SourceError, "nothere.json"),
        (["model=gemma-3-4b"], VLMError, "no stage before tuning"),
    ],
)
def test_what_is_not_there_is_told_before_anything_is_trained(hub, study, monkeypatch, words, error, said):
    monkeypatch.setattr(scaled_bands, "_train", None)
    named = {word.partition("=")[0] for word in words}
    with pytest.raises(error) as caught:
        tune_bands([*(word for word in WORDS if word.partition("=")[0] not in named), *words])
    assert said in one_sentence(caught.value)


@pytest.mark.parametrize("status", [1, -9])
def test_training_that_stops_is_told(hub, study, monkeypatch, status, capsys):
    done = subprocess.CompletedProcess([], status)
    monkeypatch.setattr(scaled_bands.subprocess, "run", lambda command: done)
    with pytest.raises(SystemExit) as end:
        scaled_bands.main(WORDS)
    assert "lines above" in one_sentence(Exception(end.value.code)) and end.value.code.startswith("make bands: ")
    assert "Tuning 1:3, LoRA here of llava-1.5-7b." in capsys.readouterr().out
