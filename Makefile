# make figures   install, fetch the assets, run the whole study at preset "mini", write figures/mini/
# make test      install, run pytest, and nbval over the notebooks at preset "smoke"
# make help      the rest
#
# Needs Python 3.11 or newer and make; no GPU, no account. pip takes its settings (an index, a proxy) from its
# own configuration. On Linux, torch's default build may bring GPU libraries: where your index offers a CPU
# build under the same version, that one is taken.

PYTHON ?= python3
PRESET ?= mini
RUN ?= $(PRESET)
CORES ?= all
CONFIG ?=
MODEL ?=
MODELS ?=
BANDS ?=
DATA ?=
ACCELERATE ?=
GPUS ?= 1
PROFILE ?=
THREE_SEEDS := 0,1,2
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ANY_PYTHON := $(firstword $(wildcard $(BIN)/python) $(PYTHON))
# make itself would misread these; the rest of what it was told is checked by paperlib.study.make_arguments.
ifneq ($(words $(VENV))$(findstring :,$(VENV)),1)
$(error VENV must be one path without blanks and colons, got '$(VENV)')
endif
# A word as the shell reads it back, quotes in it included.
QUOTED = '$(subst ','\'',$(1))'
# What `make figures` is told beside CONFIG: one model or several, one seed or several.
MODEL_WORDS = $(if $(MODEL),model=$(MODEL)) $(if $(MODELS),models=$(MODELS)) $(CONFIG)
WORDS = $(MODEL_WORDS) $(if $(SEEDS),seeds=$(SEEDS))
# What `make bands` is told. CONFIG holds the rest: method=full, connector=frozen, seed=1, and so on.
BAND_WORDS = $(call QUOTED,$(PRESET)) $(if $(BANDS),$(call QUOTED,bands=$(BANDS))) $(if $(DATA),$(call QUOTED,data=$(DATA))) \
  $(if $(ACCELERATE),$(call QUOTED,accelerate=$(ACCELERATE))) $(WORDS)
# The notebooks, as the Snakefile lists them.
NOTEBOOKS := $(shell sed -n 's/^    "\([0-9][0-9]_[a-z_]*\)":.*/\1/p' Snakefile)

# Jupyter must take this environment's kernel before one in the user's home, and its debugger must not chat.
export JUPYTER_PREFER_ENV_PATH = 1
export PYDEVD_DISABLE_FILE_VALIDATION = 1
# Threads that wait for work must sleep: where cores are shared, those that spin take them from threads that work.
export OMP_WAIT_POLICY = passive
# In a home that cannot be written to, tools have no place for their caches, connection files and histories.
ifneq ($(shell test -d "$$HOME" && test -w "$$HOME" && echo writable),writable)
SPARE_HOME := $(CURDIR)/data/cache/home
export XDG_CACHE_HOME ?= $(SPARE_HOME)/cache
export IPYTHONDIR ?= $(SPARE_HOME)/ipython
export MPLCONFIGDIR ?= $(SPARE_HOME)/matplotlib
export JUPYTER_CONFIG_DIR ?= $(SPARE_HOME)/jupyter/config
export JUPYTER_DATA_DIR ?= $(SPARE_HOME)/jupyter/data
export JUPYTER_RUNTIME_DIR ?= $(SPARE_HOME)/jupyter/runtime
endif

# --nolock: Snakemake's lock outlives a killed run and would stop the next one from going on where it ended.
# --keep-going: a notebook that fails keeps no other from running.
SNAKEMAKE_ANYWHERE = $(BIN)/python -m snakemake --rerun-incomplete --nolock --keep-going --quiet host
SNAKEMAKE = $(SNAKEMAKE_ANYWHERE) --cores $(CORES) --resources gpu=$(GPUS)
# Where a profile says how jobs run, it says on what as well.
SNAKEMAKE_BY_PROFILE = $(if $(PROFILE),$(SNAKEMAKE_ANYWHERE) --profile $(call QUOTED,$(PROFILE)),$(SNAKEMAKE))

# The tests are many and small: a process on each core, with one thread, is faster than one process with many threads.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4

.PHONY: help checked install assets figures compare plan test notebooks reference connectors bands redraw explorer claims lint \
  site test-site slides lab archive bench student clean distclean plugin test-cluster
.DEFAULT_GOAL := help

help:
	@echo "make install    create $(VENV) and install the pinned packages"
	@echo "make assets     fetch and verify model weights, pictures and questions (about 125 MB)"
	@echo "make figures    run the study: PRESET=mini (default), gpu, paper or smoke; MODEL=llava-1.5-7b; a grid of"
	@echo "                runs with MODELS=a,b SEEDS=0,1,2; CONFIG=\"retrain=true n_eval=80\"; PROFILE=profiles/slurm on a"
	@echo "                cluster, after make plugin"
	@echo "make compare    figures over all runs at hand, and their verdicts side by side"
	@echo "make plan       what a run will fetch, need and take: PRESET=paper MODEL=llava-1.5-7b GPU=a100-80gb"
	@echo "make test       pytest, and nbval over the notebooks at preset smoke"
	@echo "make test-cluster   the smoke grid through a SLURM of one node on this machine; needs slurm-wlm and munge"
	@echo "make reference  train and ask every band for notebook 05: PRESET=mini SEEDS=0,1,2; goes on after a kill"
	@echo "make connectors  tune the connector alone in several ways, and read its output with probes, for notebook 01"
	@echo "make bands      tune bands on LLaVA's instructions, on all GPUs, for notebooks 05 and 06: PRESET=paper"
	@echo "                MODEL=llava-1.5-7b BANDS=full,6:17 DATA=folder-or-hub-id; goes on after a kill"
	@echo "make notebooks  execute notebooks/ in place at their own parameters, as they are committed"
	@echo "make redraw     draw the figures of RUN (default: PRESET) again from their JSON, without a model"
	@echo "make explorer   compute what docs/explorer/ shows, a page to try interventions and neighbours: about 10 minutes"
	@echo "make claims     write the README's table of claims from results/mini/"
	@echo "make student    notebooks without solutions and outputs, for a class, in build/student/"
	@echo "make slides     slides from the committed notebooks, in build/slides/; they need no network"
	@echo "make lint       ruff, the type checker, and the rules of imports between the wings"
	@echo "make site       the web site, in build/site/"
	@echo "make test-site  the site's pages and the explorer in a real browser; skipped where there is no Chromium"
	@echo "make lab        open JupyterLab on notebooks/"
	@echo "make archive    what is committed as build/paperlib-<version>.zip with its sha256, for Zenodo"
	@echo "make bench      the benchmarks of tests/benchmarks/"
	@echo "make clean      remove runs/ and what tools left; assets and the environment stay"
	@echo "make distclean  clean, and remove $(VENV) and data/cache/"

install: $(STAMP)

# What make was told, before anything is installed or removed; by any Python, as there may be no environment yet.
checked:
	@command -v $(ANY_PYTHON) >/dev/null || { echo "There is no $(ANY_PYTHON): install Python 3.11 or newer," \
	  "or name it with make PYTHON=..." >&2; exit 1; }
	@$(ANY_PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("paperlib needs Python 3.11 or newer " \
	  "and $(ANY_PYTHON) is %d.%d: name a newer one with make PYTHON=..." % sys.version_info[:2])'
	@$(ANY_PYTHON) -m paperlib.study.make_arguments $(call QUOTED,$(VENV)) $(call QUOTED,$(PRESET)) \
	  $(if $(filter bands,$(MAKECMDGOALS)),,$(MODEL_WORDS))

# Torch first: with it in place, no other package can bring another build.
$(STAMP): requirements.lock pyproject.toml | checked
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(shell grep '^torch==' requirements.lock)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

assets: $(STAMP)
	$(BIN)/python -m paperlib.tasks.assets

figures: assets
	$(if $(PROFILE),@test -f $(call QUOTED,$(PROFILE)/config.yaml) || { echo "make: PROFILE=$(PROFILE) holds no config.yaml:" \
	  "name a folder such as profiles/slurm." >&2; exit 1; })
	$(SNAKEMAKE_BY_PROFILE) --config preset=$(PRESET) $(WORDS)

# From the results of all runs at hand, or of those named: RUNS="mini smoke-tiny-seed1".
compare: $(STAMP)
	$(BIN)/python -m paperlib.figures.compare $(RUNS)

# What a run will fetch and take, before anything is fetched: GPU=a100-80gb.
plan: $(STAMP)
	$(BIN)/python -m paperlib.models.plan '$(PRESET)' $(if $(GPU),gpu=$(GPU)) $(WORDS)

# The executor for SLURM, into $(VENV).
plugin: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(shell sed -n 's/^cluster = \["\(.*\)"\]/"\1"/p' pyproject.toml)

# A SLURM of one node on this machine (Debian's slurm-wlm and munge, as root), stopped at the end: about 20 minutes.
test-cluster: plugin assets
	$(BIN)/python tests/cluster/run.py

# The notebooks are executed at preset smoke by the same Snakefile, then nbval executes each result again:
# every cell must run, and cells marked with the comment NBVAL_CHECK_OUTPUT must give the same output twice.
test: lint assets
	@ls -d data/cache/models/mini-* >/dev/null 2>&1 || \
	  $(BIN)/python -c 'from paperlib.models.assemble import build_mini; build_mini(print)'
	$(MAKE) --no-print-directory site
	$(PYTEST) --dist worksteal tests
	$(SNAKEMAKE) --config preset=smoke --forceall
	$(PYTEST) --dist loadfile --nbval-lax --nbval-current-env \
	  $(NOTEBOOKS:%=runs/smoke/%.ipynb)

# Each in turn, without a limit on time: what hangs is stopped (paperlib/study/watch.py).
notebooks: assets
	$(BIN)/python -m paperlib.study.watch $$PPID $(BIN)/python -m nbconvert --to notebook --execute --inplace --log-level WARN \
	  --ExecutePreprocessor.kernel_name=python3 --ExecutePreprocessor.timeout=-1 --ExecutePreprocessor.startup_timeout=600 \
	  --ExecutePreprocessor.record_timing=False $(NOTEBOOKS:%=notebooks/%.ipynb)

reference: assets
	$(BIN)/python -m paperlib.tuning.band_runs '$(PRESET)' '$(if $(filter undefined,$(origin SEEDS)),$(THREE_SEEDS),$(SEEDS))'

connectors: assets
	$(BIN)/python -m paperlib.tuning.connector_trials

# The words are checked before assets are fetched. ACCELERATE: options of `accelerate launch`, such as --use_fsdp.
bands: $(STAMP)
	@$(BIN)/python -m paperlib.tuning.scaled_band_arguments $(BAND_WORDS)
	@$(MAKE) --no-print-directory assets CONFIG=
	$(BIN)/python -m paperlib.tuning.scaled_bands $(BAND_WORDS)

redraw: $(STAMP)
	$(BIN)/python -m paperlib.figures.publish figures/$(RUN)/*.json

# What the page docs/explorer/index.html shows, from the shipped adapters.
explorer: assets
	$(BIN)/python -m paperlib.interventions.explorer_page

claims: $(STAMP)
	$(BIN)/python -m paperlib.figures.claims

student: $(STAMP)
	$(BIN)/python -m paperlib.study.student_version $(NOTEBOOKS:%=notebooks/%.ipynb) build/student

lint: $(STAMP)
	$(BIN)/python -m ruff check paperlib tests docs
	$(BIN)/python -m ruff format --check paperlib tests docs
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --no-cache

# LAB: options of JupyterLab, such as "--no-browser".
lab: assets
	$(BIN)/python -m jupyterlab $(LAB) notebooks

archive: $(STAMP)
	$(BIN)/python -m paperlib.study.archive build

# The web site, from committed files alone: no notebook is run and nothing is fetched.
site: $(STAMP)
	rm -rf build/site
	$(BIN)/python docs/gather.py build/site-source
	$(BIN)/python -m sphinx -q -j 2 -b html -c docs -d build/site-parsed build/site-source build/site

slides: $(STAMP)
	$(BIN)/python docs/slides.py build/slides

test-site: site
	$(BIN)/python -m pytest -q tests/site

bench: assets
	$(BIN)/python -m pytest tests/benchmarks --benchmark-only

clean:
	rm -rf runs .snakemake .pytest_cache .ruff_cache .mypy_cache .hypothesis .benchmarks build dist *.egg-info \
	  figures/smoke figures/smoke-* results/smoke results/smoke-*
	find paperlib tests notebooks -type d '(' -name __pycache__ -o -name .ipynb_checkpoints ')' -prune -exec rm -rf {} +

distclean: checked clean
	rm -rf '$(VENV)' data/cache
