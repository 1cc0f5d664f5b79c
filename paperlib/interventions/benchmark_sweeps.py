"""Which layers does a benchmark need? Each window of blocks is exchanged or closed, benchmark by benchmark.

Three methods, each with an effect for every window and example, in percentage points of the answer's probability:

- "necessity": what is lost if a window of the tuned model gets its blocks from before tuning;
- "sufficiency": what is gained if a window of the model with blocks from before gets tuned ones;
- "knockout": what is lost if nothing behind the picture may attend to it in a window.

Examples with a free answer are given choices first (`tasks.benchmarks.made_choices`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np

from paperlib.interventions.edits import knockout
from paperlib.interventions.sweep_scores import answer_probabilities, image_tokens, tokens_after_image, with_donor
from paperlib.interventions.sweeps import Sweep
from paperlib.models.precision import mixed_precision
from paperlib.models.vlm import VLM
from paperlib.scoring.choices import Chunk
from paperlib.stats.effects import paired_difference
from paperlib.stats.interval import Interval
from paperlib.stats.multiplicity import Family, simultaneous_intervals
from paperlib.stats.votes import Vote
from paperlib.tasks.benchmarks import Example

NECESSITY, SUFFICIENCY, KNOCKOUT = "necessity", "sufficiency", "knockout"
POINTS = (-100.0, 100.0)  # between which effects lie
CONTRASTS = ("middle minus early", "middle minus late")


@dataclass(frozen=True)
class Swept:
    """What was found for the n examples of one benchmark.

    groups: the picture of each, [n]. tuned, before: points of the answer's probability [n], of the tuned model and of
    the tuned model with the blocks from before tuning (None without them). effects: {method: [windows, n]}, in points.
    """

    groups: list[str]
    tuned: np.ndarray
    before: np.ndarray | None
    effects: dict[str, np.ndarray]

    def gap(self, seed: int = 0) -> Interval | None:
        """What tuning the blocks adds to the score, in points; None without blocks from before."""
        return None if self.before is None else paired_difference(self.tuned, self.before, self.groups, seed=seed)


def sweep_benchmark(
    tuned: VLM, before: VLM | None, examples: Sequence[Example], windows: Sequence[range], batch_size: int = 32
) -> Swept:
    """Sweep one benchmark whose examples have choices.

    Args:
        tuned: the tuned model.
        before: the tuned model with the blocks from before tuning (`models.before_after.with_blocks`), or None.
        examples: of one benchmark, all with a picture or none.
        windows: of blocks.
        batch_size: sequences at once.

    Raises ValueError as `sweeps.Sweep` and `edits.transplant` do.
    """
    starts = [window.start for window in windows]
    from_tuned = Sweep(tuned, examples, at=starts, batch_size=batch_size)
    high = answer_probabilities(examples, from_tuned.clean())
    effects, low = dict[str, np.ndarray](), None
    if before is not None:
        from_before = Sweep(before, examples, at=starts, batch_size=batch_size)
        low = answer_probabilities(examples, from_before.clean())
        effects[NECESSITY] = 100 * (high - with_donor(from_tuned, before, windows))
        effects[SUFFICIENCY] = 100 * (with_donor(from_before, tuned, windows) - low)
    if all(example.picture is not None for example in examples):
        effects[KNOCKOUT] = 100 * (high - _without_picture(from_tuned, windows))
    groups = [example.group for example in examples]
    return Swept(groups, 100 * high, None if low is None else 100 * low, effects)


def _without_picture(sweep: Sweep, windows: Sequence[range]) -> np.ndarray:
    """Scores with all attention to the picture closed in one window at a time, [windows, n]."""

    def closed(window: range) -> Callable[[Chunk], AbstractContextManager]:
        return lambda chunk: knockout(sweep.vlm, window, tokens_after_image(chunk), image_tokens(chunk))

    with mixed_precision(sweep.vlm.device, sweep.fast):  # weights are rounded once for all windows
        found = [sweep.under(window.start, closed(window)) for window in windows]
    return np.array([answer_probabilities(sweep.examples, records) for records in found])


def profile_rows(swept: Mapping[str, Swept], centres: Sequence[float], seed: int = 0) -> list[dict]:
    """{"benchmark", "method", "depth", "effect", "n"} for each window: mean effects in points, intervals together.

    All intervals hold together over windows, methods and benchmarks (`multiplicity.simultaneous_intervals`).
    """
    families = [
        Family(np.concatenate(list(of.effects.values())), of.groups, limits=POINTS)
        for of in swept.values()
        if of.effects
    ]
    found = simultaneous_intervals(families, seed=seed) if families else []
    rows = []
    for (name, of), intervals in zip(((n, s) for n, s in swept.items() if s.effects), found, strict=True):
        cells = [(method, depth) for method in of.effects for depth in centres]
        for (method, depth), interval in zip(cells, intervals, strict=True):
            rows.append({"benchmark": name, "method": method, "depth": depth, "effect": interval, "n": interval.n})
    return rows


def gap_rows(swept: Mapping[str, Swept], seed: int = 0) -> list[dict]:
    """{"benchmark", "before", "tuned", "gap", "takes part", "n"}: probabilities in percent, the gap in points.

    Gaps hold together. A benchmark takes part in the vote if its gap lies above 0 with its interval.
    """
    known = {name: of for name, of in swept.items() if of.before is not None}
    families = [
        Family(np.array([of.tuned - of.before]), of.groups, limits=POINTS)
        for of in known.values()
        if of.before is not None
    ]
    gaps = [of[0] for of in simultaneous_intervals(families, seed=seed)] if families else []
    return [
        {
            "benchmark": name,
            "before": float(of.before.mean()) if of.before is not None else None,
            "tuned": float(of.tuned.mean()),
            "gap": gap,
            "takes part": gap.low > 0,
            "n": gap.n,
        }
        for (name, of), gap in zip(known.items(), gaps, strict=True)
    ]


def vote_rows(votes: Mapping[tuple[str, str], Vote]) -> list[dict]:
    """{"benchmark", "method", `CONTRASTS` (points), "vote", "n"} of the votes by (benchmark, method)."""
    return [
        {"benchmark": name, "method": method}
        | dict(zip(CONTRASTS, (found.over_early, found.over_late), strict=True))
        | {"vote": found.vote, "n": found.over_early.n}
        for (name, method), found in votes.items()
    ]


def clear_windows(rows: Sequence[Mapping]) -> list[str]:
    """For each method of the rows of one benchmark, the windows whose effect lies above 0, in words."""
    found = []
    for method in dict.fromkeys(row["method"] for row in rows):
        at = [f"{row['depth']:.2f}" for row in rows if row["method"] == method and row["effect"].low > 0]
        found.append(f"{method} at {', '.join(at)}" if at else f"{method} nowhere")
    return found
