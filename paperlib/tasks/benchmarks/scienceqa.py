"""ScienceQA-IMG: school questions about a picture, with two to five options, answered by letter.

Two public rules read the letter: lmms-eval's ("b", "B" and "B. ...") and LLaVA's ("B", "B. ..." and "The answer is
B."). "correct" is by lmms-eval's, since its prompt asks for the letter directly; "llava" is by the other.
"""

from __future__ import annotations

from pathlib import Path

from paperlib.tasks.benchmarks.card import Card
from paperlib.tasks.benchmarks.draws import draw, refused, text_of, texts_of
from paperlib.tasks.benchmarks.example import Example, content_key, stored_picture
from paperlib.tasks.benchmarks.hub_rows import Row, Table
from paperlib.tasks.benchmarks.letters import lettered, letters, llava_letter, lmms_letter

ASKED = "\nAnswer with the option's letter from the given choices directly."
CARD = Card(
    name="ScienceQA-IMG",
    hub="lmms-lab-encoder/ScienceQA",
    config="ScienceQA-IMG",
    split="test",
    columns=("image", "question", "choices", "answer", "hint"),
    licence="CC BY-NC-SA 4.0, or CC BY-SA 4.0: sources differ",
    citation="Lu et al. 2022, Learn to Explain, arXiv 2209.09513",
    metric="accuracy of the letter",
    prompts={
        "lmms-eval": "{context_line}{question}\n{lettered}" + ASKED,
        "llava": "{cqm}" + ASKED,
        "qwen-vl": "Context: {context}\nQuestion: {question}\nOptions: {lettered}\nAnswer:",
    },
)


def load(
    source: str | Path | None = None, n: int | None = None, seed: int = 0, variant: str | None = None
) -> list[Example]:
    """Draw n of the 2,017 questions, drawn from all of them; all for None. Their kind is the subject, where rows name
    one.

    Arguments and errors as in `draws.draw`; ``variant`` names the prompt that becomes the example's question.
    """

    def example_of(row: Row, number: int, table: Table) -> Example:
        identity = f"{CARD.name}/{CARD.split}/{number}"
        options = texts_of(row, "choices", identity, least=2)
        answer, names = row["answer"], letters(len(options))
        if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(options):
            raise refused("answer", identity, f"a whole number from 0 to {len(options) - 1}", answer)
        hint = text_of(row, "hint", identity, empty=True)
        picture = stored_picture(row["image"], identity, table.folder)
        parts = {
            "question": text_of(row, "question", identity),
            "context_line": f"Context: {hint}\n" if hint else "",
            "context": hint.strip() or "N/A",
            "lettered": lettered(options),
        }
        # LLaVA's scripts/convert_sqa_to_llava.py in the form CQM-A, asked with --single-pred-prompt as in scripts/v1_5.
        bracketed = lettered(options, "({letter}) {option}", " ")
        cqm = f"Context: {parts['context']}\nQuestion: {parts['question']}\nOptions: {bracketed}\n"
        parts["cqm"] = cqm.replace("  ", " ").strip()
        return Example(
            identity,
            CARD.name,
            str(row.get("subject") or "science"),
            CARD.split,
            CARD.prompt(parts, variant),
            names[answer],
            tuple(names),
            picture,
            content_key(picture),
            {"parts": parts, "options": options, "source": table.name},
        )

    return draw(CARD, source, n, seed, example_of)


def prompt(example: Example, variant: str | None = None) -> str:
    """The prompt of a variant for an example. Raises ValueError for a variant that is not on the card."""
    return CARD.prompt(example.info["parts"], variant)


def score(reply: str, example: Example) -> dict:
    """{"correct": by lmms-eval's rule, "letter": what it read or None, "llava": {"correct", "letter"} by LLaVA's}."""
    n = len(example.choices)
    read, other = lmms_letter(reply, n), llava_letter(reply, n)
    return {
        "correct": float(read == example.answer),
        "letter": read,
        "llava": {"correct": float(other == example.answer), "letter": other},
    }
