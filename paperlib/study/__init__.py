"""Which run this is, and what it leaves behind. Open `study.py` first.

`study.py` holds `Study`: the parameters of a run, its name and its folders. `results.py` writes numbers with their
provenance, and `sources.py` says which code a cache depends on. The rest drives runs: `make_arguments.py`,
`run_lock.py` and `watch.py` serve the Makefile and the Snakefile, `timings.py` reads how long notebooks took.
"""

from paperlib.study.study import CODE_ROOT, PRESETS, Study, StudyError, repo_root

# No lazy loading here: this must work before any package is installed.
__all__ = ["CODE_ROOT", "PRESETS", "Study", "StudyError", "repo_root"]
