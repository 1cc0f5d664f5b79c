"""Rows of public benchmarks for tests: the fixtures, folders with other rows, and what public scripts made of
replies."""

import json
from functools import cache

from paperlib.study import CODE_ROOT
from paperlib.tasks.benchmarks import Example

FIXTURES = CODE_ROOT / "tests" / "fixtures" / "benchmarks"
RED, GREEN, BLUE, WHITE = (200, 30, 30), (30, 160, 60), (30, 60, 200), (255, 255, 255)


@cache
def _replies():
    return json.loads((FIXTURES / "replies.json").read_text(encoding="utf-8"))


def replies(name):
    """What public scripts made of replies; the file says which, and make_replies.py how."""
    assert len(_replies()[name]) >= 4 and _replies()["sources"][name]
    return _replies()[name]


def rows_of(name, split="test"):
    """A fixture's rows, with the names of picture files made whole."""
    folder = FIXTURES / "json" / name
    rows = json.loads((folder / f"{split}.json").read_text(encoding="utf-8"))
    return [{c: str(folder / v) if str(v).startswith("pictures/") else v for c, v in row.items()} for row in rows]


def written(folder, rows, split="test"):
    """A folder that holds rows as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{split}.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder


def example(answer, choices=(), identity="B/test/0", **info):
    return Example(identity, "B", "kind", "test", "Q?", answer, tuple(choices), None, "group", info)
