"""An archive of what is committed, ready for Zenodo: a zip file and its sha256.

    python -m paperlib.study.archive build     # build/paperlib-0.1.0.zip and .zip.sha256 (make archive)

Only the commit goes in, so the same commit gives the same bytes with the same git. Changed files are left out.
`.zenodo.json` in its root tells Zenodo title, creators, licence and the paper.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from paperlib import __version__
from paperlib.study.results import ResultError, write_whole
from paperlib.study.study import CODE_ROOT


def archive(folder: Path, root: Path = CODE_ROOT) -> Path:
    """Write the zip file of HEAD and its checksum into a folder; returns the zip's path.

    Raises ResultError if root is no git clone, or has no commit.
    """
    name = f"paperlib-{__version__}"
    # A zip file holds local times, and line ends as a user's settings want them: both are fixed.
    command = [
        "git",
        "-C",
        str(root),
        "-c",
        "core.autocrlf=false",
        "archive",
        "--format=zip",
        f"--prefix={name}/",
        "HEAD",
    ]
    made = subprocess.run(command, capture_output=True, env=os.environ | {"TZ": "UTC"})
    if made.returncode:
        raise ResultError(f"{root} is no git clone with a commit, so there is nothing to archive: clone it with git.")
    path, digest = folder / f"{name}.zip", hashlib.sha256(made.stdout).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    write_whole({path: made.stdout, path.with_suffix(".zip.sha256"): f"{digest}  {path.name}\n".encode()})
    return path


def main(arguments: list[str]) -> None:
    """Write the archive, and say what is changed and therefore not in it."""
    if len(arguments) != 1:
        sys.exit("Say the folder that the archive goes to: python -m paperlib.study.archive build")
    try:
        path = archive(Path(arguments[0]))
    except ResultError as error:
        sys.exit(str(error))
    state = subprocess.run(["git", "-C", str(CODE_ROOT), "status", "--porcelain"], capture_output=True, text=True)
    if state.stdout.strip():
        print("Changes that are not committed are not in it.")
    print(f"wrote {path} and its sha256")


if __name__ == "__main__":
    main(sys.argv[1:])
