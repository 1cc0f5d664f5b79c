"""README's table of claims, written from results.

    python -m paperlib.figures.claims            # write it into README.md from results/mini/
    python -m paperlib.figures.claims --check    # exit status 1 if README.md says something else

Each notebook leaves the table ``results/<run>/NN_claims.json`` (`Notebook.claim`). The text between the two marks in
README.md is made of these and of nothing else.
"""

from __future__ import annotations

import sys
from pathlib import Path

from paperlib.stats.tables import read_table_file
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


def claims_table(folder: Path) -> str:
    """The table as Markdown: a row for each claim and method, in the order of claims, with the n behind it.

    folder: results/<run>. Raises ResultError if it holds no claims.
    """
    rows = [row for path in sorted(folder.glob("??_claims.json")) for row in read_table_file(path)]
    if not rows:
        raise ResultError(f"There are no claims in results/{folder.name}/: run the notebooks first (make figures).")
    rows.sort(key=lambda row: list(CLAIMS).index(row["claim"]))
    lines = ["| claim | by | verdict here | what was seen | n |", "|---|---|---|---|---:|"]
    for i, row in enumerate(rows):
        first = i == 0 or rows[i - 1]["claim"] != row["claim"]
        claim = f"{row['claim']}, {CLAIMS[row['claim']]}" if first else ""
        cells = (claim, row["method"], f"**{row['verdict']}**", row["finding"], f"{row['n']:,}")
        # A bar or a line break in a cell would end it.
        lines.append(f"| {' | '.join(' '.join(cell.replace('|', chr(92) + '|').split()) for cell in cells)} |")
    return "\n".join(lines)


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
