"""The stages of tuning side by side: what each was trained on, what each answers, and whether the tuned model passes.

The rules (`TARGETS`, `TEXT_MARGIN`) were written before the numbers. Notebook 01 applies them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from paperlib.models.vlm import VLM
from paperlib.scoring.evaluation import evaluate
from paperlib.scoring.records import Record
from paperlib.stats.accuracy import intervals_apart
from paperlib.stats.bootstrap import Interval
from paperlib.study.study import Study
from paperlib.tasks.conversations import Conversation
from paperlib.tuning.lineage_stages import Stages
from paperlib.tuning.packing import pack

# Least accuracies of the tuned model on test scenes of seen concepts, and what text-only questions may lose.
TARGETS = {"colour": 0.90, "shape": 0.90, "existence": 0.90, "count": 0.90, "name": 0.80}
TEXT_MARGIN = 0.05
FAR = ("held-out concepts", "outside", "text")  # suites beyond what tuning showed
CONDITIONS = {"its own picture": "own", "another picture": "other", "blank picture": "blank", "no picture": "none"}
ENDS = 10  # steps that the first and the last loss are means of


def training_rows(records: Mapping[str, dict]) -> list[dict]:
    """A row for each stage from its `stages.training_record`: its data, its length and recipe, and where its loss began
    and ended (mean over `ENDS` steps, in nats per token).
    """
    rows = []
    for stage, run in records.items():
        recipe, loss, llm = run["recipe"], run["loss"], run["recipe"]["stage"] == 2
        rows.append(
            {
                "stage": stage,
                "pictures": run["n"],
                "steps": recipe["steps"],
                "supervised tokens": run["supervised_tokens"],
                "minutes": run["seconds"] / 60,
                "rate, connector": recipe["lr_connector"],
                "rate, LLM": recipe["lr_llm"] if llm else None,
                "LoRA rank": recipe["rank"] if llm else None,
                "steps of matching": recipe["matching"],
                "seed": run["seed"],
                "loss at first": float(np.mean(loss[:ENDS])),
                "loss at last": float(np.mean(loss[-ENDS:])),
            }
        )
    return rows


def packed_turns(vlm: VLM, talk: Conversation, turns: int = 6, length: int = 4000) -> dict:
    """The first turns of a conversation as they are packed: data of the figure `packed_mask`."""
    talk = Conversation(talk.picture, talk.turns[:turns])
    branch = pack(vlm, [talk], length).branch[0]
    return {
        "turns": [f"{question} {answer}" for question, answer in talk.turns],
        "branch": branch[branch >= 0].tolist(),
    }


def ask_stages(models: Stages, study: Study) -> dict[str, dict[str, list[Record]]]:
    """Records of each stage by suite: the tuned model is asked everything, the one before half, the untrained less.

    The untrained model (a quarter) only shows what the choices alone give, and one suite tells that. Suite "text" is
    asked in full, so that its questions pair before and after tuning.
    """
    asked = {models.untrained: max(1, study.n_eval // 4), models.before: half(study), models.tuned: study.n_eval}
    found = {}
    for stage in models.names:
        suites = ("pictures",) if stage == models.untrained else ("pictures", *FAR)
        found[stage] = {s: evaluate(models[stage], study, s, n=None if s == "text" else asked[stage]) for s in suites}
    return found


def half(study: Study) -> int:
    """Half of the study's examples by kind, at least one."""
    return max(1, study.n_eval // 2)


def ask_conditions(vlm: VLM, study: Study, own: Sequence[Record]) -> dict[str, list[Record]]:
    """Records by what the model is shown: its own picture, another, a blank one, none. The last three ask half as many.

    own: records of suite "pictures" with the own picture. Only kinds of scenes and charts are asked: captions and
    knowledge are other benchmarks.
    """
    kinds = list(dict.fromkeys(r.kind for r in own if r.benchmark in ("scenes", "charts")))
    return {
        name: [r for r in own if r.kind in kinds]
        if images == "own"
        else evaluate(vlm, study, "pictures", images, kinds, half(study))
        for name, images in CONDITIONS.items()
    }


def judge(shown: Mapping[str, Mapping[str, Interval]], text: Interval | None, before: str | None) -> list[dict]:
    """The rules applied: {"rule", "target", "measured", "apart", "reached"} for each target and for text.

    shown: accuracy by condition (`CONDITIONS`) and kind. text: tuned minus ``before``, a stage's name, on text-only
    questions; None for both where there is no stage before, and then there is no row for text. A kind is reached if its
    accuracy is at least its target; ``apart`` tells whether its interval is also apart from those of another and of a
    blank picture, and is None for text.
    """
    own, other, blank = (shown[name] for name in ("its own picture", "another picture", "blank picture"))
    rows = [
        {
            "rule": kind,
            "target": target,
            "measured": own[kind],
            "apart": intervals_apart(own[kind], other[kind]) and intervals_apart(own[kind], blank[kind]),
            "reached": own[kind].value >= target,
        }
        for kind, target in TARGETS.items()
    ]
    if text is None:
        return rows
    text_row = {"rule": f"text, tuned minus {before}", "target": -TEXT_MARGIN, "measured": text, "apart": None}
    return [*rows, text_row | {"reached": text.value >= -TEXT_MARGIN}]
