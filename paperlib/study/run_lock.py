"""The folder of a run, runs/<run>/: its lock, so that one run at a time works there, and a line for each failure."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class RunError(RuntimeError):
    """A run cannot start; the message is one sentence that says why and what to do."""


def lock(folder: Path | str) -> int:
    """Lock a run's folder for this process, and return the lock's file descriptor; made if it is not there.

    The lock goes with the process, however that ends; processes that it starts do not hold it. Two runs at once would
    delete each other's notebooks, as Snakemake removes an output before making it. Raises RunError if another run holds
    the lock; where a file system has no locks, a line says so.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        descriptor = os.open(Path(folder) / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise RunError(f"{folder} is no folder that can be written to ({error.strerror}): make it one.") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise RunError(f"Another run is at work in {folder}: wait for its end, or stop it.") from None
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            raise
        print(f"The file system of {folder} has no locks: start no second run of it.", file=sys.stderr)
    return descriptor


def partial(folder: Path | str, notebook: str) -> Path:
    """Where a notebook is executed; renamed at its end, so that what is there did not end."""
    return Path(folder) / f"{notebook}.partial.ipynb"


def failures(folder: Path | str, notebooks: Mapping[str, Sequence[str]], sent: bool = False) -> list[str]:
    """One line for each notebook that failed in a run, and for each that was not run because it needs such a one.

    notebooks: {name: the names that must have run before}. sent: whether they were sent to a cluster. There a job may
    be refused, or killed before its notebook begins, and then leaves no trace here: that is a line as well.
    """
    paths = {name: partial(folder, name) for name in notebooks}
    failed = {name for name, path in paths.items() if path.is_file()}
    if sent:
        absent = {name for name in notebooks if not (Path(folder) / f"{name}.ipynb").is_file()} - failed
        failed |= {name for name in absent if not (failed | absent) & {*_all_before(name, notebooks)}}
    lines = []
    for name, path in paths.items():
        if name in failed and not path.is_file():
            lines.append(
                f"{name} never began: the lines above say why; once mended, the same command goes on from here."
            )
        elif name in failed:
            lines.append(f"{name} failed: {reason(path)} Read {path}; once mended, the same command goes on from here.")
        elif needs := [other for other in _all_before(name, notebooks) if other in failed]:
            lines.append(f"{name} was not run: it needs {' and '.join(needs)}.")
    return lines


def _all_before(name: str, notebooks: Mapping[str, Sequence[str]]) -> list[str]:
    """What must have run before a notebook, at any remove; each once."""
    found = []
    for other in notebooks[name]:
        found += [n for n in (other, *_all_before(other, notebooks)) if n not in found]
    return found


def reason(path: Path) -> str:
    """Why a notebook did not end, as a sentence: the last line of its error, if it has one."""
    try:
        cells = [c for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
        outputs = [output for cell in cells for output in cell["outputs"]]
    except (ValueError, KeyError, TypeError):  # no notebook: papermill did not come to write it
        return "it ended before its first cell, and the lines above say why."
    for output in outputs:
        if output["output_type"] == "error":
            if output["ename"] == "KeyboardInterrupt":
                return "it was interrupted, by hand or because it hung."
            text = "\n".join(output["traceback"]).strip() or f"{output['ename']}: {output['evalue']}"
            said = [line.strip() for line in COLOURS.sub("", text).splitlines() if line.strip()][-1]
            said = (said if output["ename"] in said else f"{output['ename']}: {said}").rstrip(": ")
            return said if said.endswith((".", "!", "?")) else f"{said}."
    begun = sum(cell["metadata"].get("papermill", {}).get("status", "pending") != "pending" for cell in cells)
    return f"it was stopped, or its kernel died (out of memory?), at code cell {max(1, begun)} of {len(cells)}."
