"""A real SLURM of one node on this machine: munged, slurmctld and slurmd in a folder of their own, stopped at the end.

Needs root and Debian's packages slurm-wlm and munge. It uses neither /etc/slurm nor the system's munge: key, sockets,
ports, logs and state are its own. There is no accounting (slurmdbd), as on many small clusters.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

CLIENTS = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
NEEDED = ("munged", "slurmctld", "slurmd", *CLIENTS)
CONF = """\
ClusterName=one
SlurmctldHost={host}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/completed.txt
MinJobAge=3600
ReturnToService=2
KillWait=5
InactiveLimit=0
SlurmctldTimeout=60
SlurmdTimeout=60
NodeName={host} CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class ClusterError(RuntimeError):
    """The cluster cannot be started; the message is one sentence."""


def free_ports(n: int) -> list[int]:
    """Ports that nothing listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def one_node(memory: int = 12000, cpus: int | None = None) -> Iterator[dict[str, str]]:
    """A cluster of this machine: yields what the environment must hold for sbatch and the like to find it.

    memory: MB that jobs may share. Raises ClusterError if something is missing, or if the node does not come up within
    a minute; everything that was started is stopped then, and at the end.
    """
    if missing := [name for name in NEEDED if shutil.which(name) is None]:
        raise ClusterError(f"{missing[0]} is not installed: install Debian's slurm-wlm and munge (or the like).")
    if os.geteuid() != 0:
        raise ClusterError("A SLURM of one node is started by root here: run this as root, in a container for one.")
    # A socket's path must be short.
    folder, started = Path(tempfile.mkdtemp(prefix="slurm", dir="/tmp")), list[subprocess.Popen]()
    environment: dict[str, str] = {}
    try:
        host = socket.gethostname().split(".")[0]
        for name in ("state", "spool"):
            (folder / name).mkdir()
        conf = folder / "slurm.conf"
        there = {"host": host, "ports": free_ports(2), "folder": folder, "cpus": cpus or os.cpu_count()}
        conf.write_text(CONF.format(memory=memory, **there), encoding="utf-8")
        key = folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        environment |= {"SLURM_CONF": str(conf), "PATH": f"{_clients(folder, conf)}:{os.environ['PATH']}"}
        sock = f"--socket={folder}/munge.socket"
        own = [f"--key-file={key}", f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log"]
        own += [f"--seed-file={folder}/munge.seed", "--force", "--foreground"]
        for command in (["munged", sock, *own], ["slurmctld", "-D", "-c"], ["slurmd", "-D"]):
            with (folder / f"{command[0]}.out").open("w") as out:
                process = subprocess.Popen(
                    command, env=os.environ | environment, stdout=out, stderr=out, start_new_session=True
                )
            started.append(process)
            time.sleep(1)
        _wait(environment, host, folder, started)
        yield environment
    finally:
        _stop(environment, folder, started)


def _stop(environment: dict[str, str], folder: Path, started: list[subprocess.Popen]) -> None:
    """End the jobs, then the daemons, then what is left of jobs: a job outlives the daemon that started it."""
    if len(started) == 3 and all(process.poll() is None for process in started):
        user = ["--user", str(os.geteuid())]
        subprocess.run(["scancel", *user], env=os.environ | environment, capture_output=True)
        for _ in range(30):
            left = subprocess.run(["squeue", "-h"], env=os.environ | environment, capture_output=True, text=True)
            if left.returncode or not left.stdout.strip():
                break
            time.sleep(1)
    for process in reversed(started):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    while left := of_cluster(folder):
        for number in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        time.sleep(0.2)
    shutil.rmtree(folder, ignore_errors=True)


def of_cluster(folder: Path) -> list[int]:
    """Ids of processes whose environment names the cluster's folder: its jobs, and whatever they started."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # ended just now
            if str(folder).encode() in environ.read_bytes():
                found.append(int(environ.parent.name))
    return found


def _clients(folder: Path, conf: Path) -> Path:
    """A folder of SLURM's commands that know this cluster: the executor clears SLURM_CONF in jobs."""
    (folder / "bin").mkdir()
    for name in CLIENTS:
        command = folder / "bin" / name
        command.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {shutil.which(name)} "$@"\n', encoding="utf-8")
        command.chmod(0o755)
    return folder / "bin"


def _wait(environment: dict[str, str], host: str, folder: Path, started: list[subprocess.Popen]) -> None:
    for _ in range(60):
        if gone := [process.args[0] for process in started if process.poll() is not None]:
            said = (folder / f"{gone[0]}.out").read_text(errors="replace").strip().splitlines()
            raise ClusterError(f"{gone[0]} ended at once: {said[-1] if said else 'it said nothing'}.")
        state = subprocess.run(
            ["sinfo", "-h", "-o", "%T"], env=os.environ | environment, capture_output=True, text=True
        ).stdout.strip()
        if state == "idle":
            return
        if state.startswith(("down", "drain", "unknown")):
            command = ["scontrol", "update", f"NodeName={host}", "State=RESUME"]
            subprocess.run(command, env=os.environ | environment, capture_output=True)
        time.sleep(1)
    raise ClusterError(f"The node did not come up within a minute (it is {state or 'not known'}).")


def jobs(environment: dict[str, str]) -> list[dict[str, str]]:
    """The jobs that SLURM knows, ended ones included: id, state, and what Snakemake calls them."""
    lines = subprocess.run(
        ["squeue", "-h", "--states=all", "-o", "%i|%T|%k"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [dict(zip(("id", "state", "name"), line.split("|", 2), strict=True)) for line in lines if line]
