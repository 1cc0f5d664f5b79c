"""MMLU-Pro: knowledge and reasoning in text, three to ten options, answered by letter after a chain of thought.

The letter is read in three official steps (TIGER-AI-Lab/MMLU-Pro, evaluate_from_local.py), the first that finds one:

1. the first "answer is (B)", with or without brackets;
2. after the last "Answer: " or "answer: " of the first line that has one;
3. the last capital from A to J that stands as a word.

Else a letter is drawn among the question's options, from a seed and the question alone, and the score says so. (The
official compute_accuracy.py draws among ten letters, whatever the options.) lmms-eval stops after the first step and
does not guess.
"""

from __future__ import annotations

import re
from pathlib import Path

from paperlib.tasks.benchmarks.card import Card
from paperlib.tasks.benchmarks.draws import draw, refused, text_of, texts_of
from paperlib.tasks.benchmarks.example import Example
from paperlib.tasks.benchmarks.hub_rows import Row, Table, open_table
from paperlib.tasks.benchmarks.letters import guess, lettered, letters

SHOTS, SHOTS_SPLIT, THOUGHT = 5, "validation", "Answer: Let's think step by step."
INTRODUCTION = (
    "The following are multiple choice questions (with answers) about {category}. Think step by step and then finish "
    'your answer with "the answer is (X)" where X is the correct letter choice.\n\n\n\n'
)
ASKED = "Question:\n{question}\nOptions:\n{lettered}\n"
CARD = Card(
    name="MMLU-Pro",
    hub="TIGER-Lab/MMLU-Pro",
    split="test",
    columns=("question_id", "question", "options", "answer", "answer_index", "cot_content", "category"),
    licence="MIT",
    citation="Wang et al. 2024, MMLU-Pro, arXiv 2406.01574",
    metric="accuracy by the official three steps, guesses included",
    prompts={
        "five-shot": INTRODUCTION + "{shots}" + ASKED + THOUGHT,
        "zero-shot": INTRODUCTION + ASKED + THOUGHT,
        "direct": "{question}\n{lettered}\nAnswer with the option's letter from the given choices directly.",
    },
)
STEPS = (
    re.compile(r"answer is \(?([A-J])\)?"),
    re.compile(r".*[aA]nswer:\s*([A-J])"),
    re.compile(r"\b([A-J])\b(?!.*\b[A-J]\b)", re.DOTALL),
)


def load(
    source: str | Path | None = None, n: int | None = None, seed: int = 0, variant: str | None = None
) -> list[Example]:
    """Draw n of the 12,032 questions, drawn from all of them; all for None. Their kind is the category.

    The default prompt has five shots, the category's first rows of the split "validation", which the source must then
    have. Options "N/A" are left out, as the official scripts do. Arguments and errors as in `draws.draw`; ``variant``
    names the prompt that becomes the example's question.
    """
    CARD.prompt(dict.fromkeys(("category", "shots", "question", "lettered"), ""), variant)  # is it one?
    shots = _shots(source) if variant in (None, "five-shot") else None

    def example_of(row: Row, number: int, table: Table) -> Example:
        identity = f"{CARD.name}/{CARD.split}/{row['question_id']}"
        options = _options(row, identity)
        names, answer = letters(len(options)), text_of(row, "answer", identity)
        if answer not in tuple(names) or row["answer_index"] != names.index(answer):
            raise refused("answer", identity, f"the letter of option {row['answer_index']} from 0", answer)
        category = text_of(row, "category", identity)
        parts = {"category": category, "question": text_of(row, "question", identity), "lettered": lettered(options)}
        if shots is not None:
            parts["shots"] = "".join(shots.get(category, []))
        return Example(
            identity,
            CARD.name,
            category,
            CARD.split,
            CARD.prompt(parts, variant),
            answer,
            tuple(names),
            None,
            identity,
            {"parts": parts, "options": options, "source": table.name},
        )

    return draw(CARD, source, n, seed, example_of)


def _options(row: Row, identity: str) -> list[str]:
    options = [option for option in texts_of(row, "options", identity, least=2) if option != "N/A"]
    if not 2 <= len(options) <= 10:
        raise refused("options", identity, "2 to 10 options", options)
    return options


def _shots(source: str | Path | None) -> dict[str, list[str]]:
    """By category, the first questions of the validation split with their chains of thought."""
    shots: dict[str, list[str]] = {}
    for number, row in enumerate(open_table(CARD, source, SHOTS_SPLIT).rows):
        identity = f"{CARD.name}/{SHOTS_SPLIT}/{number}"
        found = shots.setdefault(text_of(row, "category", identity), [])
        if len(found) < SHOTS:
            thought = text_of(row, "cot_content", identity).replace(f"A: {THOUGHT[8:]}", THOUGHT)
            asked = ASKED.format(
                question=text_of(row, "question", identity), lettered=lettered(_options(row, identity))
            )
            found.append(f"{asked}{thought}\n\n")
    return shots


def prompt(example: Example, variant: str | None = None) -> str:
    """The prompt of a variant for an example.

    Raises ValueError for a variant that is not on the card, and for five shots if the examples were loaded without.
    """
    return CARD.prompt(example.info["parts"], variant)


def read_letter(reply: str) -> tuple[str | None, int | None]:
    """The letter in a reply and the step, 1 to 3, that found it; None and None if no step does."""
    for number, step in enumerate(STEPS, 1):
        if found := step.search(reply):
            return found[1], number
    return None, None


def score(reply: str, example: Example, seed: int = 0) -> dict:
    """What a reply is worth by the official steps.

    Returns "correct" (1.0 or 0.0), "guessed" (True where no letter could be read and one was drawn), "letter", "step"
    (None for a guess), "correct_unguessed" (a guess counts as wrong) and "correct_first_step", which is lmms-eval's
    exact_match.
    """
    read, step = read_letter(reply)
    letter = guess("".join(example.choices), example.id, seed) if read is None else read
    return {
        "correct": float(letter == example.answer),
        "guessed": read is None,
        "letter": letter,
        "step": step,
        "correct_unguessed": float(read == example.answer),
        "correct_first_step": float(step == 1 and read == example.answer),
    }
