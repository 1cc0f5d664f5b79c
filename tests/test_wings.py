"""Tests of the package's layout: its wings, what each offers, and what each may import."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from paperlib.study import CODE_ROOT

PACKAGE = CODE_ROOT / "paperlib"
WINGS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


@pytest.mark.parametrize("wing", WINGS)
def test_a_wing_says_what_it_is_for_and_offers_what_is_there(wing):
    module = importlib.import_module(f"paperlib.{wing}")
    assert "Open `" in module.__doc__ and module.__all__
    for name in module.__all__:
        assert getattr(module, name) is not None
        # Python binds a submodule to its name on first import, so an equal name would mean one thing or the other.
        assert not (PACKAGE / wing / f"{name}.py").exists()


@pytest.mark.parametrize("wing", WINGS)
def test_a_wing_defines_nothing_itself(wing):
    """`paperlib.study.sources` leaves a wing's own file out."""
    tree = ast.parse((PACKAGE / wing / "__init__.py").read_text(encoding="utf-8"))
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
    """Every module has a test file in the same wing, of the same name or with a longer one."""
    missing = [
        f"{path.parent.name}/{path.stem}"
        for path in sorted(PACKAGE.glob("*/*.py"))
        if path.stem != "__init__"
        and not list((Path(__file__).parent / path.parent.name).glob(f"test_{path.stem}*.py"))
    ]
    assert not missing
