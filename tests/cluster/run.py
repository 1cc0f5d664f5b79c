"""The smoke grid of two models and two seeds through a real SLURM: a job is killed midway and sent again.

    python tests/cluster/run.py           # about 20 minutes on two cores; `make test-cluster`

First the check is checked: one notebook without retries, killed, must end in a failure that names it. An interrupt must
cancel what is in the queue. Then `make figures` runs the grid with the shipped profile, lowered to this machine, and
all of its notebooks must be there. What the runs say goes to runs/cluster.log.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import yaml
from one_node import ClusterError, jobs, one_node

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
os.chdir(ROOT)
from paperlib.study.grid import runs_of  # noqa: E402 (the clone's own)
from paperlib.study.run_lock import partial  # noqa: E402

NAMES = re.findall(r'^    "(\d\d_\w+)":', (ROOT / "Snakefile").read_text(encoding="utf-8"), re.MULTILINE)
GRID = {"preset": "smoke", "models": "tiny,smolvlm-256m", "seeds": "0,1"}
RUNS = list(runs_of(GRID))
VICTIMS = ("01_tune_a_vlm", "02_probe_layers")  # whose job is killed: alone without retries, and in the grid
ALONE = f"runs/smoke-tiny-seed7/{VICTIMS[0]}.ipynb"
LIMIT = 3600  # s, by which a run must have ended
LOG = ROOT / "runs" / "cluster.log"
ACTIVE = ("PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED")


def lowered(folder: Path) -> Path:
    """The shipped profile for this machine: each job one core and little memory, and jobs are looked at often."""
    profile = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text(encoding="utf-8"))
    profile["set-threads"] = dict.fromkeys(profile["set-threads"], 1)
    profile["set-resources"] = {name: {"runtime": 60, "mem_mb": 4000} for name in profile["set-resources"]}
    profile["default-resources"] = {"mem_mb": 4000, "runtime": 60}
    profile |= {"latency-wait": 10, "slurm-init-seconds-before-status-checks": 5, "forceall": True}
    (folder / "config.yaml").write_text(yaml.safe_dump(profile, sort_keys=False), encoding="utf-8")
    return folder


@contextlib.contextmanager
def started(environment: dict[str, str], *command: str) -> Iterator[subprocess.Popen]:
    """A command that writes to LOG; if it still runs at the end, it is interrupted."""
    with LOG.open("w") as log:
        process = subprocess.Popen(
            command, env=os.environ | environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            interrupt(process)


def interrupt(process: subprocess.Popen) -> None:
    """Ctrl-C, as a terminal gives it to a command and all that it started."""
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise ClusterError("An interrupt did not end the run within a minute.") from None


def alone(profile: Path, *words: str) -> list[str]:
    """One notebook through Snakemake, as make calls it."""
    snakemake = [sys.executable, "-m", "snakemake", "--rerun-incomplete", "--nolock", "--keep-going", "--quiet", "host"]
    return [*snakemake, "--profile", str(profile), *words, ALONE, "--config", "preset=smoke", "seed=7"]


def in_notebook(environment: dict[str, str], rule: str, process: subprocess.Popen) -> dict[str, str]:
    """Wait until a job of a rule is in its notebook, and return it."""
    end = time.monotonic() + LIMIT
    while process.poll() is None and time.monotonic() < end:
        for job in jobs(environment):
            if job["state"] == "RUNNING" and job["name"].startswith(f"rule_{rule}_wildcards_"):
                if partial(f"runs/{job['name'].split('_wildcards_')[1]}", rule).is_file():
                    time.sleep(3)
                    return job
        time.sleep(1)
    raise ClusterError(f"No job of {rule} came to run; {LOG.relative_to(ROOT)} ends with: {tail()}")


def kill(environment: dict[str, str], job: dict[str, str]) -> None:
    """End all processes of a job, as a limit on memory does."""
    subprocess.run(["scancel", "--signal=KILL", "--full", job["id"]], env=os.environ | environment, check=True)


def tail() -> str:
    """What a run said at last, in one line."""
    return " ".join(LOG.read_text(encoding="utf-8", errors="replace").split()[-60:])


def check_failure(environment: dict[str, str], profile: Path) -> None:
    """A killed job that may not be sent again must end the run with a failure that names its notebook."""
    before = {job["id"] for job in jobs(environment)}
    with started(environment, *alone(profile, "--retries", "0")) as process:
        job = in_notebook(environment, VICTIMS[0], process)
        kill(environment, job)
        status = process.wait(LIMIT)
    sent = [one for one in jobs(environment) if one["id"] not in before]
    said = f"{VICTIMS[0]} failed" in LOG.read_text(encoding="utf-8")
    if status == 0 or Path(ALONE).exists() or not said or [one["id"] for one in sent] != [job["id"]]:
        raise ClusterError(f"Job {job['id']} was killed, and without retries the run did not end as one that failed.")
    print(f"without retries: job {job['id']} was killed, and the run said so and ended with {status}", flush=True)


def check_interrupt(environment: dict[str, str], profile: Path) -> None:
    """Ctrl-C must leave nothing in the queue."""
    with started(environment, *alone(profile)) as process:
        job = in_notebook(environment, VICTIMS[0], process)
        interrupt(process)
    for _ in range(30):
        if not (left := [one["id"] for one in jobs(environment) if one["state"] in ACTIVE]):
            break
        time.sleep(1)
    if left or process.returncode == 0:
        raise ClusterError(f"An interrupt ended with {process.returncode} and left jobs {', '.join(left) or 'none'}.")
    print(f"interrupted: job {job['id']} was cancelled", flush=True)


def check_grid(environment: dict[str, str], profile: Path) -> None:
    """The grid ends whole although one of its jobs was killed."""
    words = [f"{name.upper()}={value}" for name, value in GRID.items()]
    words += [f"VENV={os.path.relpath(sys.prefix)}", f"PROFILE={profile}"]
    began = time.time()
    before = {job["id"] for job in jobs(environment)}
    with started(environment, "make", "--no-print-directory", "figures", *words) as process:
        job = in_notebook(environment, VICTIMS[1], process)
        kill(environment, job)
        status = process.wait(LIMIT)
    if status:
        raise ClusterError(f"The grid failed; {LOG.relative_to(ROOT)} ends with: {tail()}")
    sent = [one for one in jobs(environment) if one["id"] not in before]
    states = {one["id"]: one["state"] for one in sent}
    again = [one["id"] for one in sent if one["name"] == job["name"] and one["id"] != job["id"]]
    if states[job["id"]] == "COMPLETED" or [states[other] for other in again] != ["COMPLETED"]:
        raise ClusterError(f"Job {job['id']} ({states[job['id']]}) was killed and not sent again.")
    expected = [Path("runs") / run / f"{name}.ipynb" for run in RUNS for name in NAMES]
    if missing := [path for path in expected if not path.is_file() or path.stat().st_mtime < began]:
        raise ClusterError(f"{len(missing)} notebooks of the grid are not there, {missing[0]} for one.")
    done = sum(state == "COMPLETED" for state in states.values())
    if done != len(expected):
        raise ClusterError(f"{len(expected)} notebooks were to come through SLURM, and {done} jobs completed.")
    print(f"grid: {len(expected)} notebooks of {len(RUNS)} runs in {time.time() - began:.0f} s, {done} jobs completed")
    print(f"grid: job {job['id']} ({job['name']}) was killed ({states[job['id']]}) and sent again as {again[0]}")


def main() -> None:
    """Run all checks in a cluster of this machine."""
    import miniature_hub

    for number in (signal.SIGTERM, signal.SIGHUP):  # as an error, so that all that was started is stopped
        signal.signal(number, lambda *_: sys.exit("tests/cluster: It was stopped, and stopped what it had started."))
    # A shell that starts this in the background has interrupts ignored, here and in all that is started from here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    LOG.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        hub = Path(folder) / "hub"
        miniature_hub.build(hub)
        own = {"HF_HUB_CACHE": str(hub), "HF_HUB_OFFLINE": "1", "PYTHONPATH": os.environ.get("PYTHONPATH") or str(ROOT)}
        try:
            with one_node() as cluster:
                profile = lowered(Path(folder))
                for check in (check_failure, check_interrupt, check_grid):
                    check(own | cluster, profile)
        except (ClusterError, subprocess.SubprocessError) as error:
            sys.exit(f"tests/cluster: {error}")
        except KeyboardInterrupt:
            sys.exit("tests/cluster: It was interrupted, and stopped what it had started.")


if __name__ == "__main__":
    main()
