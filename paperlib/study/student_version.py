"""Student versions of notebooks: without solutions and outputs, with room to work after each exercise.

    python -m paperlib.study.student_version notebooks/*.ipynb build/student     # what `make student` does

There is one source, the notebook itself. Cells tagged `solution` are left out; an exercise is an item of the numbered
list under the heading "Exercises", or a cell tagged `exercise`. Where readers are asked to predict, they get a place to
write.
"""

from __future__ import annotations

import copy
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from paperlib.study.results import write_whole

HEADING = re.compile(r"^## .*\bExercises\b", re.MULTILINE)
ITEM = re.compile(r"^(\d+)\. ", re.MULTILINE)
PREDICT = "Predict before you run"
LINK = re.compile(r"(\]\()(?![a-z]+:|#|/)([^)\s]+)(\))")


class TeachingError(ValueError):
    """A notebook cannot be made into a version for a class; the message is one sentence that says what to do."""


def student_version(notebook: dict, source: Path, target: Path) -> dict:
    """The notebook that students get, as a new one.

    notebook: as read from JSON. source, target: its folder, and the folder that the new one is for; relative links are
    written anew, unless they lead to another notebook of the folder. Raises TeachingError if it has no exercise.
    """
    kept = [cell for cell in notebook["cells"] if "solution" not in _tags(cell)]
    cells = [made for cell in kept for made in _with_room(cell)]
    if not any("work" in _tags(cell) for cell in cells):
        raise TeachingError(
            "The notebook has no exercise: number them under a heading `## ... Exercises`, or tag cells `exercise`."
        )
    for cell in cells:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
        else:
            cell["source"] = _lines(_relinked("".join(cell["source"]), source, target))
    return {**copy.deepcopy(notebook), "cells": cells}


def _with_room(cell: dict) -> Iterator[dict]:
    """The cell, and after it a place to work, wherever it asks for something."""
    cell, text, name = copy.deepcopy(cell), "".join(cell["source"]), cell["id"]
    if cell["cell_type"] == "markdown" and HEADING.search(text) and ITEM.search(text):
        yield from _one_by_one(cell, text)
        return
    yield cell
    if "exercise" in _tags(cell):
        yield _code(f"{name}-work", "# Your work")
    elif cell["cell_type"] == "markdown" and PREDICT in text:
        yield _markdown(f"{name}-predicted", "*Your prediction, and why:*")


def _one_by_one(cell: dict, text: str) -> Iterator[dict]:
    """A list of exercises as a cell for each, with an empty one behind it."""
    first = ITEM.search(text)
    assert first
    starts = [found.start() for found in ITEM.finditer(text)]
    cell["source"] = _lines(text[: first.start()].rstrip())
    yield cell
    for begin, end in zip(starts, [*starts[1:], len(text)], strict=True):
        number = text[begin:].split(".")[0]
        yield _markdown(f"exercise-{number}", text[begin:end].rstrip())
        yield _code(f"exercise-{number}-work", f"# Exercise {number}")
        yield _markdown(f"exercise-{number}-sentence", "*What I found, in a sentence:*")


def _relinked(text: str, source: Path, target: Path) -> str:
    def moved(found: re.Match) -> str:
        path, _, anchor = found[2].partition("#")
        if "/" not in path and path.endswith(".ipynb"):
            return found[0]  # another notebook, which has a student version too
        new = Path(os.path.relpath((source / path).resolve(), target.resolve())).as_posix()
        return f"{found[1]}{new}{'#' if anchor else ''}{anchor}{found[3]}"

    return LINK.sub(moved, text)


def _tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _code(name: str, text: str) -> dict:
    made = {"cell_type": "code", "id": name, "metadata": {"tags": ["work"]}, "source": _lines(text)}
    return made | {"execution_count": None, "outputs": []}


def _markdown(name: str, text: str) -> dict:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": _lines(text)}


def main(arguments: list[str]) -> None:
    """Write the student version of each notebook named, into the folder named last."""
    if len(arguments) < 2:
        sys.exit("Name one notebook or more, and the folder for their student versions.")
    *paths, folder = map(Path, arguments)
    made = {}
    for path in paths:
        try:
            notebook = json.loads(path.read_text(encoding="utf-8"))
            new = student_version(notebook, path.parent, folder)
        except (TeachingError, OSError, ValueError, KeyError) as error:
            sys.exit(f"paperlib.study.student_version: {path}: {error}")
        made[folder / path.name] = (json.dumps(new, indent=1, ensure_ascii=False) + "\n").encode()
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(made)
    print(f"{len(made)} student versions in {folder}/")


if __name__ == "__main__":
    main(sys.argv[1:])
