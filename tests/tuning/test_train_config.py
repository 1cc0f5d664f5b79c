"""Recipes of a study, the training phases of a step, and whether a compiler works."""

import os
import shutil
import subprocess
import sys

import pytest

from paperlib.study.study import CODE_ROOT, Study
from paperlib.tasks.conversations import MIXTURES
from paperlib.tuning.train_config import TrainConfig, compiler_found

BROKEN = {
    "fails": "exit 1",
    "does nothing": "exit 0",
    "has no headers": 'exec c++ -nostdinc -nostdinc++ "$@"',
    "is missing": None,
    "is there in name": '[ "$1" = --version ] && exec c++ --version; exit 1',
}


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the compilers are shell scripts")
@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_compiler_is_told_in_one_line(how, tmp_path):
    """In a process of its own, in which torch looks for its compiler anew; asked twice, it tells once."""
    script = tmp_path / "g++"
    if BROKEN[how]:
        script.write_text(f"#!/bin/sh\n{BROKEN[how]}\n")
        script.chmod(0o755)
    code = (
        "import logging; logging.basicConfig(format='%(message)s')\n"
        "from paperlib.tuning.train_config import compiler_found\nprint(compiler_found(), compiler_found())"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "CXX": str(script), "PYTHONPATH": str(CODE_ROOT)},
    )
    assert done.stdout.split() == ["False", "False"], done.stderr[-2000:]
    told = [line for line in done.stderr.splitlines() if "uncompiled" in line]
    assert len(told) == 1 and told[0].startswith("Training goes on uncompiled")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no compiler to be found")
def test_a_compiler_that_works_is_found():
    compiler_found.cache_clear()
    assert compiler_found()


# ---------------------------------------------------------------- the data of a step


def test_recipe_of_a_study():
    study = Study.make("mini", seed=3)
    for stage, steps in ((1, study.stage1_steps), (2, study.stage2_steps)):
        recipe = TrainConfig.of(study, stage)
        assert (recipe.stage, recipe.steps, recipe.batch_size, recipe.rank, recipe.seed) == (
            stage,
            steps,
            study.batch_size,
            study.lora_rank,
            3,
        )
        assert recipe.matching == (study.matching_steps if stage == 2 else 0)
        assert recipe.mixed and recipe.layers is None and recipe.method == "lora"
    smoke = TrainConfig.of(Study.make("smoke"), 1)
    assert not smoke.mixed and not smoke.compile
    assert smoke.length > TrainConfig.of(study, 1).length  # the tiny model's tokens are bytes


def test_phases_follow_each_other_and_name_mixtures():
    config = TrainConfig(2, 10, 4)
    assert [config.phase_at(step) for step in (0, 5)] == [("reading", 0, 6)] * 2
    assert [config.phase_at(step) for step in (6, 9)] == [("matching", 6, 10)] * 2
    assert TrainConfig(1, 10).phase_at(9) == ("captions", 0, 10)
    assert {"captions", "reading", "matching"} == set(MIXTURES)
