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

import pytest

from paperlib.figures.interactive import begin
from paperlib.study.parameters import CODE_ROOT, Study

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
    begin(values)


@every_notebook
def test_begins_in_one_way_and_uses_no_parameters_name_before(path):
    """`begin` sees loose parameters and lets pictures be shown; what it refuses must not be the notebook's own."""
    cells = [source(cell) for cell in code_cells(read(path))]
    begun = [i for i, text in enumerate(cells) if "begin(globals())" in text]
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
