"""Which run this is, and what it leaves behind. Open `parameters.py` first.

`Study` holds the parameters of a run; `results.py` writes numbers with their provenance; `sources.py` says which code a
cache depends on. The rest drives runs: `make_words.py`, `runs.py` and `watch.py` serve the Makefile and the Snakefile.
"""

from paperlib.study.parameters import CODE_ROOT, PRESETS, Study, StudyError, repo_root

# No lazy loading here: this must work before any package is installed.
__all__ = ["CODE_ROOT", "PRESETS", "Study", "StudyError", "repo_root"]
