"""The examples in docstrings of paperlib give what they say."""

import doctest
import importlib

import pytest

from paperlib.study.study import CODE_ROOT

PATHS = {path: path.read_text(encoding="utf-8") for path in sorted((CODE_ROOT / "paperlib").rglob("*.py"))}
MODULES = [".".join(path.relative_to(CODE_ROOT).with_suffix("").parts) for path, text in PATHS.items() if ">>>" in text]


@pytest.mark.parametrize("module", MODULES)
def test_examples(module):
    result = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0 and result.failed == 0


@pytest.mark.parametrize(
    "module, names",
    [
        ("geometry", ["cka", "information_imbalance", "intrinsic_dimension", "mutual_knn", "neighborhood_overlap"]),
        ("stats", ["Interval", "paired_difference"]),
        ("study", ["Study.make"]),
    ],
)
def test_what_notebooks_use_most_has_an_example(module, names):
    for name in names:
        found = importlib.import_module(f"paperlib.{module}")
        for part in name.split("."):
            found = getattr(found, part)
        assert ">>>" in found.__doc__, name
