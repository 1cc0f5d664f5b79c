"""How long notebooks will take here, roughly: times measured elsewhere, scaled by the speed of matrix products.

    python -m paperlib.models.run_time mini - 00_meet_the_model 01_tune_a_vlm
    python -m paperlib.models.run_time --record runs/mini

The first prints how long these notebooks take; in place of "-" stand the names of parameters that differ from the
preset's, with commas. The second stores the times of a run on this machine in data/timings.json, which holds one entry
for each preset and precision.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from paperlib.study.study import CODE_ROOT
from paperlib.study.timings import TimingError, read_timing

TABLE = CODE_ROOT / "data" / "timings.json"
SIZE = 2048  # of the matrices: larger than any of the model's, so that the speed is the hardware's


def speed(seconds: float = 2.0) -> tuple[str, float]:
    """The precision in which the study evaluates on this CPU, and the speed of its matrix products [TFLOP/s].

    The fastest product counts, because other work on the machine only slows products down. Takes ``seconds``, or the
    time of one product if that is longer.
    """
    import torch

    from paperlib.models.precision import bfloat16_units

    dtype = torch.bfloat16 if bfloat16_units(torch.device("cpu")) else torch.float32
    a, b = torch.ones(SIZE, SIZE, dtype=dtype), torch.ones(SIZE, SIZE, dtype=dtype)
    a @ b  # the first one sets things up
    best, end = float("inf"), time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        a @ b
        now = time.perf_counter()
        best = min(best, now - start)
        if now > end:
            return str(dtype).removeprefix("torch."), 2 * SIZE**3 / best / 1e12


def read_table(path: Path = TABLE) -> list[dict]:
    """Entries {"preset", "precision", "tflops", "seconds": {notebook: s}}."""
    return json.loads(path.read_text(encoding="utf-8"))


def estimate(
    preset: str,
    settings: Sequence[str],
    notebooks: Sequence[str],
    table: list[dict],
    probe: Callable | None = None,
    gpu: bool = False,
) -> str:
    """The expected time of notebooks, in one or two sentences.

    settings: names of parameters that differ from the preset's. probe: measures this machine; `speed` if None.
    """
    measured = [entry for entry in table if entry["preset"] == preset]
    if not measured:
        return f"How long this takes is not known: no times were measured at preset {preset}."
    if gpu:
        return "How long this takes is not known: times were measured without a GPU, and this machine has one."
    precision, tflops = (probe or speed)()
    entry = min(measured, key=lambda e: (e["precision"] != precision, abs(e["tflops"] - tflops)))
    seconds = {
        name: entry["seconds"][name] * entry["tflops"] / tflops for name in notebooks if name in entry["seconds"]
    }
    parts = ", ".join(f"{name[:2]}: {about(s)}" for name, s in seconds.items())
    total = about(sum(seconds.values()))
    text = (
        f"On this machine ({tflops:.2g} TFLOP/s in {precision}) the notebooks take about {total} ({parts}): scaled "
        f"from times measured at {entry['tflops']:.2g} TFLOP/s in {entry['precision']}."
    )
    if missing := [name for name in notebooks if name not in entry["seconds"]]:
        text += f" No time was measured for {', '.join(missing)}."
    if "retrain" in settings:
        text += " Training comes on top: it takes hours rather than minutes, and no time was measured for it here."
    if others := [name for name in settings if name not in ("retrain", "seed")]:
        text += f" That holds at the preset's own {', '.join(others)}; with others it differs."
    return text


def about(seconds: float) -> str:
    """Seconds in words, rounded as an estimate should be: "1 min", "35 min", "3 h 15 min", "40 h"."""
    minutes = max(1, round(seconds / 60))
    if minutes < 10:
        return f"{minutes} min"
    step = 5 if minutes < 120 else 15
    hours, rest = divmod(round(minutes / step) * step, 60)
    if hours >= 10:
        return f"{round(minutes / 60)} h"
    return " ".join([f"{hours} h"] * (hours > 0) + [f"{rest} min"] * (rest > 0))


def record(folder: Path, table: list[dict], probe: Callable | None = None) -> list[dict]:
    """The table with an entry for the executed notebooks in a run's folder, and for the speed of this machine now.

    Raises TimingError if a notebook did not finish, if there is none, and if parameters were not the preset's own.
    """
    import yaml

    paths = [path for path in sorted(folder.glob("*.ipynb")) if ".partial" not in path.name]
    if not paths:
        raise TimingError(f"{folder} holds no executed notebooks: run make figures first.")
    if others := yaml.safe_load((folder / "parameters.yaml").read_text(encoding="utf-8"))["overrides"]:
        raise TimingError(f"{folder} was run with {', '.join(others)}: record a run at the preset's own parameters.")
    seconds = {path.stem: round(read_timing(path).seconds, 1) for path in paths}
    precision, tflops = (probe or speed)()
    entry = {"preset": folder.resolve().name, "precision": precision, "tflops": round(tflops, 3), "seconds": seconds}
    kept = [e for e in table if (e["preset"], e["precision"]) != (entry["preset"], entry["precision"])]
    return sorted([*kept, entry], key=lambda e: (e["preset"], e["precision"]))


def main(words: list[str]) -> None:
    """Print an estimate, or record a run, from the command line."""
    if words[0] == "--record":
        try:
            table = record(Path(words[1]), read_table())
        except TimingError as error:
            sys.exit(f"paperlib.models.run_time: {error}")
        TABLE.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
        return
    preset, settings, *notebooks = words
    table, gpu = read_table(), False
    if any(entry["preset"] == preset for entry in table):  # torch takes seconds to import
        import torch

        gpu = torch.cuda.is_available()
    print(estimate(preset, [] if settings == "-" else settings.split(","), notebooks, table, gpu=gpu))


if __name__ == "__main__":
    main(sys.argv[1:])
