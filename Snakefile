# The study as a graph of notebooks. Each rule is one papermill call; what is up to date is not run again.
#
#   snakemake --cores all --config preset=mini                       the study (what `make figures` calls)
#   snakemake --cores all --config preset=mini seed=1 retrain=true   any field of Study can be set
#   snakemake --cores all --rerun-incomplete --nolock ...            go on after a kill
#
# Executed notebooks, timings and peak memory go to runs/<run>/, results to results/<run>/, figures to figures/<run>/, where
# a run is named by its preset and by what differs from it (`Study.run`). Results and figures are written by the notebooks
# and are not declared as outputs: Snakemake would delete them before each run, committed ones included. A notebook is run
# again when code that it computes with changes, and not for how figures look: make redraw does that. The same file runs on
# a cluster through an executor plugin (snakemake --executor slurm ...).

import atexit
import subprocess
import sys
from pathlib import Path

import yaml

from paperlib.study import CODE_ROOT, StudyError, run_lock, sources
from paperlib.study.make_arguments import study_of, values

# Every notebook, in reading order, and the notebooks that must have run before it. The Makefile and the tests take their
# lists from these lines, so that another notebook in the folder is nobody's business.
NOTEBOOKS = {
    "00_meet_the_model": [],
    "01_tune_a_vlm": [],
    "02_probe_layers": [],
    "03_intervene_on_layers": [],
    "04_measure_geometry": [],
    "05_tune_a_band": ["02_probe_layers", "04_measure_geometry"],
}
TRAINS = "01_tune_a_vlm"

try:  # before anything runs
    CONFIG = values(config)
    STUDY = study_of(CONFIG)
except StudyError as error:
    sys.exit(f"Snakefile: {error}")
RUNS = f"runs/{STUDY.run}"
if STUDY.retrain:  # two that run at once must not both train the adapters that all load
    NOTEBOOKS = {name: before if name == TRAINS else [TRAINS, *before] for name, before in NOTEBOOKS.items()}



def code_of(notebook):
    """The code that a notebook computes with: an edit elsewhere leaves it up to date, and so does one of how figures look."""
    paths = (path.relative_to(CODE_ROOT) for path in sources.notebook_sources(notebook))
    return [path.as_posix() for path in paths if path.parent.name != "figures" or path.stem in ("notebook", "rows")]


# The notebooks' `parameters` cell. Only what was asked for goes into overrides: the rest is the preset's.
PARAMETERS = {
    "preset": STUDY.preset,
    "seed": STUDY.seed,
    "overrides": {name: value for name, value in CONFIG.items() if name not in ("preset", "seed")},
}


onstart:
    try:
        LOCK = run_lock.lock(RUNS)
    except run_lock.RunError as error:
        sys.exit(f"Snakefile: {error}")
    for notebook in NOTEBOOKS:  # what failed before is tried again, and must not be told as this run's
        run_lock.partial(RUNS, notebook).unlink(missing_ok=True)
    todo = {job.rule.name for job in workflow.dag.needrun_jobs()}
    subprocess.run([sys.executable, "-m", "paperlib.models.run_time", STUDY.preset, ",".join(PARAMETERS["overrides"]) or "-",
                    *[notebook for notebook in NOTEBOOKS if notebook in todo]])


onsuccess:
    atexit.register(print, "\n" + Path(f"{RUNS}/timings.md").read_text(encoding="utf-8"), end="")


onerror:
    # At the very end, after what Snakemake has to say.
    atexit.register(print, "\n".join(["", *run_lock.failures(RUNS, NOTEBOOKS)]), file=sys.stderr)


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
            code=code_of(f"notebooks/{notebook}.ipynb"),
            notebook=f"notebooks/{notebook}.ipynb",
            parameters=f"{RUNS}/parameters.yaml",
        output:
            f"{RUNS}/{notebook}.ipynb",
        benchmark:
            f"{RUNS}/{notebook}.tsv"
        params:
            # Executed under another name and renamed at the end: one that fails stays there to be read.
            partial=run_lock.partial(RUNS, notebook),
            python=sys.executable,
        # Snakemake sets OMP_NUM_THREADS to this: a notebook takes all cores that Snakemake was given. The tiny model of
        # preset smoke gains nothing from a second one, so there a notebook runs on each.
        threads: 1 if STUDY.preset == "smoke" else workflow.cores or 1
        # PPID is Snakemake. The empty file says that the notebook was tried, should papermill fail before it writes one.
        shell:
            ": > {params.partial} && {params.python:q} -m paperlib.study.watch $PPID {params.python:q} -m papermill"
            " {input.notebook} {params.partial} -f {input.parameters} -k python3 --start-timeout 600 --cwd notebooks"
            " && mv {params.partial} {output}"


rule timings:
    input:
        expand("{runs}/{notebook}.ipynb", runs=RUNS, notebook=NOTEBOOKS),
    output:
        f"{RUNS}/timings.md",
    params:
        python=sys.executable,
    shell:
        "{params.python:q} -m paperlib.study.timings {input} > {output}"
