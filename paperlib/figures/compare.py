"""All runs at hand side by side: the curves of each model over relative depth, and the verdicts by model and seed.

    python -m paperlib.figures.compare                     # every run under results/, preset by preset
    python -m paperlib.figures.compare mini mini-mini-seed1

Figures go to figures/compare/<preset>/, the table of verdicts to results/compare/<preset>.md. Nothing is computed anew,
and no model is opened. Runs of different presets have different budgets and are never mixed in one figure.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

from paperlib.figures.claims import CLAIMS
from paperlib.figures.cross_model import CURVES, panels_of
from paperlib.figures.publish import DRAW, save_figure
from paperlib.stats.tables import read_table_file
from paperlib.stats.words import listed
from paperlib.study.results import ResultError, plain, read_result, write_whole
from paperlib.study.study import repo_root


@dataclass(frozen=True)
class FoundRun:
    """A run's results: the folder, and whose they are."""

    folder: Path
    preset: str
    model: str
    seed: int

    @property
    def name(self) -> str:
        """The run's name."""
        return self.folder.name


def find_runs(root: Path, names: Sequence[str] = ()) -> list[FoundRun]:
    """The runs under results/, by preset, model and seed; only those named, if any are.

    Raises ResultError if there is none, if a named one is not there, and for results that are damaged.
    """
    folders = [root / "results" / name for name in names] or sorted((root / "results").glob("*/"))
    runs = []
    for folder in folders:
        tables = sorted(folder.glob("??_*.json"))
        if names and not tables:
            raise ResultError(f"There are no results of a run {folder.name!r}: run it first, or name another.")
        if tables:
            made = read_result(tables[0])["provenance"]
            runs.append(FoundRun(folder, made["preset"], made["model"], made["seed"]))
    if not runs:
        raise ResultError("There are no results under results/: run the notebooks first (make figures).")
    return sorted(runs, key=lambda run: (run.preset, run.model, run.seed, run.name))


def compare(root: Path, runs: Sequence[FoundRun]) -> tuple[list[Path], list[str]]:
    """Draw the figures of one preset's runs and write its table of verdicts.

    Returns the paths of what was written, and a sentence for each curve that some run lacks.
    """
    preset, written, lacking = runs[0].preset, [], []
    for curve in CURVES:
        tables: dict[str, list[tuple[str, list[dict]]]] = {}
        for run in runs:
            path = run.folder / f"{curve.table}.json"
            if path.is_file():
                tables.setdefault(_short(run.model), []).append((run.name, read_table_file(path)))
            else:
                lacking.append(f"{run.name} has no table {curve.table}.")
        panels = panels_of(curve, tables) if tables else []
        if panels:
            drawing = {"xlabel": "relative depth", "columns": min(3, len(panels)), "panels": panels}
            path = _save(root, preset, curve.name, "layer_curves", drawing, runs, [curve.table])
            written.append(path)
    rows = labelled_claims(runs)
    if rows:
        written.append(_save(root, preset, "verdicts", "verdict_map", verdict_map(rows), runs, ["claims"]))
        table = root / "results" / "compare" / f"{preset}.md"
        table.parent.mkdir(parents=True, exist_ok=True)
        write_whole({table: (verdict_table(rows) + "\n").encode()})
        written.append(table)
    return written, list(dict.fromkeys(lacking))


def labelled_claims(runs: Sequence[FoundRun]) -> list[dict]:
    """The claims of all these runs, each row with its run, model and seed."""
    return [
        row | {"run": run.name, "model": _short(run.model), "seed": run.seed}
        for run in runs
        for path in sorted(run.folder.glob("??_claims.json"))
        for row in read_table_file(path)
    ]


def verdict_map(rows: Sequence[Mapping]) -> dict:
    """What `dotplots.verdict_map` draws: a row for each claim and method, a column for each run."""
    lines = sorted(
        {(row["claim"], row["method"]) for row in rows}, key=lambda key: (list(CLAIMS).index(key[0]), key[1])
    )
    runs = list(dict.fromkeys((row["model"], row["seed"], row["run"]) for row in rows))
    said = {(row["claim"], row["method"], row["run"]): row["verdict"] for row in rows}
    labels = [f"{model}, seed {seed}" for model, seed, _ in runs]  # runs that differ in more are called by their names
    shown = [run if labels.count(label) > 1 else label for label, (_, _, run) in zip(labels, runs, strict=True)]
    return {
        "rows": [f"{claim}, {method}" for claim, method in lines],
        "columns": shown,
        "values": [[said.get((*line, run)) for _, _, run in runs] for line in lines],
    }


def verdict_table(rows: Sequence[Mapping]) -> str:
    """The verdicts as Markdown: a row for each claim and method, a column for each run."""
    made = verdict_map(rows)
    lines = ["| claim and method | " + " | ".join(made["columns"]) + " |", "|---" * (len(made["columns"]) + 1) + "|"]
    for name, values in zip(made["rows"], made["values"], strict=True):
        lines.append(f"| {name} | " + " | ".join(value or "absent" for value in values) + " |")
    return "\n".join(lines)


def _save(
    root: Path, preset: str, name: str, figure: str, data: dict, runs: Sequence[FoundRun], tables: Sequence[str]
) -> Path:
    data = plain(data)
    made = {"preset": preset, "runs": [run.name for run in runs], "tables": list(tables)}
    made |= {"code": read_result(sorted(runs[0].folder.glob("??_*.json"))[0])["provenance"]["code"]}
    return save_figure(DRAW[figure](data), root / "figures" / "compare" / preset, name, figure, data, made)


def _short(model: str) -> str:
    """A model's name for a legend: of a path or a hub id, what stands last."""
    return model.rstrip("/").rsplit("/", 1)[-1].removesuffix(".toml")


def main(names: list[str]) -> None:
    """Compare all runs, or those named on the command line."""
    matplotlib.use("Agg")
    root = repo_root()
    try:
        found = find_runs(root, names)
        for preset in dict.fromkeys(run.preset for run in found):
            runs = [run for run in found if run.preset == preset]
            written, lacking = compare(root, runs)
            print(f"{preset}: compared {listed([run.name for run in runs])}.")
            for path in written:
                print(f"  wrote {path.relative_to(root)}")
            for sentence in lacking:
                print(f"  {sentence}")
            table = root / "results" / "compare" / f"{preset}.md"
            if table in written:
                print("\n" + table.read_text(encoding="utf-8"))
    except ResultError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
