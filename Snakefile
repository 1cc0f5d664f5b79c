# The study as a graph of notebooks, for one run or a grid of them. Each rule is one papermill call; what is up to date is
# not run again.
#
#   snakemake --cores all --config preset=mini                       the study (what `make figures` calls)
#   snakemake --cores all --config preset=mini seed=1 retrain=true   any field of Study can be set
#   snakemake --cores all --config models=mini,llava-1.5-7b seeds=0,1,2   a run for each model and seed
#   snakemake --cores all --rerun-incomplete --nolock ...            go on after a kill
#
# Executed notebooks, timings and peak memory go to runs/<run>/, results to results/<run>/, figures to figures/<run>/, where
# a run is named by its preset and by what differs from it (`Study.run`). Results and figures are written by the notebooks
# and are not declared as outputs: Snakemake would delete them before each run, committed ones included. A notebook is run
# again when code that it computes with changes, and not for how figures look: make redraw does that. The same file runs on
# a cluster through an executor plugin (profiles/slurm).

import atexit
import re
import subprocess
import sys
from pathlib import Path

import yaml

from paperlib.models.lineages import LineageError, lineage_of
from paperlib.study import CODE_ROOT, StudyError, run_lock, sources
from paperlib.study.grid import runs_of
from paperlib.study.make_arguments import values

# Every notebook, in reading order, and the notebooks that must have run before it. The Makefile and the tests take their
# lists from these lines, so that another notebook in the folder is nobody's business.
NOTEBOOKS = {
    "00_meet_the_model": [],
    "01_tune_a_vlm": [],
    "02_probe_layers": [],
    "03_intervene_on_layers": [],
    "04_measure_geometry": [],
    "05_tune_a_band": ["02_probe_layers", "04_measure_geometry"],
    "06_run_benchmarks": ["01_tune_a_vlm", "05_tune_a_band"],
    "07_weigh_the_claims": ["02_probe_layers", "03_intervene_on_layers", "04_measure_geometry", "05_tune_a_band", "06_run_benchmarks"],
}
TRAINS = "01_tune_a_vlm"

try:  # before anything runs
    RUNS = runs_of(values(config))
    for run in RUNS.values():
        lineage_of(run.study.model)
except (StudyError, LineageError) as error:
    sys.exit(f"Snakefile: {error}")
FIRST = next(iter(RUNS.values())).study  # all runs share the preset and whatever else is no model or seed
if FIRST.retrain:  # two that run at once must not both train the adapters that all load
    NOTEBOOKS = {name: before if name == TRAINS else [TRAINS, *before] for name, before in NOTEBOOKS.items()}


wildcard_constraints:
    run="|".join(re.escape(run) for run in RUNS),


def code_of(notebook):
    """The code that a notebook computes with: an edit elsewhere leaves it up to date, and so does one of how figures look."""
    paths = (path.relative_to(CODE_ROOT) for path in sources.notebook_sources(notebook))
    return [path.as_posix() for path in paths if path.parent.name != "figures" or path.stem in ("notebook", "rows")]


onstart:
    LOCKS = []
    for run in RUNS:
        try:
            LOCKS.append(run_lock.lock(f"runs/{run}"))
        except run_lock.RunError as error:
            sys.exit(f"Snakefile: {error}")
        for notebook in NOTEBOOKS:  # what failed before is tried again, and must not be told as this run's
            run_lock.partial(f"runs/{run}", notebook).unlink(missing_ok=True)
    todo = [job.rule.name for job in workflow.dag.needrun_jobs()]
    settings = ",".join(next(iter(RUNS.values())).parameters["overrides"]) or "-"
    if workflow.local_exec:  # the speed of this machine says nothing about nodes
        subprocess.run([sys.executable, "-m", "paperlib.models.run_time", FIRST.preset, settings,
                        *[name for notebook in NOTEBOOKS for name in [notebook] * todo.count(notebook)]])


onsuccess:
    tables = [Path(f"runs/{run}/timings.md").read_text(encoding="utf-8") for run in RUNS]
    for run, table in zip(RUNS, tables):
        atexit.register(print, (f"\n{run}" if len(RUNS) > 1 else "") + "\n" + table, end="")


onerror:
    # At the very end, after what Snakemake has to say.
    sent = not workflow.local_exec
    told = {run: run_lock.failures(f"runs/{run}", NOTEBOOKS, sent) for run in RUNS}
    lines = [f"{run}: {line}" if len(RUNS) > 1 else line for run, of in told.items() for line in of]
    atexit.register(print, "\n".join(["", *lines]), file=sys.stderr)


localrules:
    all,
    parameters,
    timings,


rule all:
    input:
        expand("runs/{run}/timings.md", run=RUNS),


rule parameters:
    # A file of YAML: papermill's -p would hand on the string "true".
    output:
        "runs/{run}/parameters.yaml",
    params:
        text=lambda wildcards: yaml.safe_dump(RUNS[wildcards.run].parameters, sort_keys=False),
    shell:
        "printf '%s' {params.text:q} > {output}"


for notebook, before in NOTEBOOKS.items():

    rule:
        name:
            notebook
        input:
            [f"runs/{{run}}/{other}.ipynb" for other in before],
            code=code_of(f"notebooks/{notebook}.ipynb"),
            notebook=f"notebooks/{notebook}.ipynb",
            parameters="runs/{run}/parameters.yaml",
        output:
            f"runs/{{run}}/{notebook}.ipynb",
        benchmark:
            f"runs/{{run}}/{notebook}.tsv"
        params:
            # Executed under another name and renamed at the end: one that fails stays there to be read.
            partial=lambda wildcards, notebook=notebook: run_lock.partial(f"runs/{wildcards.run}", notebook),
            python=sys.executable,
        # Snakemake sets OMP_NUM_THREADS to this: a notebook takes all cores that Snakemake was given. The small models of
        # preset smoke gain nothing from a second one, so there a notebook runs on each.
        threads: 1 if FIRST.preset == "smoke" else workflow.cores or 1
        # Notebooks of a real model take a GPU each; make gives out one at a time (GPUS).
        resources:
            gpu=0 if FIRST.preset == "smoke" else 1,
        # PPID is Snakemake. The empty file says that the notebook was tried, should papermill fail before it writes one.
        shell:
            ": > {params.partial:q} && {params.python:q} -m paperlib.study.watch $PPID {params.python:q} -m papermill"
            " {input.notebook} {params.partial:q} -f {input.parameters:q} -k python3 --start-timeout 600 --cwd notebooks"
            " && mv {params.partial:q} {output:q}"


rule timings:
    input:
        [f"runs/{{run}}/{notebook}.ipynb" for notebook in NOTEBOOKS],
    output:
        "runs/{run}/timings.md",
    params:
        python=sys.executable,
    shell:
        "{params.python:q} -m paperlib.study.timings {input:q} > {output:q}"
