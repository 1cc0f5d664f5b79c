"""A full disk said in one sentence, whichever library was writing."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paperlib.study.study import repo_root

FULL = [os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT)]


class DiskError(OSError):
    """A disk is full; the message is one sentence that says which and what to do."""


@contextmanager
def room(folder: Path, what: str) -> Iterator[None]:
    """Raises DiskError, which names ``folder`` and ``what`` was to be written, where the block meets a full disk.

    Only Python's own files tell it by an errno: safetensors and tokenizers have errors of their own, with the system's
    words in them.
    """
    try:
        yield
    except Exception as error:
        if getattr(error, "errno", None) not in (errno.ENOSPC, errno.EDQUOT) and not any(w in str(error) for w in FULL):
            raise
        there = next(path for path in (folder, *folder.parents) if path.is_dir())
        shown = folder.relative_to(repo_root()) if folder.is_relative_to(repo_root()) else folder
        raise DiskError(
            f"No space is left on the disk of {shown.as_posix()} for {what} "
            f"({shutil.disk_usage(there).free / 1e6:.0f} MB free): free some and run this again."
        ) from error
