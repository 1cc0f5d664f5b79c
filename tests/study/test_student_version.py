"""Tests of paperlib.study.student_version: nothing given away, everything asked, and the rest still runs."""

import ast
import builtins
import json
import os
import re
import subprocess
import sys

import nbformat
import pytest

from paperlib.study import CODE_ROOT
from paperlib.study.student_version import TeachingError, main, student_version

NOTEBOOKS = sorted((CODE_ROOT / "notebooks").glob("0*.ipynb"))
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
TARGET = CODE_ROOT / "build" / "student"


def source(cell):
    return "".join(cell["source"])


def tagged(notebook, tag):
    return [cell for cell in notebook["cells"] if tag in cell["metadata"].get("tags", [])]


def cell(kind, text, *tags, **more):
    metadata = {"tags": list(tags)} if tags else {}
    return {"cell_type": kind, "id": f"c{abs(hash(text))}"[:9], "metadata": metadata, "source": [text]} | more


def toy(*cells):
    return {"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def made(notebook):
    return student_version(notebook, CODE_ROOT / "notebooks", TARGET)


def test_a_toy_in_full():
    notebook = toy(
        cell("markdown", "# T\n\nSee the [glossary](../GLOSSARY.md#words), [02](02_b.ipynb) and [a](https://x.org/a)."),
        cell("markdown", "*Predict before you run:* up or down?"),
        cell("code", "x = 1", outputs=[{"output_type": "stream"}], execution_count=3),
        cell("markdown", "## 9 · Exercises\n\nAll short.\n\n1. *(easy)* One,\n   in two lines.\n2. Two."),
        cell("code", "x", "solution", outputs=[], execution_count=4),
        cell("code", "done", outputs=[], execution_count=5),
    )
    before = json.dumps(notebook)
    texts = [source(c) for c in made(notebook)["cells"]]
    assert texts == [
        "# T\n\nSee the [glossary](../../GLOSSARY.md#words), [02](02_b.ipynb) and [a](https://x.org/a).",
        "*Predict before you run:* up or down?",
        "*Your prediction, and why:*",
        "x = 1",
        "## 9 · Exercises\n\nAll short.",
        "1. *(easy)* One,\n   in two lines.",
        "# Exercise 1",
        "*What I found, in a sentence:*",
        "2. Two.",
        "# Exercise 2",
        "*What I found, in a sentence:*",
        "done",
    ]
    assert json.dumps(notebook) == before, "the source stays as it was"


def test_a_cell_tagged_exercise_is_followed_by_room():
    new = made(toy(cell("markdown", "## Break it", "exercise"), cell("code", "x", "solution", outputs=[])))
    assert [source(c) for c in new["cells"]] == ["## Break it", "# Your work"]


@every_notebook
def test_nothing_is_given_away_and_everything_is_asked(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    new = made(notebook)
    nbformat.validate(nbformat.from_dict(new))
    assert not tagged(new, "solution") and "Solution" not in json.dumps(new)
    assert not any(c.get("outputs") or c.get("execution_count") for c in new["cells"])
    asked = next(source(c) for c in notebook["cells"] if re.search(r"^## .*Exercises", source(c), re.MULTILINE))
    items = re.findall(r"^\d+\. ", asked, re.MULTILINE)
    assert len(tagged(new, "work")) == len(items) >= 3
    kept = [source(c) for c in notebook["cells"] if "solution" not in c["metadata"].get("tags", [])]
    code = [source(c) for c in new["cells"] if c["cell_type"] == "code" and c not in tagged(new, "work")]
    assert code == [text for text in kept if text in code] and len(code) == sum(
        c["cell_type"] == "code" for c in notebook["cells"] if "solution" not in c["metadata"].get("tags", [])
    )


@every_notebook
def test_links_lead_somewhere_from_the_new_folder(path):
    new = made(json.loads(path.read_text(encoding="utf-8")))
    text = "\n".join(source(c) for c in new["cells"] if c["cell_type"] == "markdown")
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if not re.match("[a-z]+:", link)]
    siblings = {path.name for path in NOTEBOOKS}
    assert links
    assert [link for link in links if link not in siblings and not (TARGET / link).resolve().exists()] == []


@every_notebook
def test_no_cell_needs_a_name_that_only_a_solution_defines(path):
    kept, given = [], set()
    for one in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if one["cell_type"] == "code":
            names = [node for node in ast.walk(ast.parse(source(one))) if isinstance(node, ast.Name)]
            stored = {node.id for node in names if isinstance(node.ctx, ast.Store)}
            if "solution" in one["metadata"].get("tags", []):
                given |= stored
            else:
                kept.append((stored, {node.id for node in names if isinstance(node.ctx, ast.Load)}))
    own = set().union(*(stored for stored, _ in kept)) | set(dir(builtins))
    assert [sorted(used & (given - own)) for _, used in kept if used & (given - own)] == []


def test_what_cannot_be_made_is_one_sentence(tmp_path):
    with pytest.raises(TeachingError, match="no exercise"):
        made(toy(cell("markdown", "# Nothing asked")))
    with pytest.raises(SystemExit, match="Name one notebook"):
        main(["notebooks/00_meet_the_model.ipynb"])
    (tmp_path / "bad.ipynb").write_text("no json")
    with pytest.raises(SystemExit, match="bad.ipynb"):
        main([str(tmp_path / "bad.ipynb"), str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.assets
def test_a_student_can_run_one_to_its_end_without_solutions(study, tmp_path):
    main([str(CODE_ROOT / "notebooks" / "03_intervene_on_layers.ipynb"), str(tmp_path / "class")])
    path = tmp_path / "class" / "03_intervene_on_layers.ipynb"
    command = [sys.executable, "-m", "papermill", str(path), str(tmp_path / "done.ipynb"), "-k", "python3"]
    command += ["-p", "preset", "smoke", "--cwd", str(path.parent), "--no-progress-bar"]
    environment = os.environ | {"PYTHONPATH": str(CODE_ROOT), "JUPYTER_PREFER_ENV_PATH": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    cells = json.loads((tmp_path / "done.ipynb").read_text(encoding="utf-8"))["cells"]
    work = [c for c in cells if "work" in c["metadata"].get("tags", [])]
    assert len(work) == 4 and not any(c["outputs"] for c in work)
    assert "done in" in json.dumps(cells[-1]["outputs"])
    assert list((tmp_path / "results" / "smoke").glob("03_*.json"))
