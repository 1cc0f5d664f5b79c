"""Which source files a piece of the study runs: a module's imports within paperlib, and theirs in turn.

Caches and Snakemake's rules are keyed by these files alone, so that an edit elsewhere (the colour of a curve) leaves a
captured state valid. Imports are read from the syntax tree: nothing is imported, so this takes milliseconds and no
torch. Imports inside functions count too. Names that a wing re-exports are followed to the module that defines them,
so a wing's own ``__init__.py`` is never a source. Nor is that of a package in a wing, which counts with all its modules
where it is imported whole.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from paperlib.study.study import CODE_ROOT


def module_sources(*modules: str) -> list[Path]:
    """Files of the modules and of all that they import from paperlib, sorted.

    modules: full names, such as "paperlib.models.capture". Raises ValueError for one that is no module of paperlib.
    """
    return _closure(_file(module) for module in modules)


def notebook_sources(path: Path | str) -> list[Path]:
    """Files of paperlib that the code cells of a notebook run, sorted."""
    cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    # A cell may hold a line of IPython's own ("%matplotlib inline"), which is no Python.
    code = (
        "".join(line for line in cell["source"] if not line.lstrip().startswith(("%", "!")))
        for cell in cells
        if cell["cell_type"] == "code"
    )
    return _closure(file for text in code for file in _imported(ast.parse(text)))


@functools.cache
def code_digest(*modules: str) -> str:
    """sha256 over `module_sources`: changes if, and only if, code that the modules run changes."""
    digest = hashlib.sha256()
    for path in module_sources(*modules):
        digest.update(f"{path.relative_to(CODE_ROOT).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _closure(files: Iterable[Path]) -> list[Path]:
    found, waiting = set(), list(files)
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += _imported_by(file)
    return sorted(found)


@functools.cache
def _imported_by(file: Path) -> tuple[Path, ...]:
    return tuple(_imported(ast.parse(file.read_text(encoding="utf-8"))))


def _imported(tree: ast.AST) -> Iterable[Path]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (_file(alias.name) for alias in node.names if alias.name.startswith("paperlib."))
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "paperlib":
            for alias in node.names:
                yield from _defined(node.module, alias.name)


def _defined(module: str, name: str) -> list[Path]:
    """The file that defines a name imported from a module; none for what the package's root holds (its version)."""
    if not (folder := CODE_ROOT.joinpath(*module.split("."))).is_dir():
        return [_file(module)]
    if (file := folder / f"{name}.py").is_file():
        return [file]
    if (folder / name / "__init__.py").is_file():
        return sorted(file for file in (folder / name).rglob("*.py") if file.name != "__init__.py")
    found = _offered(folder / "__init__.py").get(name)
    return [found] if found else []


@functools.cache
def _offered(init: Path) -> dict[str, Path]:
    """The file by each name that a wing's ``__init__.py`` offers, by an import or by its table ``submod_attrs``."""
    wing = ".".join(init.parent.relative_to(CODE_ROOT).parts)
    found: dict[str, Path] = {}
    for node in ast.walk(ast.parse(init.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("paperlib."):
            found |= {alias.name: _file(node.module) for alias in node.names}
        elif isinstance(node, ast.keyword) and node.arg == "submod_attrs":
            table = ast.literal_eval(node.value)
            found |= {name: _file(f"{wing}.{module}") for module, names in table.items() for name in names}
    return found


def _file(module: str) -> Path:
    file = CODE_ROOT.joinpath(*module.split(".")).with_suffix(".py")
    if not module.startswith("paperlib.") or not file.is_file():
        raise ValueError(
            f"There is no module {module!r} in paperlib: give a full name, such as paperlib.models.capture."
        )
    return file
