"""The smoke grid of two models and two seeds through a real SLURM: a job is killed midway and sent again.

    python tests/cluster/run.py           # about 20 minutes on two cores; `make test-cluster`

First the check is checked: one notebook without retries, killed, must end in a failure that names it. Then the grid
runs with the shipped profile, lowered to this machine, and all of its notebooks must be there.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from one_node import ClusterError, jobs, one_node

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
NAMES = re.findall(r'^    "(\d\d_\w+)":', (ROOT / "Snakefile").read_text(encoding="utf-8"), re.MULTILINE)
MODELS, SEEDS = ("tiny", "smolvlm-256m"), (0, 1)
VICTIMS = ("01_tune_a_vlm", "02_probe_layers")  # whose job is killed: alone without retries, and in the grid
LIMIT = 3600  # s, by which the grid must have ended


def lowered(folder: Path) -> Path:
    """The shipped profile for this machine: each job one core and little memory, and jobs are looked at often."""
    profile = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text(encoding="utf-8"))
    profile["set-threads"] = dict.fromkeys(profile["set-threads"], 1)
    profile["set-resources"] = {name: {"runtime": 60, "mem_mb": 4000} for name in profile["set-resources"]}
    profile["default-resources"] = {"mem_mb": 4000, "runtime": 60}
    profile |= {"latency-wait": 10, "slurm-init-seconds-before-status-checks": 5}
    (folder / "config.yaml").write_text(yaml.safe_dump(profile, sort_keys=False), encoding="utf-8")
    return folder


def snakemake(environment: dict[str, str], *words: str) -> subprocess.Popen:
    """Snakemake as `make figures PROFILE=...` calls it."""
    command = [sys.executable, "-m", "snakemake", "--rerun-incomplete", "--nolock", "--keep-going", "--quiet", "host"]
    return subprocess.Popen(
        [*command, *words],
        cwd=ROOT,
        env=os.environ | environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def killed(environment: dict[str, str], rule: str, process: subprocess.Popen) -> str:
    """Wait until a job of a rule runs, kill its processes, and return its id."""
    for _ in range(600):
        running = [job for job in jobs(environment) if job["state"] == "RUNNING" and rule in job["name"]]
        if running:
            time.sleep(15)  # into the notebook
            subprocess.run(
                ["scancel", "--signal=KILL", "--full", running[0]["id"]], env=os.environ | environment, check=True
            )
            return running[0]["id"]
        if process.poll() is not None:
            break
        time.sleep(1)
    raise ClusterError(f"No job of {rule} came to run: {tail(process)}")


def tail(process: subprocess.Popen) -> str:
    """What a run said at last, in one line."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    output = process.communicate()[0] or ""
    return " ".join(output.split()[-60:])


def check_failure(environment: dict[str, str], profile: Path) -> None:
    """A killed job that may not be sent again must end the run with a failure that names its notebook."""
    target = f"runs/smoke-tiny-seed7/{VICTIMS[0]}.ipynb"
    (ROOT / target).unlink(missing_ok=True)
    words = ["--profile", str(profile), "--retries", "0", target, "--config", "preset=smoke", "seed=7"]
    process = snakemake(environment, *words)
    job = killed(environment, VICTIMS[0], process)
    output = process.communicate(timeout=LIMIT)[0]
    if process.returncode == 0 or (ROOT / target).exists() or f"{VICTIMS[0]} failed" not in output:
        raise ClusterError(f"Job {job} was killed, and without retries the run did not end as one that failed.")
    print(f"without retries: job {job} was killed, and the run said so")


def check_grid(environment: dict[str, str], profile: Path) -> None:
    """The grid ends whole although one of its jobs was killed."""
    words = ["--profile", str(profile), "--forceall", "--config", "preset=smoke"]
    words += [f"models={','.join(MODELS)}", f"seeds={','.join(map(str, SEEDS))}"]
    began = time.time()
    process = snakemake(environment, *words)
    job = killed(environment, VICTIMS[1], process)
    output = process.communicate(timeout=LIMIT)[0]
    (ROOT / "runs" / "cluster.log").write_text(output, encoding="utf-8")
    if process.returncode:
        raise ClusterError(f"The grid failed; runs/cluster.log says why: {' '.join(output.split()[-60:])}")
    found = jobs(environment)
    states = {one["id"]: one["state"] for one in found}
    wildcards = next(one["name"] for one in found if one["id"] == job)
    again = [one for one in found if one["name"] == wildcards and one["id"] != job]
    if states[job] == "COMPLETED" or not any(one["state"] == "COMPLETED" for one in again):
        raise ClusterError(f"Job {job} ({states[job]}) was killed and not sent again.")
    expected = [ROOT / "runs" / run / f"{name}.ipynb" for run in _runs() for name in NAMES]
    if missing := [path.relative_to(ROOT) for path in expected if not path.is_file() or path.stat().st_mtime < began]:
        raise ClusterError(f"{len(missing)} notebooks of the grid are not there, {missing[0]} for one.")
    assert len(expected) == len(MODELS) * len(SEEDS) * len(NAMES)
    done = sum(state == "COMPLETED" for state in states.values())
    print(
        f"grid: {len(expected)} notebooks of {len(_runs())} runs in {time.time() - began:.0f} s, {done} jobs completed"
    )
    print(f"grid: job {job} ({VICTIMS[1]}) was killed ({states[job]}) and sent again as {again[-1]['id']}")


def _runs() -> list[str]:
    from paperlib.study.grid import runs_of

    grid = {"preset": "smoke", "models": ",".join(MODELS), "seeds": ",".join(map(str, SEEDS))}
    return list(runs_of(grid))


def main() -> None:
    """Run both checks in a cluster of this machine."""
    import miniature_hub

    with tempfile.TemporaryDirectory() as folder:
        hub = Path(folder) / "hub"
        miniature_hub.build(hub)
        own = {"HF_HUB_CACHE": str(hub), "HF_HUB_OFFLINE": "1", "PYTHONPATH": os.environ.get("PYTHONPATH") or str(ROOT)}
        try:
            with one_node() as cluster:
                profile = lowered(Path(folder))
                check_failure(own | cluster, profile)
                check_grid(own | cluster, profile)
        except ClusterError as error:
            sys.exit(f"tests/cluster: {error}")


if __name__ == "__main__":
    main()
