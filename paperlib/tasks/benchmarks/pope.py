"""POPE: is there such a thing in the picture? Yes-no questions with random, popular and adversarial negatives.

Three public rules read yes or no from a reply, and a model that answers in sentences scores very differently by each:

- "exact": the reply, stripped and in lower case, is "yes" or "no" (lmms-eval, tasks/pope/utils.py);
- "first sentence": of the text before the first full stop, without commas, "no" if one of the words is No, no or not,
  else "yes", so that nothing is unreadable (LLaVA, llava/eval/eval_pope.py, after POPE's own evaluate.py);
- "any word": yes or no if one of them is among the words and the other is not (VLMEvalKit, YOrN_Extraction).

"correct" is by the exact rule, so that it compares with lmms-eval's accuracy. `report` gives all three.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from paperlib.tasks.benchmarks.card import Card
from paperlib.tasks.benchmarks.draws import draw, refused, text_of
from paperlib.tasks.benchmarks.example import Example, content_key, stored_picture
from paperlib.tasks.benchmarks.hub_rows import Row, Table
from paperlib.tasks.benchmarks.punctuation import FULL_STOP_AFTER_NO_DIGIT, without_punctuation

CARD = Card(
    name="POPE",
    hub="lmms-lab-encoder/POPE",
    split="test",
    columns=("question_id", "question", "answer", "image", "category"),
    licence="none on the card; pictures of COCO 2014 under the terms of Flickr",
    citation="Li et al. 2023, Evaluating Object Hallucination in Large Vision-Language Models, arXiv 2305.10355",
    metric="accuracy by exact match",
    prompts={
        "llava": "{question}\nAnswer the question using a single word or phrase.",  # LLaVA-1.5's and lmms-eval's
        "plain": "{question}",
    },
)


def load(
    source: str | Path | None = None, n: int | None = None, seed: int = 0, variant: str | None = None
) -> list[Example]:
    """Draw n of the 9,000 questions, drawn from all of them; all for None. Their kind is the kind of negatives.

    Arguments and errors as in `draws.draw`; ``variant`` names the prompt that becomes the example's question.
    """

    def example_of(row: Row, number: int, table: Table) -> Example:
        kind = text_of(row, "category", str(number))
        identity = f"{CARD.name}/{CARD.split}/{kind}/{row['question_id']}"
        answer = text_of(row, "answer", identity).strip().lower()
        if answer not in ("yes", "no"):
            raise refused("answer", identity, "yes or no", answer)
        picture = stored_picture(row["image"], identity, table.folder)
        parts = {"question": text_of(row, "question", identity).strip()}
        return Example(
            identity,
            CARD.name,
            kind,
            CARD.split,
            CARD.prompt(parts, variant),
            answer,
            ("yes", "no"),
            picture,
            content_key(picture),
            {"parts": parts, "source": table.name},
        )

    return draw(CARD, source, n, seed, example_of)


def prompt(example: Example, variant: str | None = None) -> str:
    """The prompt of a variant for an example. Raises ValueError for a variant that is not on the card."""
    return CARD.prompt(example.info["parts"], variant)


def exact(reply: str) -> str | None:
    """Yes or no by lmms-eval's rule; None for any other reply."""
    text = reply.lower().strip()
    return text if text in ("yes", "no") else None


def first_sentence(reply: str) -> str:
    """Yes or no by LLaVA's rule. Words are parted by blanks alone, and letter case counts: "NO" is a yes."""
    words = reply.split(".")[0].replace(",", "").split(" ")
    return "no" if {"No", "not", "no"} & set(words) else "yes"


def any_word(reply: str) -> str | None:
    """Yes or no by VLMEvalKit's rule; None, "Unknown" there, for a reply with both or neither."""
    words = set(without_punctuation(reply.lower(), FULL_STOP_AFTER_NO_DIGIT).split())
    said = words & {"yes", "no"}
    return said.pop() if len(said) == 1 else None


RULES: dict[str, Callable[[str], str | None]] = {"exact": exact, "first sentence": first_sentence, "any word": any_word}


def score(reply: str, example: Example) -> dict:
    """{"correct": 1.0 or 0.0 by the exact rule, "rules": {rule: {"said": yes, no or None, "correct": 1.0 or 0.0}}}."""
    said = {name: rule(reply) for name, rule in RULES.items()}
    rules = {name: {"said": word, "correct": float(word == example.answer)} for name, word in said.items()}
    return {"correct": rules["exact"]["correct"], "rules": rules}


def report(replies: Sequence[str], examples: Sequence[Example]) -> dict[str, dict[str, float]]:
    """By rule: accuracy, precision, recall, f1 (of "yes"), yes_rate, unreadable (shares in [0, 1]) and n.

    A ratio without a denominator is 0. An unreadable reply counts as no yes, as in VLMEvalKit: lmms-eval leaves it out
    of the recall, which is then higher the fewer replies can be read. ``yes_rate`` is the share of yes among the
    answers; lmms-eval's pope_yes_ratio is the share among the truths, which is the same for every model.

    Raises ValueError if there are no replies, or not as many as examples.
    """
    if not replies or len(replies) != len(examples):
        raise ValueError(f"There must be as many replies as examples, got {len(replies)} and {len(examples)}.")
    truths = [example.answer for example in examples]
    return {name: _ratios([rule(reply) for reply in replies], truths) for name, rule in RULES.items()}


def _ratios(said: list[str | None], truths: list[str]) -> dict[str, float]:
    n, yes, true = len(said), said.count("yes"), truths.count("yes")
    both = sum(word == truth == "yes" for word, truth in zip(said, truths, strict=True))
    return {
        "accuracy": sum(word == truth for word, truth in zip(said, truths, strict=True)) / n,
        "precision": both / yes if yes else 0.0,
        "recall": both / true if true else 0.0,
        "f1": 2 * both / (yes + true) if yes + true else 0.0,
        "yes_rate": yes / n,
        "unreadable": said.count(None) / n,
        "n": n,
    }
