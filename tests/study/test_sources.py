"""Tests of paperlib.study.sources: what counts as the code that a module or notebook runs."""

import json
import shutil

import pytest

from paperlib.study import CODE_ROOT, sources

PACKAGE = CODE_ROOT / "paperlib"


def names(paths):
    return {path.relative_to(PACKAGE).with_suffix("").as_posix() for path in paths}


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the package whose files a test may edit."""
    shutil.copytree(PACKAGE, tmp_path / "paperlib", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(sources, "CODE_ROOT", tmp_path)
    forget()
    yield tmp_path / "paperlib"
    forget()


def forget():
    sources._imported_by.cache_clear()
    sources._offered.cache_clear()
    sources.code_digest.cache_clear()


def test_a_module_its_imports_and_theirs():
    found = names(sources.module_sources("paperlib.tasks.scenes"))
    assert {"tasks/scenes", "tasks/concepts", "tasks/assets", "study/study"} <= found
    assert not any(name.startswith(("models", "figures", "tuning")) for name in found)


def test_imports_inside_a_function_count():
    assert "tasks/charts" in names(sources.module_sources("paperlib.figures.diagrams"))


def test_no_wing_is_a_source_itself():
    modules = names(PACKAGE.glob("*/**/*.py"))
    every = [f"paperlib.{name.replace('/', '.')}" for name in modules if "__init__" not in name]
    assert not any(path.name == "__init__.py" for path in sources.module_sources(*every))


@pytest.mark.parametrize("module", ["paperlib.models.capture", "paperlib.scoring.evaluation"])
def test_a_colour_voids_no_capture_and_no_evaluation(copy, module):
    before = sources.code_digest(module)
    for path in (copy / "figures").glob("*.py"):
        path.write_text(path.read_text() + "\nNEW = 1\n")
    forget()
    assert sources.code_digest(module) == before


@pytest.mark.parametrize("edited", ["models/capture.py", "models/vlm.py", "models/token_sets.py", "models/residual.py"])
def test_an_edit_below_voids_a_capture(copy, edited):
    before = sources.code_digest("paperlib.models.capture")
    (copy / edited).write_text((copy / edited).read_text() + "\nNEW = 1\n")
    forget()
    assert sources.code_digest("paperlib.models.capture") != before


def test_a_notebook_runs_what_its_cells_import(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": ["from paperlib.tuning.finetune import train"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "from paperlib.tasks.scenes import compose"]},
    ]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells}))
    assert sources.notebook_sources(tmp_path / "a.ipynb") == sources.module_sources("paperlib.tasks.scenes")


def test_a_name_of_a_wing_is_followed_to_its_module(tmp_path):
    cells = [{"cell_type": "code", "source": ["from paperlib.tasks import compose"]}]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells}))
    assert sources.notebook_sources(tmp_path / "a.ipynb") == sources.module_sources("paperlib.tasks.scenes")


@pytest.mark.parametrize(
    "line",
    [
        "from paperlib.tasks.benchmarks import examples",  # offered by a package within a wing
        "from paperlib.tasks import examples",  # and by the wing, from there
        "from paperlib.tasks.benchmarks import suites",
        "import paperlib.tasks.benchmarks.suites",
    ],
)
def test_a_name_of_a_package_in_a_wing_is_followed_to_its_module(tmp_path, line):
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": [{"cell_type": "code", "source": [line]}]}))
    found = sources.notebook_sources(tmp_path / "a.ipynb")
    assert found == sources.module_sources("paperlib.tasks.benchmarks.suites")
    assert {"tasks/benchmarks/twins", "tasks/benchmarks/example"} <= names(found)
    assert "tasks/benchmarks/pope" not in names(found)  # so a public benchmark voids no evaluation of miniatures


def test_a_package_in_a_wing_that_is_imported_whole_counts_with_all_its_modules(tmp_path):
    line = "from paperlib.tasks import benchmarks"
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": [{"cell_type": "code", "source": [line]}]}))
    found = names(sources.notebook_sources(tmp_path / "a.ipynb"))
    assert {"tasks/benchmarks/pope", "tasks/benchmarks/suites"} <= found and "tasks/benchmarks/__init__" not in found


@pytest.mark.parametrize("module", ["paperlib.nothing", "paperlib.tasks", "numpy", ""])
def test_what_is_no_module_is_refused(module):
    with pytest.raises(ValueError, match="There is no module"):
        sources.module_sources(module)
