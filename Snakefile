# The study as a graph of notebooks. Each rule is one papermill call; what is up to date is not run again.
#
#   snakemake --cores all --config preset=mini                       the study (what `make figures` calls)
#   snakemake --cores all --config preset=mini seed=1 retrain=true   any field of Study can be set
#   snakemake --cores all --rerun-incomplete --nolock ...            go on after a kill
#
# Executed notebooks, timings and peak memory go to runs/<preset>/, figures to figures/<preset>/. Figures are
# written by the notebooks and are not declared as outputs: Snakemake would delete them before each run,
# committed ones included. The same file runs on a cluster through an executor plugin (snakemake --executor
# slurm ...).

import sys
from pathlib import Path

import yaml

from paperlib.study import Study, StudyError

# Every notebook, in reading order, and the notebooks that must have run before it.
NOTEBOOKS = {
    "00_meet_the_model": [],
    "01_tune_a_vlm": [],
    "02_probe_layers": [],
    "03_intervene_on_layers": [],
    "04_measure_geometry": [],
    "05_tune_a_band": ["02_probe_layers", "04_measure_geometry"],
}
TRAINS = "01_tune_a_vlm"

# Snakemake reads retrain=true as the string "true": read values as the YAML that they are written in.
CONFIG = {name: yaml.safe_load(value) if isinstance(value, str) else value for name, value in config.items()}
try:
    STUDY = Study.make(**{"preset": "mini"} | CONFIG)  # before anything runs
except StudyError as error:
    sys.exit(f"Snakefile: {error}")
RUNS = f"runs/{STUDY.preset}"
if STUDY.retrain:  # two that run at once must not both train the adapters that all load
    NOTEBOOKS = {name: before if name == TRAINS else [TRAINS, *before] for name, before in NOTEBOOKS.items()}

# Longest time [s] for one cell. Only training and GPU-sized budgets may take long.
PATIENCE = {"smoke": 600, "mini": 3600}.get(STUDY.preset, 7 * 86400)
if STUDY.retrain:
    PATIENCE = 7 * 86400

# The notebooks' `parameters` cell. Only what was asked for goes into overrides: the rest is the preset's.
PARAMETERS = {
    "preset": STUDY.preset,
    "seed": STUDY.seed,
    "overrides": {name: value for name, value in CONFIG.items() if name not in ("preset", "seed")},
}


localrules:
    all,
    parameters,
    timings,


rule all:
    input:
        f"{RUNS}/timings.md",


rule parameters:
    # A file of YAML: papermill's -p would hand on the string "true".
    output:
        f"{RUNS}/parameters.yaml",
    params:
        text=yaml.safe_dump(PARAMETERS, sort_keys=False),
    shell:
        "printf '%s' {params.text:q} > {output}"


for notebook, before in NOTEBOOKS.items():

    rule:
        name:
            notebook
        input:
            [f"{RUNS}/{other}.ipynb" for other in before],
            code=[str(path) for path in sorted(Path("paperlib").glob("*.py"))],
            notebook=f"notebooks/{notebook}.ipynb",
            parameters=f"{RUNS}/parameters.yaml",
        output:
            f"{RUNS}/{notebook}.ipynb",
        benchmark:
            f"{RUNS}/{notebook}.tsv"
        params:
            # Executed under another name and renamed at the end: one that fails stays there to be read.
            partial=f"{RUNS}/{notebook}.partial.ipynb",
            patience=PATIENCE,
            python=sys.executable,
        # Snakemake sets OMP_NUM_THREADS to this: a notebook takes all cores that Snakemake was given. The tiny model of
        # preset smoke gains nothing from a second one, so there a notebook runs on each.
        threads: 1 if STUDY.preset == "smoke" else workflow.cores or 1
        shell:
            "{params.python:q} -m papermill {input.notebook} {params.partial} -f {input.parameters}"
            " -k python3 --execution-timeout {params.patience} --cwd notebooks"
            " && mv {params.partial} {output}"


rule timings:
    input:
        expand("{runs}/{notebook}.ipynb", runs=RUNS, notebook=NOTEBOOKS),
    output:
        f"{RUNS}/timings.md",
    params:
        python=sys.executable,
    shell:
        "{params.python:q} -m paperlib.timings {input} > {output}"
