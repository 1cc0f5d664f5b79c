"""Tests of the package's layout: its wings, what each offers, and what each may import."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from _pytest.pathlib import fnmatch_ex

from paperlib.study import CODE_ROOT

PACKAGE = CODE_ROOT / "paperlib"
# Wings, and packages within them, by their dotted names below paperlib.
WINGS = sorted(".".join(path.parent.relative_to(PACKAGE).parts) for path in PACKAGE.glob("*/**/__init__.py"))


def folder(wing):
    return PACKAGE.joinpath(*wing.split("."))


@pytest.mark.parametrize("wing", WINGS)
def test_a_wing_says_what_it_is_for_and_offers_what_is_there(wing):
    module = importlib.import_module(f"paperlib.{wing}")
    assert "Open `" in module.__doc__ and module.__all__
    for name in module.__all__:
        assert getattr(module, name) is not None
        # Python binds a submodule to its name on first import, so an equal name would mean one thing or the other.
        assert not (folder(wing) / f"{name}.py").exists()


@pytest.mark.parametrize("wing", WINGS)
def test_a_wing_defines_nothing_itself(wing):
    """`paperlib.study.sources` leaves a wing's own file out."""
    tree = ast.parse((folder(wing) / "__init__.py").read_text(encoding="utf-8"))
    assert not any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in ast.walk(tree))


def test_drawing_a_question_needs_no_model():
    code = (
        "import sys; from paperlib.tasks import examples; from paperlib.stats import Interval, tables, verdicts; "
        "from paperlib.study import Study, results; examples('pictures', 1, 0); "
        "sys.exit(sorted({'torch', 'transformers', 'peft'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CODE_ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_root_is_short_and_files_are_too():
    root = [path for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    assert len(root) <= 12, sorted(path.name for path in root)
    long = {path.name: n for path in PACKAGE.rglob("*.py") if (n := len(path.read_text().splitlines())) > 270}
    assert not long


def test_tests_mirror_the_package():
    """Every module has a test file in the same wing and folder, of the same name or with a longer one."""
    modules = [path.relative_to(PACKAGE) for path in PACKAGE.glob("*/**/*.py") if path.stem != "__init__"]
    assert Path("tasks/benchmarks/twins.py") in modules
    tests = Path(__file__).parent
    missing = [
        path.as_posix() for path in sorted(modules) if not list((tests / path.parent).glob(f"test_{path.stem}*.py"))
    ]
    assert not missing


def test_no_two_test_files_share_a_name():
    """Pytest imports them by their names alone, and refuses the second."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert not {name for name in names if names.count(name) > 1}


def test_pytest_descends_wherever_tests_mirror_the_package(pytestconfig):
    """A folder of tests that pytest passes by would be green for ever: `tests/benchmarks` alone is for `make bench`."""
    patterns = pytestconfig.getini("norecursedirs")
    mirrored = {path.parent.relative_to(PACKAGE) for path in PACKAGE.glob("*/**/*.py")}
    tests = Path(__file__).parent
    assert Path("tasks/benchmarks") in mirrored
    assert not [path for path in mirrored for pattern in patterns if fnmatch_ex(pattern, tests / path)]
    assert any(fnmatch_ex(pattern, tests / "benchmarks") for pattern in patterns)
