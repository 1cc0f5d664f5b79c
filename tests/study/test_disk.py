"""A full disk in one sentence, whichever library says so; everything else as it was."""

import errno
import os

import pytest
import torch
from safetensors import SafetensorError
from small_models import one_sentence

from paperlib.models import capture
from paperlib.study.disk import DiskError, room

FULL = os.strerror(errno.ENOSPC)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, FULL),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
        SafetensorError(f"Error while serializing: I/O error: {FULL} (os error 28)"),
        Exception(f"{FULL} (os error 28)"),
    ],
)
def test_what_a_full_disk_says(error, tmp_path, monkeypatch):
    monkeypatch.setenv("PAPERLIB_ROOT", str(tmp_path))
    with pytest.raises(DiskError) as raised, room(tmp_path / "data" / "new", "the model"):
        raise error
    assert "disk of data/new for the model" in one_sentence(raised.value) and "MB free" in str(raised.value)
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "Permission denied"), ValueError("no"), KeyboardInterrupt()])
def test_other_errors_pass(error, tmp_path):
    with pytest.raises(type(error)) as raised, room(tmp_path, "the model"):
        raise error
    assert raised.value is error


def test_captured_states_on_a_full_disk(tmp_path, monkeypatch):
    def full(found, path, metadata):
        path.write_bytes(b"half")
        raise SafetensorError(f"Error while serializing: I/O error: {FULL} (os error 28)")

    monkeypatch.setattr(capture, "save_file", full)
    with pytest.raises(DiskError, match="captured states"):
        capture._write(tmp_path / "a.safetensors", {"x": torch.zeros(2)})
    assert not list(tmp_path.iterdir())
