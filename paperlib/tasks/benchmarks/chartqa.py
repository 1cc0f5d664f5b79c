"""ChartQA: questions about charts, answered with a number or a word, scored by relaxed accuracy.

The rule is that of Pix2Struct (Lee et al. 2023), which Qwen-VL, lmms-eval and others took over. `score` follows it
string for string; `paperlib.scoring.metrics.relaxed_match` also reads commas in numbers and drops outer blanks.
"""

from __future__ import annotations

from pathlib import Path

from paperlib.tasks.benchmarks.card import Card
from paperlib.tasks.benchmarks.draws import draw, text_of
from paperlib.tasks.benchmarks.example import Example, content_key, stored_picture
from paperlib.tasks.benchmarks.hub_rows import Row, Table

CARD = Card(
    name="ChartQA",
    hub="lmms-lab-encoder/ChartQA",
    split="test",
    columns=("type", "question", "answer", "image"),
    licence="GPL-3.0",
    citation="Masry et al. 2022, ChartQA, arXiv 2203.10244; rule of Lee et al. 2023, Pix2Struct, arXiv 2210.03347",
    metric="relaxed accuracy, 5 %",
    prompts={
        "lmms-eval": "{question}\nAnswer the question with a single word.",
        "llava": "{question}\nAnswer the question using a single word or phrase.",
        "qwen-vl": "{question} Answer:",
        "plain": "{question}",
    },
)
TOLERANCE = 0.05


def load(
    source: str | Path | None = None, n: int | None = None, seed: int = 0, variant: str | None = None
) -> list[Example]:
    """Draw n of the 2,500 questions, drawn from all of them; all for None. Their kind is "human" or "augmented".

    Arguments and errors as in `draws.draw`; ``variant`` names the prompt that becomes the example's question.
    """

    def example_of(row: Row, number: int, table: Table) -> Example:
        identity = f"{CARD.name}/{CARD.split}/{number}"
        picture = stored_picture(row["image"], identity, table.folder)
        parts = {"question": text_of(row, "question", identity)}
        return Example(
            identity,
            CARD.name,
            text_of(row, "type", identity).removesuffix("_test"),
            CARD.split,
            CARD.prompt(parts, variant),
            text_of(row, "answer", identity),
            (),
            picture,
            content_key(picture),
            {"parts": parts, "source": table.name},
        )

    return draw(CARD, source, n, seed, example_of)


def prompt(example: Example, variant: str | None = None) -> str:
    """The prompt of a variant for an example. Raises ValueError for a variant that is not on the card."""
    return CARD.prompt(example.info["parts"], variant)


def score(reply: str, example: Example) -> dict:
    """{"correct": 1.0 or 0.0}: a number within 5 % of the answer, any other answer equal but for letter case.

    A number is what Python reads as one, with signs of percent behind: "45%" is 0.45 and "1,200" is a text. An answer
    of 0 is compared as a text, so "0.0" is wrong there. Outer blanks count in texts: strip a reply when it is
    generated.
    """
    said, true = _number(reply), _number(example.answer)
    if said is None or not true:
        return {"correct": float(reply.lower() == example.answer.lower())}
    return {"correct": float(abs(said - true) / abs(true) <= TOLERANCE)}


def _number(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100.0 if text.endswith("%") else float(text)
    except ValueError:
        return None
