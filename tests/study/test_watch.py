"""What hangs is stopped, and what works, however slowly, is not."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from test_snakefile import PARAMETERS, toy

from paperlib.study.run_lock import reason
from paperlib.study.study import CODE_ROOT
from paperlib.study.watch import watch

FAST = dict(look=0.2, patience=1.0, grace=5.0)
# A command with a kernel: a process in a session of its own, whose end ends the command.
CLIENT = (
    "import subprocess, sys; k = subprocess.Popen([sys.executable, '-c', sys.argv[1]], start_new_session=True);"
    "open(sys.argv[2], 'w').write(str(k.pid)); sys.exit(k.wait() and 3)"
)


def watched(code, folder, starter=None, **speeds):
    """(exit status, the kernel's id) of a watched client of a kernel that runs this code."""
    told = folder / "pid"
    status = watch(starter or os.getpid(), [sys.executable, "-c", CLIENT, code, str(told)], **(FAST | speeds))
    return status, int(told.read_text()) if told.exists() else None


def ended(pid):
    """Whether a process ends within some seconds; a zombie has."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(autouse=True)
def handlers():
    """`watch` sets signal handlers for its process: put them back."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    "code",
    [
        "import time; time.sleep(600)",
        "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()",
        "import socket; a, b = socket.socketpair(); a.recv(1)",
        "import subprocess; subprocess.run(['sleep', '600'])",
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)",
    ],
)
def test_a_hang_is_stopped(tmp_path, capfd, code):
    started = time.monotonic()
    status, kernel = watched(code, tmp_path, grace=1.0)
    assert status != 0 and time.monotonic() - started < 30
    assert ended(kernel)
    assert "used no processor time" in capfd.readouterr().err


def test_a_notebook_that_hangs_shows_where_it_waited(tmp_path):
    toy(
        tmp_path / "in.ipynb", PARAMETERS, "import threading\nlock = threading.Lock()", "lock.acquire()\nlock.acquire()"
    )
    command = [
        sys.executable,
        "-m",
        "papermill",
        str(tmp_path / "in.ipynb"),
        str(tmp_path / "out.ipynb"),
        "-k",
        "python3",
    ]
    assert watch(os.getpid(), command, look=0.5, patience=4.0, grace=60.0) != 0
    left = (tmp_path / "out.ipynb").read_text()
    assert "KeyboardInterrupt" in left and "lock.acquire" in left
    assert reason(tmp_path / "out.ipynb") == "it was interrupted, by hand or because it hung."


@pytest.mark.parametrize(
    "work", ["while time.time() < end: pass", "while time.time() < end: time.sleep(0.05); sum(range(10**6))"]
)
def test_work_is_left_alone_however_long_it_takes(tmp_path, work):
    status, _ = watched(f"import time\nend = time.time() + 3\n{work}", tmp_path)
    assert status == 0


@pytest.mark.parametrize("code, status", [("pass", 0), ("1 / 0", 3)])
def test_the_exit_status_is_the_commands(tmp_path, code, status):
    assert watched(code, tmp_path, patience=60.0)[0] == status


def test_a_command_that_was_killed_is_no_success():
    assert watch(os.getpid(), [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], **FAST) == 137


def test_all_ends_with_what_started_it(tmp_path):
    starter = subprocess.Popen(["sleep", "600"])
    code = f"import os, time; os.kill({starter.pid}, 9); time.sleep(600)"
    waiter = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "paperlib.study.watch",
            str(starter.pid),
            sys.executable,
            "-c",
            CLIENT,
            code,
            str(tmp_path / "pid"),
        ],
        cwd=CODE_ROOT,
    )
    assert waiter.wait(60) == 1  # though nobody has waited for what started it, which is left as a zombie
    assert ended(int((tmp_path / "pid").read_text()))
    starter.wait()


def test_it_does_not_start_without_what_started_it(tmp_path):
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert watched("import time; time.sleep(600)", tmp_path, starter=gone.pid)[0] == 1
