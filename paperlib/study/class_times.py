"""How long each notebook takes on machines of different kinds, as a table for the instructor's guide.

    python -m paperlib.study.class_times            # write it into docs/teach/guide.md from data/timings.json
    python -m paperlib.study.class_times --check    # exit status 1 if the guide says something else

data/timings.json holds what runs took that were measured on two cores (`models.run_time` reads the same file).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd

from paperlib.study.results import write_whole
from paperlib.study.study import repo_root
from paperlib.study.timings import TimingError, clock

BEGIN, END = "<!-- times: begin (python -m paperlib.study.class_times) -->", "<!-- times: end -->"
# What the precision of a measured run says of its CPU (models.precision).
MACHINES = {"bfloat16": "a CPU with AMX", "float32": "a CPU with AVX2 only"}


def class_table(measured: list[dict], preset: str = "mini") -> str:
    """The times as a Markdown table: a row for each notebook and one for all, a column for each kind of machine.

    measured: the list in data/timings.json, with seconds by notebook. Raises TimingError if a kind of machine was not
    measured at this preset, or another list of notebooks was.
    """
    found = {run["precision"]: run["seconds"] for run in measured if run["preset"] == preset}
    lacking = [kind for precision, kind in MACHINES.items() if precision not in found]
    if lacking:
        raise TimingError(f"data/timings.json holds no run of preset {preset} on {lacking[0]}: measure one and add it.")
    names = list(next(iter(found.values())))
    if any(list(seconds) != names for seconds in found.values()):
        raise TimingError(
            "data/timings.json lists other notebooks for one machine than for another: measure both again."
        )
    columns = {
        kind: [*found[precision].values(), sum(found[precision].values())] for precision, kind in MACHINES.items()
    }
    shown = {"notebook": [*names, "all"]} | {kind: [clock(s) for s in column] for kind, column in columns.items()}
    align = ("left", *("right" for _ in MACHINES))
    return str(pd.DataFrame(shown).to_markdown(index=False, colalign=align, disable_numparse=True))


def with_times(text: str, table: str) -> str:
    """A text with the table between its two marks. Raises TimingError if the text lacks them."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise TimingError(f"The guide must hold the marks {BEGIN!r} and {END!r} once each, in this order.")
    return f"{text[: text.index(BEGIN)]}{BEGIN}\n{table}\n{text[text.index(END) :]}"


def main(arguments: list[str], root: Path | None = None) -> None:
    """Write the table into the guide, or check it."""
    if arguments not in ([], ["--check"]):
        sys.exit("Say --check, or nothing to write the table into docs/teach/guide.md.")
    root = root or repo_root()
    guide = root / "docs" / "teach" / "guide.md"
    try:
        measured = json.loads((root / "data" / "timings.json").read_text(encoding="utf-8"))
        written = guide.read_text(encoding="utf-8")
        wanted = with_times(written, class_table(measured))
    except (TimingError, OSError) as error:
        sys.exit(f"paperlib.study.class_times: {error}")
    if arguments and written != wanted:
        sys.exit("The times in docs/teach/guide.md are stale: run python -m paperlib.study.class_times.")
    if written != wanted:
        write_whole({guide: wanted.encode()})


if __name__ == "__main__":
    main(sys.argv[1:])
