"""README's table of claims, written from results.

    python -m paperlib.figures.claims            # write it into README.md from results/mini/
    python -m paperlib.figures.claims --check    # exit status 1 if README.md says something else

Each notebook leaves the table ``results/<run>/NN_claims.json`` (`Notebook.claim`). The text between the two marks in
README.md is made of these and of nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from paperlib.stats.conditions import Verdict
from paperlib.stats.tables import read_table_file
from paperlib.stats.verdicts import by_groups
from paperlib.stats.words import listed
from paperlib.study.results import ResultError, write_whole
from paperlib.study.study import Study, repo_root

BEGIN, END = "<!-- claims: begin (make claims) -->", "<!-- claims: end -->"
CLAIMS = {
    "C1": "pictures enter at the middle layers and bypass the early ones",
    "C2": "the middle layers are the semantic core",
    "C3": "the middle layers are critical for benchmarks",
    "C4": "tuning extends and strengthens the abstraction phase",
    "C5": "tuning brings pictures to where text already was",
    "C6": "tuning the middle layers alone keeps performance in less time",
}


def claim_rows(folder: Path) -> list[dict]:
    """What the notebooks of a run claimed, a row for each method, notebook by notebook.

    folder: results/<run>. Raises ResultError if it holds no claims.
    """
    rows = [row for path in sorted(folder.glob("??_claims.json")) for row in read_table_file(path)]
    if not rows:
        raise ResultError(f"There are no claims in results/{folder.name}/: run the notebooks first (make figures).")
    return rows


def claims_table(folder: Path) -> str:
    """The table as Markdown, in the order of claims: a row for each method, with its n and the n that would decide, and
    a row for the claim as a whole, where methods that look at one event are counted once (`verdicts.by_groups`).

    folder: results/<run>. Raises ResultError if it holds no claims.
    """
    rows = claim_rows(folder)
    lines = ["| claim | by | verdict here | what was seen | n | n that would decide |", "|---|---|---|---|---:|---:|"]
    for claim, text in CLAIMS.items():
        of = [row for row in rows if row["claim"] == claim]
        for i, row in enumerate(of):
            needed = "" if row["needed"] is None else f"{row['needed']:,}"
            cells = (f"{claim}, {text}" if i == 0 else "", row["method"], f"**{row['verdict']}**", row["finding"])
            lines.append(_line(*cells, f"{row['n']:,}", needed))
        if len(of) > 1:
            shared = [" and ".join(names) for names in events_of(of).values() if len(names) > 1]
            once = f"counted once, as one event: {listed(shared)}" if shared else ""
            lines.append(_line("", "*all methods*", f"**{overall(of)}**", once, "", ""))
    return "\n".join(lines)


def events_of(rows: Sequence[Mapping]) -> dict[str, list[str]]:
    """The methods of a claim by the event that they look at."""
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["event"], []).append(row["method"])
    return found


def overall(rows: Sequence[Mapping]) -> str:
    """The verdict on a claim from all rows about it, in words."""
    said: dict[str, list[Verdict]] = {}
    for row in rows:
        said.setdefault(row["event"], []).append(Verdict(row["verdict"]))
    return by_groups(said)[1].word


def _line(*cells: str) -> str:
    # A bar or a line break in a cell would end it.
    return f"| {' | '.join(' '.join(cell.replace('|', chr(92) + '|').split()) for cell in cells)} |"


def with_table(text: str, table: str) -> str:
    """A text with the table between its two marks. Raises ResultError if the text lacks them."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ResultError(f"README.md must hold the marks {BEGIN!r} and {END!r} once each, in this order.")
    return f"{text[: text.index(BEGIN)]}{BEGIN}\n{table}\n{text[text.index(END) :]}"


def main(arguments: list[str]) -> None:
    """Write the table into README.md, or check it."""
    if arguments not in ([], ["--check"]):
        sys.exit("Say --check, or nothing to write the table into README.md.")
    readme = repo_root() / "README.md"
    try:
        written = readme.read_text(encoding="utf-8")
        wanted = with_table(written, claims_table(Study.make("mini").results))
    except ResultError as error:
        sys.exit(str(error))
    if arguments and written != wanted:
        sys.exit("README.md's table of claims is stale: run make claims.")
    if written != wanted:
        write_whole({readme: wanted.encode()})


if __name__ == "__main__":
    main(sys.argv[1:])
