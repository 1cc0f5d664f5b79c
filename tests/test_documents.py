"""What the documents at the root name exists: modules and names of paperlib, files, and commands of make."""

import importlib
import re

import pytest

from paperlib.study.study import CODE_ROOT

DOCUMENTS = ["GLOSSARY.md", "README.md", "CONTRIBUTING.md"]


def exists(name):
    """Whether a dotted name is a module, or a chain of attributes of one."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


@pytest.mark.parametrize("document", DOCUMENTS)
def test_names_of_paperlib_exist(document):
    names = set(re.findall(r"\bpaperlib(?:\.\w+)+", (CODE_ROOT / document).read_text(encoding="utf-8")))
    assert names and [name for name in sorted(names) if not exists(name)] == []


def test_a_name_that_is_gone_is_found():
    assert exists("paperlib.stats.interval.Interval") and exists("paperlib.study.Study.make")
    assert not exists("paperlib.intervals") and not exists("paperlib.stats.interval.Gap")


@pytest.mark.parametrize("document", [*DOCUMENTS, "CHANGELOG.md"])
def test_linked_files_exist(document):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (CODE_ROOT / document).read_text(encoding="utf-8"))
    assert [link for link in links if not (CODE_ROOT / link).exists()] == []


@pytest.mark.parametrize("document", [*DOCUMENTS, "CHANGELOG.md"])
def test_commands_of_make_exist(document):
    commands = set(re.findall(r"`make ([a-z]+)", (CODE_ROOT / document).read_text(encoding="utf-8")))
    targets = set(re.findall(r"^([a-z]+):", (CODE_ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert commands <= targets, commands - targets


def test_new_modules_of_the_changelog_exist():
    """The table of moves: | old module | new module |."""
    text = (CODE_ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (`.+`) \|$", text, re.MULTILINE)
    assert len(rows) > 50
    gone = [new for _, cell in rows for new in re.findall(r"`([\w.]+)`", cell) if not exists(f"paperlib.{new}")]
    assert gone == []
