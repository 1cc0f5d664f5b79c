"""What the cells of a notebook share: the study, a clock, and the four things that a cell leaves behind.

book = Notebook("02_probe_layers", globals())     # the first cell after the parameters
book.write("transfer", rows, {"accuracy": "%"}, n=480)    # results/<run>/02_transfer.json
book.publish("transfer", "layer_curves", drawing, n=480)  # figures/<run>/02_transfer.pdf, .png and .json
book.say(f"Transfer begins at {onset:.2f} of the depth.")  # a sentence, computed, shown as text
book.claim("C2", "probe transfer", verdict, sentence, 480)  # a row of results/<run>/02_claims.json
book.finish()
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from IPython import get_ipython
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from paperlib.figures.publish import publish
from paperlib.figures.rows import frame
from paperlib.stats.conditions import Verdict
from paperlib.stats.tables import read_table, write_table
from paperlib.stats.words import would_decide
from paperlib.study.results import provenance
from paperlib.study.study import Study


class Notebook:
    """A run of one notebook. ``study`` says which run it is.

    Seconds in the provenance of a table or figure are those since the one before it (or since the beginning): what
    computing and drawing it took, if cells run from top to bottom.
    """

    def __init__(self, name: str, parameters: dict):
        """name: the notebook's file name without its ending. parameters: the notebook's ``globals()``.

        Raises StudyError for parameters that cannot be used.
        """
        self.name, self.study = name, Study.of_notebook(parameters)
        shell = get_ipython()
        if shell is not None and hasattr(shell, "kernel"):  # MPLBACKEND=agg would leave the notebook without pictures
            shell.run_line_magic("matplotlib", "inline")
        self.number = name.split("_")[0]
        self.started = self._mark = time.perf_counter()
        self._wanted: set = set()
        self._claims: list[dict] = []
        self._absent: list[dict] = []

    def write(
        self, name: str, rows: Iterable[Mapping], units: Mapping[str, str] | None = None, n: int = 1, **extra: Any
    ) -> list[dict]:
        """Write a named table of this notebook (`paperlib.stats.tables`) and return its rows.

        units: by column. n: examples behind the numbers. extra: more provenance.
        """
        made = provenance(self.study, self._lap(), n, notebook=self.name, **extra)
        return write_table(self.study, f"{self.number}_{name}", rows, units or {}, made)

    def read(self, name: str) -> list[dict]:
        """The rows of a table of this run, by its full name ("02_transfer"), whichever notebook wrote it.

        Raises ResultError if that notebook has not run; the message says so.
        """
        return read_table(self.study, name)

    def publish(
        self, name: str, figure: str, data: dict, n: int = 1, results: Sequence[str] = (), **extra: Any
    ) -> Figure:
        """Draw a figure, save it with the numbers drawn, and return it for the notebook to show.

        figure: a drawing function by its name (`paperlib.figures.DRAW`). n: examples behind the numbers. results: the
        tables that the numbers came from, by full name ("02_transfer"); they must have been written. extra: more
        provenance.
        """
        name, extra = f"{self.number}_{name}", {"notebook": self.name} | extra
        return publish(self.study, name, figure, data, self._lap(), n, results, **extra)

    def say(self, *sentences: str) -> None:
        """Show sentences as text, if there are any. What a run decides is said so, and never typed into a text cell."""
        if sentences:
            display(Markdown("\n\n".join(sentences)))

    def show(self, rows: Sequence[Mapping], formats: str | Mapping[str, str] = ".3g", index: int = 1) -> None:
        """Show rows as a table, the first ``index`` columns in front.

        formats: of decimals and intervals, as behind the colon of an f-string (".0%"): one for all columns, or by
        column and ".3g" for the rest. Whole numbers are shown whole, and a dash stands where there is no value.
        """
        with pd.option_context("display.max_colwidth", None):
            display(frame(rows, formats, index))

    def absent(self, what: str, why: str) -> None:
        """Say what this run lacks and why, and record it in the table NN_absent: no cell is skipped in silence."""
        self._absent.append({"what": what, "why": why})
        self.write("absent", self._absent)
        self.say(f"*Absent: {what}.* {why[0].upper()}{why[1:]}.")

    def claim(
        self,
        claim: str,
        method: str,
        verdict: Verdict,
        finding: str,
        n: int,
        event: str | None = None,
        by_paper: Verdict | None = None,
    ) -> None:
        """Record what one method says of a claim, and show it. README's table is made of these rows.

        claim: "C1" to "C6". finding: one sentence with the numbers. n: examples behind the verdict. event: what the
        method looks at, where another one looks at the same (`stats.verdicts`); by default the method's name.
        by_paper: what the rule says where the paper's band is the middle, if it speaks of a middle.
        """
        needed = None if verdict.times is None else math.ceil(n * verdict.times)
        row: dict = {
            "claim": claim,
            "method": method,
            "event": event or method,
            "verdict": verdict.word,
            "finding": finding,
        }
        row |= {"n": n, "needed": needed, "by the paper's band": by_paper and by_paper.word}
        self._claims.append(row)
        self.write("claims", self._claims, n=n)
        said = [f"**{claim}, by {method}: {verdict}.** {finding}", f"n = {n:,}.", *would_decide(verdict, needed)]
        if by_paper:
            said.append(f"With the paper's band as the middle: *{by_paper}*.")
        self.say(" ".join(said))

    def finish(self) -> None:
        """Say how long the notebook took. What an earlier run lacked or claimed, and this one does not, is removed."""
        for name, told in (("absent", self._absent), ("claims", self._claims)):
            if not told:
                (self.study.results / f"{self.number}_{name}.json").unlink(missing_ok=True)
        print(f"done in {time.perf_counter() - self.started:.0f} s")

    def _lap(self) -> float:
        before, self._mark = self._mark, time.perf_counter()
        return self._mark - before
