"""Run a command that executes a notebook; stop it when it hangs, or when what started it is gone.

    python -m paperlib.study.watch PID command ...

A limit on a cell's time would stop a slow machine as well as a hang. Processor time tells them apart: a kernel that
waits for a lock, a socket or a process that never answers uses almost none. An endless loop looks like work, and is
left to the reader. PID is the process that started the run: without it nobody would wait for this notebook, and the
next run would execute it a second time.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys

import psutil

LOOK = 5.0  # s between looks
PATIENCE = 1800.0  # s without work. Nothing here waits for a network, and a cell that waits for a GPU uses a core
IDLE = 0.02  # cores: an idle kernel and its client use less, work on a crowded machine more
GRACE = 60.0  # s to end in after an interrupt, which leaves in the notebook where it waited


def watch(
    starter: int, command: list[str], look: float = LOOK, patience: float = PATIENCE, grace: float = GRACE
) -> int:
    """Run a command to its end and return its exit status; 1 if it was stopped.

    Looks are counted, not time: a laptop that slept or a run that was suspended has not hung.
    """
    child = subprocess.Popen(command)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal interrupts the command too, and that ends by itself
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_stop(child)))
    try:
        parent, idle = psutil.Process(starter), 0
        before: dict[psutil.Process, float] = {}
        while parent.is_running() and parent.status() != psutil.STATUS_ZOMBIE:
            try:
                status = child.wait(look)
                return status if status >= 0 else 128 - status
            except subprocess.TimeoutExpired:
                now = _spent(child.pid)
            work = sum(seconds - before.get(process, 0.0) for process, seconds in now.items())
            idle, before = (idle + 1 if work < IDLE * look else 0), now
            if idle * look >= patience:
                print(
                    f"The kernel used no processor time for {patience / 60:g} minutes, so it was stopped: the notebook "
                    f"shows where it waited.",
                    file=sys.stderr,
                )
                return _stop(child, grace)
    except psutil.NoSuchProcess:
        pass
    return _stop(child)


def _spent(pid: int) -> dict[psutil.Process, float]:
    """Processor time [s] of a process and of all that it started."""
    spent = {}
    for process in _family(pid):
        try:
            times = process.cpu_times()
        except psutil.Error:  # ended just now
            continue
        spent[process] = times.user + times.system
    return spent


def _family(pid: int) -> list[psutil.Process]:
    """A process and all that it started, itself last; none if it has ended."""
    try:
        first = psutil.Process(pid)
        return [*first.children(recursive=True), first]
    except psutil.NoSuchProcess:
        return []


def _stop(child: subprocess.Popen, grace: float = 0.0) -> int:
    """End a command and all that it started, with an interrupt first if there is a time [s] of grace. Returns 1."""
    family = _family(child.pid)
    if grace:
        for process in family[:-1]:  # the kernel: the command then writes what the kernel says
            _send(process, signal.SIGINT)
        psutil.wait_procs(family[-1:], grace)
    for process in family:
        _send(process, signal.SIGKILL)
    child.wait()
    return 1


def _send(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):  # ended by itself
        process.send_signal(number)


if __name__ == "__main__":
    sys.exit(watch(int(sys.argv[1]), sys.argv[2:]))
