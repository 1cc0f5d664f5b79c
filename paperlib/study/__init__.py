"""study"""
from paperlib.study.parameters import *  # noqa
from paperlib.study.parameters import CODE_ROOT, PRESETS, Study, StudyError, repo_root
