"""How many sequences each notebook runs, from the study's budgets; a test counts what notebooks run and compares.

One sequence is one row of a forward pass through the LLM with more than one token. Counts follow the notebooks' cells.
"""

from __future__ import annotations

from dataclasses import dataclass

from paperlib.models.lineages import Lineage
from paperlib.study.study import Study

TEXT_TOKENS = 60  # of a question with its chat format and a choice, about
STAGES = 3
KINDS_OF_PICTURES, KINDS_OF_TEXT = 29, 2  # kinds of question with a picture, and without
KINDS_OF_BENCHMARKS = 22  # kinds of question with a picture of the miniature benchmarks
CHOICES = 2.3  # sequences that an example's choices need, about
TASKS = 5  # of the probes
WINDOWS = 7  # of blocks in a sweep


def arms_of(lineage: Lineage) -> int:
    """Checkpoints that are asked beside each other: bands, full tuning, and the model before; 0 without bands.

    A model that is built here counts as 2: all its arms are asked, each a few questions.
    """
    if lineage.built:
        return 2  # all arms, each asked little
    return len({*lineage.bands, "full"}) + (lineage.llm is not None) if lineage.bands else 0


@dataclass(frozen=True)
class Work:
    """What a notebook runs. share: of the blocks that a sequence passes, on average (sweeps resume in the middle)."""

    notebook: str
    sequences: int
    tokens: int
    share: float = 1.0

    def flops(self, weights: int) -> float:
        """Operations of all sequences through an LLM of so many weights: two for each weight and token."""
        return 2.0 * weights * self.sequences * self.tokens * self.share


def work_of(study: Study, image_tokens: int, arms: int = 0) -> list[Work]:
    """The work of each notebook of a study. arms: checkpoints that notebook 05 asks (`arms_of`)."""
    n, tokens = study.n_eval, image_tokens + TEXT_TOKENS
    asked = n * KINDS_OF_PICTURES * CHOICES
    scenes = max(48, 3 * n)
    swept = max(2, n // 5) * 10 * CHOICES
    points = min(2500, max(250, 25 * n))
    controls = 5 * max(75, points // 4)
    natural = points if study.pairs else 0
    # The miniature benchmarks share most records with notebook 01; of the public ones n are asked in all.
    small = study.benchmarks == "miniature"
    stages = n * (3 if small else 7) * CHOICES * (1 + 0.5 + 0.25)
    shown = 4 * max(2, n / 4) * (KINDS_OF_BENCHMARKS if small else 7) * CHOICES
    swept_too = (9 if small else 7) * max(2, 3 * n // 8) * CHOICES
    return [
        Work("00_meet_the_model", 60, tokens),
        Work("01_tune_a_vlm", round(asked * (1 + 0.5 + 0.25 + 3 * 0.5)), tokens),
        Work("02_probe_layers", scenes * (TASKS * (STAGES + 2) + 2 * (TASKS - 1)) + 2 * min(scenes, natural), tokens),
        Work("03_intervene_on_layers", round(swept * (WINDOWS * (2 + 3 + 1) + 20)), tokens, 0.6),
        Work("04_measure_geometry", points * (2 * STAGES + 1) + controls + natural * (STAGES + 1), tokens),
        Work("05_tune_a_band", round(asked / n * max(2, n / 2) * arms), tokens),
        Work("06_run_benchmarks", round(stages + shown + swept_too * (2 + 3 * WINDOWS * 0.5)), tokens),
        Work("07_weigh_the_claims", 0, tokens),  # it reads results and opens no model
    ]
