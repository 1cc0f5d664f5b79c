"""One run at a time in a folder, and what failed there in one line each."""

import contextlib
import errno
import fcntl
import json
import os
import signal
import subprocess
import sys

import pytest

from paperlib.study.run_lock import RunError, failures, lock, partial, reason
from paperlib.study.study import CODE_ROOT

# A shell's background job ignores SIGINT, and so does what it starts: the holder takes it all the same.
HOLD = (
    "import signal, sys, time; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from paperlib.study.run_lock import lock; lock(sys.argv[1]); print('held', flush=True); time.sleep(600)"
)


@contextlib.contextmanager
def holder(folder, code=HOLD):
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], cwd=CODE_ROOT, text=True, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_lock_keeps_a_second_out_and_ends_with_its_holder(tmp_path, how):
    with holder(tmp_path / "mini") as process:
        with pytest.raises(RunError, match="Another run is at work in .*mini: wait for its end, or stop it."):
            lock(tmp_path / "mini")
        lock(tmp_path / "smoke")  # another preset's
        process.send_signal(how)
        process.wait()
        lock(tmp_path / "mini")


def test_what_the_holder_started_does_not_hold_the_lock(tmp_path):
    code = HOLD.replace(
        "time.sleep",
        "import subprocess; p = subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL);"
        "print(p.pid, flush=True); time.sleep",
    )
    with holder(tmp_path, code) as process:
        child = int(process.stdout.readline())
        process.kill()
        process.wait()
        lock(tmp_path)
        os.kill(child, signal.SIGKILL)  # it was there until now


def test_a_file_system_without_locks_is_told_and_any_other_fault_is_raised(tmp_path, monkeypatch, capsys):
    def refuse(number):
        def flock(*_):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(fcntl, "flock", flock)

    for number in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
        refuse(number)
        os.close(lock(tmp_path))
        assert capsys.readouterr().err == f"The file system of {tmp_path} has no locks: start no second run of it.\n"
    refuse(errno.EIO)
    with pytest.raises(OSError):
        lock(tmp_path)


def error(name, value, *lines):
    return {"output_type": "error", "ename": name, "evalue": value, "traceback": list(lines)}


def left(path, *cells):
    """A notebook as papermill leaves it: each cell a status and outputs."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        json.dumps(
            {
                "cells": [
                    {"cell_type": "markdown"},
                    *(
                        {"cell_type": "code", "metadata": {"papermill": {"status": status}}, "outputs": outputs}
                        for status, outputs in cells
                    ),
                ]
            }
        )
    )
    return path


@pytest.mark.parametrize(
    "outputs, why",
    [
        (
            [error("ValueError", "no ink", "\x1b[31mTraceback\x1b[0m", "\x1b[31mValueError\x1b[39m: no ink")],
            "ValueError: no ink.",
        ),
        ([error("ValueError", "first\nno ink", "ValueError: first\nno ink\n")], "ValueError: no ink."),
        ([error("StudyError", "There is none.", "StudyError: There is none.")], "StudyError: There is none."),
        ([error("MemoryError", "")], "MemoryError."),
        ([error("KeyboardInterrupt", "", "KeyboardInterrupt: ")], "it was interrupted, by hand or because it hung."),
        ([], "it was stopped, or its kernel died (out of memory?), at code cell 2 of 3."),
    ],
)
def test_the_reason(tmp_path, outputs, why):
    stream = {"output_type": "stream", "name": "stdout", "text": "error"}
    path = left(tmp_path / "a.ipynb", ("completed", [stream]), ("running", outputs), ("pending", []))
    assert reason(path) == why


@pytest.mark.parametrize("text", ["", "{", '{"cells": [{"cell'])
def test_the_reason_without_a_notebook(tmp_path, text):
    path = tmp_path / "a.ipynb"
    path.write_text(text)
    assert reason(path) == "it ended before its first cell, and the lines above say why."


def test_a_line_for_each_that_failed_and_each_that_needs_it(tmp_path):
    runs = tmp_path / "runs"
    left(partial(runs, "02_b"), ("failed", [error("KeyError", "'x'", "KeyError: 'x'")]))
    notebooks = {"01_a": ["05_e"], "02_b": [], "03_c": [], "04_d": ["03_c"], "05_e": ["02_b", "03_c"]}
    assert failures(runs, notebooks) == [
        "01_a was not run: it needs 02_b.",
        f"02_b failed: KeyError: 'x'. Read {runs}/02_b.partial.ipynb; once mended, the same command goes on from here.",
        "05_e was not run: it needs 02_b.",
    ]
    assert failures(runs, dict.fromkeys(["03_c", "04_d"], [])) == []


def test_a_job_that_left_no_trace_is_named_where_jobs_are_sent(tmp_path):
    (tmp_path / "01_a.ipynb").touch()
    notebooks = {"01_a": [], "02_b": ["01_a"], "03_c": ["02_b"]}
    assert failures(tmp_path, notebooks) == []
    assert failures(tmp_path, notebooks, sent=True) == [
        "02_b never began: the lines above say why; once mended, the same command goes on from here.",
        "03_c was not run: it needs 02_b.",
    ]
    left(partial(tmp_path, "02_b"), ("failed", [error("KeyError", "'x'", "KeyError: 'x'")]))
    assert [line.split(":")[0] for line in failures(tmp_path, notebooks, sent=True)] == [
        "02_b failed",
        "03_c was not run",
    ]


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", '{"cells": null}', '{"cells": [{"cell_type": "code", "metadata": {}}]}', "null", '{"cells": [1]}'],
)
def test_json_that_is_no_notebook_has_a_reason_too(tmp_path, text):
    """The line for each failure is all that a reader sees: it must come."""
    partial(tmp_path, "a").write_text(text)
    assert failures(tmp_path, {"a": []})[0].startswith("a failed: it ended before its first cell")


def test_an_error_with_an_empty_traceback_is_named(tmp_path):
    output = {"output_type": "error", "ename": "DeadKernelError", "evalue": "", "traceback": [" \n "]}
    cell = {"cell_type": "code", "metadata": {}, "outputs": [output]}
    partial(tmp_path, "a").write_text(json.dumps({"cells": [cell]}))
    assert failures(tmp_path, {"a": []})[0].startswith("a failed: DeadKernelError.")


@pytest.mark.parametrize("place", ["file", "file/run", "taken"])
def test_a_run_whose_folder_cannot_be_made_is_one_sentence(tmp_path, place):
    (tmp_path / "file").touch()
    (tmp_path / "taken" / ".lock").mkdir(parents=True)
    with pytest.raises(RunError, match="is no folder that can be written to"):
        lock(tmp_path / place)
