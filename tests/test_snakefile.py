"""The Snakefile, on toy notebooks with the names of real ones, in a folder of their own."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml

from paperlib.study import CODE_ROOT, Study
from paperlib.study.run_lock import lock

RULE = re.compile(r'^    "(\d\d_\w+)":.*\n', re.MULTILINE)
SNAKEFILE = (CODE_ROOT / "Snakefile").read_text(encoding="utf-8")
NAMES = RULE.findall(SNAKEFILE)
FIRST, LAST = "01_tune_a_vlm", NAMES[-1]  # the one that trains, and one that works on what it trained
PARAMETERS = 'preset = "mini"\nseed = 0\noverrides = {}'
RECORD = "import json, os\nopen('../log', 'a').write(json.dumps([NAME, preset, seed, overrides]) + '\\n')"
# The first time it waits to be killed, the second time it fails, the third time it works.
TROUBLE = """
import time
if not os.path.exists('../waiting'):
    open('../waiting', 'w').close()
    time.sleep(600)
if not os.path.exists('../failed'):
    open('../failed', 'w').close()
    raise ValueError('out of ink')
"""


def toy(path, *cells):
    path.write_text(
        json.dumps(
            {
                "nbformat": 4,
                "nbformat_minor": 5,
                "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
                "cells": [
                    {
                        "cell_type": "code",
                        "id": f"c{i}",
                        "execution_count": None,
                        "outputs": [],
                        "source": text,
                        "metadata": {"tags": ["parameters"]} if text == PARAMETERS else {},
                    }
                    for i, text in enumerate(cells)
                ],
            }
        )
    )


@pytest.fixture
def clone(tmp_path):
    """The Snakefile with one toy notebook for each of its rules; the last one makes trouble twice."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "notebooks").mkdir()
    for name in NAMES:
        code = f"NAME = {name!r}\n{RECORD}" + (TROUBLE if name == LAST else "")
        toy(tmp_path / "notebooks" / f"{name}.ipynb", PARAMETERS, code)
    return tmp_path


@pytest.fixture
def small_clone(clone):
    """A clone with these two rules alone, as executing even a toy takes seconds."""
    return keep(clone, {FIRST: "", LAST: ""})


def keep(clone, before):
    """A clone with these rules alone, {name: what must have run before, in quotes}."""
    kept = {name: f'    "{name}": [{others}],\n' for name, others in before.items()}
    (clone / "Snakefile").write_text(RULE.sub(lambda rule: kept.get(rule[1], ""), SNAKEFILE))
    return clone


def start(clone, *arguments, package=CODE_ROOT):
    """Snakemake as the Makefile calls it, in a process group of its own."""
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--rerun-incomplete", "--nolock", "--quiet", "host"]
    return subprocess.Popen(
        command + [*arguments],
        cwd=clone,
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONPATH": str(package)},
    )


def snakemake(clone, *arguments, package=CODE_ROOT):
    """(exit status, output) of a run that is left alone; package: where paperlib lies."""
    process = start(clone, *arguments, package=package)
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


def ran(clone):
    return [json.loads(line) for line in (clone / "log").read_text().splitlines()]


@pytest.mark.slow
def test_resumes_after_a_kill_and_a_failure_and_writes_timings(small_clone):
    clone = small_clone
    run = Study.make("smoke", seed=2).run  # a folder of its own, since the seed is not the preset's
    runs = clone / "runs" / run
    config = ("--config", "preset=smoke", "seed=2", "retrain=true")

    killed = start(clone, *config)
    deadline = time.monotonic() + 120
    while not (clone / "waiting").exists():
        assert killed.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()

    status, output = snakemake(clone, *config)
    assert status != 0 and "out of ink" in output
    assert "out of ink" in (runs / f"{LAST}.partial.ipynb").read_text()  # what failed stays to be read
    assert not (runs / f"{LAST}.ipynb").exists()
    assert output.rstrip().splitlines()[-1] == (
        f"{LAST} failed: ValueError: out of ink. Read runs/{run}/{LAST}.partial.ipynb; once mended, the same command "
        f"goes on from here."
    )
    assert "no times were measured at preset smoke" in output

    status, output = snakemake(clone, *config)
    assert status == 0, output
    calls = ran(clone)
    assert [call[0] for call in calls] == [FIRST, LAST, LAST, LAST]  # what was done was not done again
    assert all(call[1:] == ["smoke", 2, {"retrain": True}] for call in calls)  # a bool, not the text "true"
    assert yaml.safe_load((runs / "parameters.yaml").read_text())["overrides"] == {"retrain": True}
    assert sorted(p.stem for p in runs.glob("*.ipynb")) == [FIRST, LAST]
    timings = (runs / "timings.md").read_text()
    assert FIRST in timings and LAST in timings and "| all " in timings

    assert "Nothing to be done" in snakemake(clone, *config)[1]
    _, plan = snakemake(clone, "--dry-run", "--config", "preset=smoke", "seed=3")  # other parameters
    assert f"rule {FIRST}:" in plan and f"rule {LAST}:" in plan


@pytest.mark.slow
def test_the_others_run_where_some_fail_and_each_failure_is_told_in_one_line(clone):
    broken, dead, waiting, fine = NAMES[0], NAMES[1], NAMES[2], LAST
    keep(clone, {broken: "", dead: "", waiting: f'"{broken}"', fine: ""})
    toy(clone / "notebooks" / f"{broken}.ipynb", PARAMETERS, "1", "raise KeyError('ink')", "2")
    toy(clone / "notebooks" / f"{dead}.ipynb", PARAMETERS, "import os; os._exit(3)", "2")
    toy(clone / "notebooks" / f"{fine}.ipynb", PARAMETERS, "1")
    runs = clone / "runs" / Study.make("smoke", retrain=False).run
    runs.mkdir(parents=True)
    (runs / f"{fine}.partial.ipynb").write_text("of a run before")

    status, output = snakemake(clone, "--keep-going", "--config", "preset=smoke", "retrain=false")
    assert status != 0
    told = output.split("\n\n")[-1].strip().splitlines()
    assert [line.split(":")[0] for line in told] == [f"{broken} failed", f"{dead} failed", f"{waiting} was not run"]
    assert "KeyError: 'ink'" in told[0] and "kernel died" in told[1] and f"it needs {broken}." in told[2]
    left = sorted(p.name for p in runs.glob("*.ipynb"))
    assert left == [f"{broken}.partial.ipynb", f"{dead}.partial.ipynb", f"{fine}.ipynb"]


def test_a_second_run_of_the_same_preset_stops_at_once_and_harms_nothing(small_clone):
    runs = small_clone / "runs" / "smoke"
    held = lock(runs)  # what a run under way does
    (runs / f"{FIRST}.ipynb").write_text("finished")
    (runs / f"{LAST}.partial.ipynb").write_text("under way")
    status, output = snakemake(small_clone, "--config", "preset=smoke")
    assert status != 0 and "Another run is at work in runs/smoke: wait for its end, or stop it." in output
    assert "Traceback" not in output and not (small_clone / "log").exists()
    assert (runs / f"{FIRST}.ipynb").read_text() == "finished" and (runs / f"{LAST}.partial.ipynb").exists()
    os.close(held)


def test_every_notebook_has_a_rule_and_waits_for_the_one_that_trains(clone):
    status, plan = snakemake(clone, "--dry-run", "--config", "preset=smoke", "retrain=true")
    assert status == 0, plan
    for name in NAMES:
        rule = plan.split(f"rule {name}:")[1].split("\n\n")[0]
        assert (f"runs/smoke/{FIRST}.ipynb" in rule.split("output:")[0]) == (name != FIRST)


@pytest.mark.parametrize(
    "config, words",
    [
        ("preset=large", "There is no preset 'large': choose one of smoke, mini, gpu, paper."),
        ("n_evals=3", "There is no parameter 'n_evals': choose among"),
        ("retrain=yess", "retrain must be a bool, got str 'yess'"),
        ("model=@me/x", "model=@me/x cannot be read as YAML"),
    ],
)
def test_bad_configuration_is_refused_before_anything_runs(clone, config, words):
    status, output = snakemake(clone, "--config", config)
    assert status != 0 and words in output and "Traceback" not in output
    assert not (clone / "runs").exists()


@pytest.mark.slow
def test_a_notebook_is_run_again_for_the_code_that_it_computes_with_and_not_for_how_figures_look(clone):
    keep(clone, {FIRST: ""})
    modules = {"figures.rows": "select", "figures.style": "DRAW", "tasks.charts": "draw_chart"}
    code = "\n".join(f"from paperlib.{module} import {name}" for module, name in modules.items())
    toy(clone / "notebooks" / f"{FIRST}.ipynb", PARAMETERS, code)
    shutil.copytree(CODE_ROOT / "paperlib", clone / "paperlib", ignore=shutil.ignore_patterns("__pycache__"))
    config = ("--config", "preset=smoke")
    status, output = snakemake(clone, *config, package=clone)
    assert status == 0, output

    def plan(edited):
        """What would run if this file were edited alone."""
        path = clone / "paperlib" / edited
        text, times = path.read_text(), path.stat()
        path.write_text(text + "\n# edited\n")
        told = snakemake(clone, "--dry-run", *config, package=clone)[1]
        path.write_text(text)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        return told

    assert "Nothing to be done" in plan("figures/style.py")
    assert "Nothing to be done" in plan("tuning/finetune.py")
    assert f"rule {FIRST}:" in plan("figures/rows.py")  # which makes rows that are computed with
    assert f"rule {FIRST}:" in plan("tasks/scenes.py")  # which charts.py imports
