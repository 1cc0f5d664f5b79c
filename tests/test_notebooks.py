"""The committed notebooks: executed, clean, relocatable. Nothing is executed here.

How they are executed in tests: `make test` runs the Snakefile at preset smoke (tests/test_snakefile.py tests
the Snakefile itself, on toy notebooks), which leaves an executed copy of each in runs/smoke/ with the smoke
parameters injected, and then lets nbval execute every copy once more: all cells must run, and the outputs of
cells marked with the comment NBVAL_CHECK_OUTPUT must be the same both times.
"""

import ast
import dataclasses
import json
import re
import subprocess
import tomllib

import pytest

from paperlib.study.study import CODE_ROOT, Study

# Those that the Snakefile lists: a reader's Untitled.ipynb beside them is none of the study's.
LISTED = re.findall(r'^    "(\d\d_\w+)":', (CODE_ROOT / "Snakefile").read_text(encoding="utf-8"), re.MULTILINE)
NOTEBOOKS = [CODE_ROOT / "notebooks" / f"{name}.ipynb" for name in LISTED]
FIELDS = {field.name for field in dataclasses.fields(Study)} - {"preset", "seed"}
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def source(cell):
    return "".join(cell["source"])


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code" and source(cell).strip()]


def output_text(output):
    """All text of an output: streams, text/plain, text/html; not pictures."""
    parts = [output.get("text", "")]
    parts += [value for kind, value in output.get("data", {}).items() if kind.startswith("text/")]
    return "\n".join("".join(part) for part in parts)


def test_the_snakefile_lists_every_notebook_that_is_committed():
    tracked = subprocess.run(["git", "ls-files", "notebooks/*.ipynb"], cwd=CODE_ROOT, capture_output=True, text=True)
    if tracked.returncode != 0:
        pytest.skip("not a git clone, so what is committed is unknown")
    assert LISTED and [f"notebooks/{name}.ipynb" for name in LISTED] == tracked.stdout.splitlines()


@every_notebook
def test_named_and_opened_as_the_others(path):
    notebook = read(path)
    assert re.fullmatch(r"\d\d_[a-z]+_[a-z_]+", path.stem)
    first = notebook["cells"][0]
    assert first["cell_type"] == "markdown" and source(first).startswith("# ")
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    headings = [
        line
        for cell in notebook["cells"]
        if cell["cell_type"] == "markdown"
        for line in source(cell).splitlines()
        if line.startswith("#")
    ]
    assert any("exercise" in line.lower() for line in headings), "a notebook ends with exercises"


@every_notebook
def test_executed_from_top_to_bottom_without_errors_or_warnings(path):
    cells = code_cells(read(path))
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in cell["outputs"]:
            assert output["output_type"] != "error", source(cell)
            assert output.get("name") != "stderr", output_text(output)
            text = output_text(output)
            assert "\r" not in text and not re.search(r"\d(it/s|s/it)\b", text), f"progress bar: {text[:200]}"


@every_notebook
def test_one_parameters_cell_of_literals(path):
    cells = read(path)["cells"]
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1
    assert not any("injected-parameters" in cell["metadata"].get("tags", []) for cell in cells)
    values = {}
    for statement in ast.parse(source(tagged[0])).body:
        assert isinstance(statement, ast.Assign) and len(statement.targets) == 1, ast.unparse(statement)
        values[statement.targets[0].id] = ast.literal_eval(statement.value)
    assert {"preset", "seed", "overrides"} <= set(values), "what the Snakefile passes"
    assert values["preset"] == "mini"
    Study.of_notebook(values)


@every_notebook
def test_begins_in_one_way_and_uses_no_parameters_name_before(path):
    """`Notebook` sees loose parameters and lets pictures be shown; what it refuses must not be the notebook's own."""
    cells = [source(cell) for cell in code_cells(read(path))]
    begun = [i for i, text in enumerate(cells) if "Notebook(" in text and "globals())" in text]
    assert len(begun) == 1 and begun[0] <= 2 and not any("Study.make" in text for text in cells)
    for text in cells[: begun[0] + 1]:
        names = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)]
        stored = {node.id for node in names if isinstance(node.ctx, ast.Store)}
        assert not stored & FIELDS


@every_notebook
def test_cells_are_short_and_the_file_is_small(path):
    for cell in read(path)["cells"]:
        assert len(source(cell).splitlines()) <= 25, source(cell)[:200]
    assert path.stat().st_size < 2**20


@every_notebook
def test_no_absolute_path(path):
    pattern = re.compile(r"(?<![\w.~$/-])/(?:home|Users|root|work|tmp|opt|mnt|var|private)/\w|\b[A-Z]:\\")
    for cell in read(path)["cells"]:
        for text in [source(cell), *(output_text(output) for output in cell.get("outputs", []))]:
            assert not pattern.search(text), pattern.search(text)


NUMERALS = tomllib.loads((CODE_ROOT / "tests" / "numerals.toml").read_text(encoding="utf-8"))
# What is no numeral of a run: code, links, headings, an exercise's number, a claim, a notebook or a preset by its name.
NOT_COUNTED = re.compile(
    r"`[^`]*`|\]\([^)]*\)|^#.*$|^\s*\d+\.\s|\bC[1-6]\b|\b0[0-7]\b|arXiv[:\s]*\d{4}\.\d{5}|"
    r"\bsections?\s\d+(?: (?:to|and) \d+)?",
    re.MULTILINE,
)
NUMERAL = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?!\w)")


def numerals(notebook):
    text = "\n".join(source(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    return {found.rstrip(",") for found in NUMERAL.findall(NOT_COUNTED.sub(" ", text))}


def test_numerals_are_found():
    cell = {
        "cell_type": "markdown",
        "source": "## 3 gaps\n1. It keeps 98.5 % [94.2, 103.3] of 1,740 (C6, 05), as `k = 16` says.",
    }
    assert numerals({"cells": [cell]}) == {"98.5", "94.2", "103.3", "1,740"}


@every_notebook
def test_text_cells_hold_no_number_of_a_run(path):
    assert numerals(read(path)) == set(NUMERALS[path.stem]), "print it from results, or list it in tests/numerals.toml"


@every_notebook
def test_text_cells_hold_no_verdict(path):
    text = "\n".join(source(cell) for cell in read(path)["cells"] if cell["cell_type"] == "markdown")
    assert not re.search(r"\*\*(?:C\d: )?(?:not )?supported|\*\*C\d: not testable", text)


@every_notebook
def test_cells_call_functions_and_define_none(path):
    """A function with logic belongs to paperlib, where it is tested; a lambda that picks a column may stay."""
    for cell in code_cells(read(path)):
        if "solution" not in cell["metadata"].get("tags", []):
            defined = [
                node.name
                for node in ast.walk(ast.parse(source(cell)))
                if isinstance(node, ast.FunctionDef | ast.ClassDef)
            ]
            assert not defined, f"{defined[0]} is defined in a cell"


@every_notebook
def test_lines_of_code_are_short(path):
    for cell in code_cells(read(path)):
        assert max(map(len, source(cell).splitlines())) <= 114, source(cell)[:300]


@every_notebook
def test_the_glossary_is_linked(path):
    assert any("GLOSSARY.md" in source(cell) for cell in read(path)["cells"] if cell["cell_type"] == "markdown")


# Drawn from pictures and sequences, not from numbers.
WITHOUT_TABLE = {"00_scenes", "01_packing", "02_listen", "03_try_it"}


def test_every_figure_says_which_tables_it_was_drawn_from():
    figures = sorted((CODE_ROOT / "figures" / "mini").glob("*.json"))
    tables = {path.stem for path in (CODE_ROOT / "results" / "mini").glob("*.json")}
    named = {path.stem: json.loads(path.read_text())["data"].get("results", []) for path in figures}
    assert {name for name, results in named.items() if not results} == WITHOUT_TABLE
    assert set().union(*map(set, named.values())) <= tables
