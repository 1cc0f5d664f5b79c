"""The words of make bands, read or refused without torch."""

import subprocess
import sys

import pytest
from small_models import one_sentence

from paperlib.models.lineages import LineageError
from paperlib.study.study import CODE_ROOT, StudyError
from paperlib.tuning.bands import BandError
from paperlib.tuning.scaled_band_arguments import read_words

USUAL = ["paper", "bands=full,6:17", "data=folder"]


def test_words_are_read():
    asked = read_words([*USUAL, "model=llava-1.5-13b", "method=full", "connector=frozen", "lr=2e-5", "length=512",
                        "checkpointing=false", "every=7", "seed=3", "pictures=there",
                        "accelerate=--use_fsdp --num_processes 8"])  # fmt: skip
    assert asked.bands == ("full", "6:17") and asked.data == "folder" and asked.pictures == "there"
    assert (asked.study.preset, asked.study.model, asked.study.seed) == ("paper", "llava-1.5-13b", 3)
    assert asked.settings == {
        "method": "full", "connector": False, "lr": 2e-5, "length": 512, "checkpointing": False
    }  # fmt: skip
    assert asked.every == 7 and asked.accelerate == ("--use_fsdp", "--num_processes", "8")
    plain = read_words(USUAL)
    assert plain.settings == {} and plain.every == 100 and plain.accelerate == () and plain.pictures is None


@pytest.mark.parametrize(
    "words, error, said",
    [
        ([], StudyError, "Name a preset"),
        (["paper", "data=x"], StudyError, "Name the bands"),
        (["paper", "bands=full"], StudyError, "Name the data"),
        (["huge", "bands=full", "data=x"], StudyError, "huge"),
        ([*USUAL, "data=y"], StudyError, "no name comes twice"),
        ([*USUAL, "method"], StudyError, "name=value"),
        ([*USUAL, "method=some"], StudyError, "lora, full"),
        ([*USUAL, "connector=no"], StudyError, "tuned, frozen"),
        ([*USUAL, "lr=-1"], StudyError, "lr is a number"),
        ([*USUAL, "length=2.5"], StudyError, "whole number"),
        ([*USUAL, "every=0"], StudyError, "every"),
        ([*USUAL, "steps=3"], StudyError, "steps"),
        ([*USUAL, "accelerate=--cpu --num_processes 2"], StudyError, "device=cpu"),
        ([*USUAL, "accelerate='half"], StudyError, "accelerate"),
        ([*USUAL, "model=tinny"], LineageError, "tinny"),
        (["paper", "bands=full,full", "data=x"], StudyError, "twice"),
        (["paper", "bands=full,", "data=x"], BandError, "''"),
        (["paper", "bands=9:3", "data=x"], BandError, "9:3"),
        (["paper", "bands=midle", "data=x"], BandError, "midle"),
    ],
)
def test_words_that_cannot_be_used(words, error, said):
    with pytest.raises(error) as caught:
        read_words(words)
    message = str(caught.value) if error is LineageError else one_sentence(caught.value)
    assert said in message


def test_words_are_refused_before_torch_is_loaded():
    code = (
        "import sys, runpy\n"
        "sys.argv = ['x', 'paper', 'bands=9:3', 'data=x']\n"
        "try:\n    runpy.run_module('paperlib.tuning.scaled_bands', run_name='__main__')\n"
        "except SystemExit as end:\n    print(end, 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CODE_ROOT, capture_output=True, text=True)
    assert done.stdout.startswith("make bands: ") and done.stdout.strip().endswith("False"), done.stderr
