"""MMMU: college questions over pictures; most have options, some are open.

Letters are read by the official parser (`letters.mmmu_letter`), which guesses where it cannot read. Here the guess
depends on a seed and the question alone, and every score says whether it was one. Open questions are scored as in
`mmmu_open`.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from paperlib.tasks.benchmarks.card import Card
from paperlib.tasks.benchmarks.draws import draw, refused, text_of
from paperlib.tasks.benchmarks.example import Example, content_key, stored_picture
from paperlib.tasks.benchmarks.hub_rows import Row, Table
from paperlib.tasks.benchmarks.letters import guess, lettered, letters, mmmu_letter
from paperlib.tasks.benchmarks.mmmu_open import open_match

BY_LETTER = "Answer with the option's letter from the given choices directly."
IN_WORDS = "Answer the question using a single word or phrase."
CARD = Card(
    name="MMMU",
    hub="lmms-lab-encoder/MMMU",
    split="validation",
    columns=("id", "question", "options", "image_1", "answer", "question_type"),
    licence="Apache-2.0",
    citation="Yue et al. 2024, MMMU, arXiv 2311.16502",
    metric="accuracy by the official parser, guesses included",
    prompts={
        "lmms-eval": "{question}{lettered_lines}\n\n{asked}",
        "official": "{question}{bracketed_lines}\n{asked}",  # mmmu/configs/llava1.5.yaml, as YAML folds it
    },
)
KINDS = ("multiple-choice", "open")
PICTURES = range(1, 8)


def load(
    source: str | Path | None = None, n: int | None = None, seed: int = 0, variant: str | None = None
) -> list[Example]:
    """Draw n of the 900 validation questions, drawn from all of them; all for None. Their kind is the type of question.

    ``picture`` is the first picture, the only one that the official run of LLaVA-1.5 shows; ``info["pictures"]`` holds
    all of a question, which may name them as "<image 2>". ``choices`` are letters, and empty for open questions, whose
    answers ``info["answers"]`` lists. Arguments and errors as in `draws.draw`; ``variant`` names the prompt that
    becomes the example's question.
    """

    def example_of(row: Row, number: int, table: Table) -> Example:
        identity = f"{CARD.name}/{text_of(row, 'id', str(number))}"
        kind = text_of(row, "question_type", identity)
        if kind not in KINDS:
            raise refused("question_type", identity, f"one of {', '.join(KINDS)}", kind)
        options = _texts(row["options"], "options", identity)
        answers = _answers(row["answer"], identity)
        names = letters(len(options)) if kind == "multiple-choice" and len(options) > 1 else ""
        if kind == "multiple-choice" and (len(answers) != 1 or answers[0] not in tuple(names)):
            raise refused("answer", identity, f"a letter of {len(options)} options", row["answer"])
        values = [row.get(f"image_{i}") for i in PICTURES]
        pictures = [stored_picture(value, identity, table.folder) for value in values if value is not None]
        pictures = pictures or [stored_picture(None, identity, table.folder)]  # which is refused
        keys = [content_key(picture) for picture in pictures]  # each must be one that can be shown
        parts = {
            "question": text_of(row, "question", identity),
            "lettered_lines": "\n" + lettered(options) if names else "",
            "bracketed_lines": "\n" + lettered(options, "({letter}) {option}") + "\n" if names else "",
            "asked": BY_LETTER if names else IN_WORDS,
        }
        info = {
            "parts": parts,
            "options": options,
            "answers": answers,
            "pictures": tuple(pictures),
            "subject": re.sub(r"^[^_]+_|_\d+$", "", str(row["id"])),
            "source": table.name,
        }
        question = CARD.prompt(parts, variant)
        return Example(
            identity, CARD.name, kind, CARD.split, question, answers[0], tuple(names), pictures[0], keys[0], info
        )

    return draw(CARD, source, n, seed, example_of)


def prompt(example: Example, variant: str | None = None) -> str:
    """The prompt of a variant for an example. Raises ValueError for a variant that is not on the card."""
    return CARD.prompt(example.info["parts"], variant)


def score(reply: str, example: Example, seed: int = 0) -> dict:
    """What a reply is worth by the official rule.

    Returns "correct" (1.0 or 0.0), "guessed" (True where no letter could be read and one was drawn), "letter" (as read
    or drawn; None for open questions), "correct_unguessed" (a guess counts as wrong), and for questions with options
    "lmms_eval_letter", read by lmms-eval's looser rule (None where it would guess).
    """
    if not example.choices:
        correct = float(open_match(reply, example.info["answers"]))
        return {"correct": correct, "guessed": False, "letter": None, "correct_unguessed": correct}
    options = dict(zip(example.choices, example.info["options"], strict=True))
    read = mmmu_letter(reply, options)
    letter = guess("".join(options), example.id, seed) if read is None else read
    return {
        "correct": float(letter == example.answer),
        "guessed": read is None,
        "letter": letter,
        "correct_unguessed": float(read == example.answer),
        "lmms_eval_letter": mmmu_letter(reply, options, "lmms-eval"),
    }


def _texts(value: Any, column: str, identity: str) -> list[str]:
    """A list of texts that is stored as a text, "['one', 'two']", as the hub has it."""
    try:
        found = ast.literal_eval(value) if isinstance(value, str) else value
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        found = None
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise refused(column, identity, "a list of texts, written as a text", value)
    return found


def _answers(value: Any, identity: str) -> list[str]:
    """One answer, or several that are stored as a text, as the official answers are lists where several are right."""
    if isinstance(value, str) and re.fullmatch(r"\s*\[\s*['\"].*\]\s*", value, re.DOTALL):
        return _texts(value, "answer", identity)
    if not isinstance(value, str) or not value.strip():
        raise refused("answer", identity, "a text", value)
    return [value]
