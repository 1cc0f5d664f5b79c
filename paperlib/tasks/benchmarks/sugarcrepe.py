"""SugarCrepe: which of two captions is right? The wrong one swaps, replaces or adds an object, attribute or relation.

It was made for models that score a picture and a text. A model that writes is asked in one of three ways:

- by the likelihood of both captions after the picture (`by_likelihood`, variant "likelihood");
- as (A) or (B) in both orders, for many models say A whatever is there (`by_letters`, variants "letters" and
  "letters swapped", where the right caption is (A) and (B));
- the control (`by_length`): the shorter caption, without a picture. It finds most of the "add" sets.

None of lmms-eval and VLMEvalKit has this benchmark, so there is no public rule to compare with.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

from paperlib.tasks.benchmarks.card import Card, SourceError
from paperlib.tasks.benchmarks.draws import draw, refused, text_of, texts_of
from paperlib.tasks.benchmarks.example import Example, content_key, stored_picture
from paperlib.tasks.benchmarks.hub_rows import Row, Table
from paperlib.tasks.benchmarks.letters import mmmu_letter

KINDS = ("add_att", "add_obj", "replace_att", "replace_obj", "replace_rel", "swap_att", "swap_obj")
ASKED = "Which caption describes the picture?\n(A) {first}\n(B) {second}\nAnswer with the option's letter directly."
CARD = Card(
    name="SugarCrepe",
    hub="HuggingFaceM4/SugarCrepe_{kind}",
    split="test",
    columns=("image", "tested_labels", "true_label"),
    licence="MIT; pictures of COCO 2017 under the terms of Flickr",
    citation="Hsieh et al. 2023, SugarCrepe, arXiv 2306.14610",
    metric="accuracy of the choice between two captions",
    prompts={
        "likelihood": "Provide a one-sentence caption for the provided image.",
        "letters": ASKED.format(first="{right}", second="{wrong}"),
        "letters swapped": ASKED.format(first="{wrong}", second="{right}"),
    },
    # The hub's own conversion to parquet: the README of the main branch, 928 kB, slows loading.
    revision="refs/convert/parquet",
)


def load(
    source: str | Path | None = None, n: int | None = None, seed: int = 0, variant: str | None = None
) -> list[Example]:
    """Draw n pairs of each of the seven sets, drawn from all of each; all for None. Their kind is the set, such as
    "add_obj".

    ``choices`` are the right and the wrong caption, or "A" and "B" for the variants by letter. A source is as in
    `hub_rows.open_table`: for all sets, an id with "{kind}" in it, or a folder with a folder for each of some sets;
    else one set, whose name ends with its kind. Other arguments and errors as in `draws.draw`.
    """
    return [example for kind, place in _sets(source) for example in _load_set(kind, place, n, seed, variant)]


def _sets(source: str | Path | None) -> list[tuple[str, str | Path]]:
    name = CARD.hub if source is None else str(source)
    if "{kind}" in name:
        return [(kind, name.replace("{kind}", kind)) for kind in KINDS]
    folder = Path(name).expanduser()
    if folder.is_dir():
        inner = sorted(path for path in folder.iterdir() if path.is_dir())
        found = [(kind, path) for kind in KINDS for path in inner if path.name in (kind, f"SugarCrepe_{kind}")]
        if found:
            return [(kind, path) for kind, path in found]
    last = re.split(r"[/\\@]", name)[1 if "@" in name and not folder.is_dir() else -1]
    for kind in KINDS:
        if last.endswith(kind):
            return [(kind, name)]
    raise SourceError(f"{name!r} names no set of {CARD.name}: give one whose name ends with one of {', '.join(KINDS)}.")


def _load_set(kind: str, source: str | Path, n: int | None, seed: int, variant: str | None) -> list[Example]:
    def example_of(row: Row, number: int, table: Table) -> Example:
        identity = f"{CARD.name}/{CARD.split}/{kind}/{number}"
        labels, right = texts_of(row, "tested_labels", identity, least=2), text_of(row, "true_label", identity)
        if len(set(labels)) != 2 or right not in labels:
            raise refused("tested_labels", identity, "two captions, with the true label among them", labels)
        [wrong] = set(labels) - {right}
        swapped = {"letters": "A", "letters swapped": "B"}.get(variant or "")
        picture = stored_picture(row["image"], identity, table.folder)
        parts = {"right": right, "wrong": wrong}
        return Example(
            identity,
            CARD.name,
            kind,
            CARD.split,
            CARD.prompt(parts, variant),
            swapped or right,
            ("A", "B") if swapped else (right, wrong),
            picture,
            content_key(picture),
            {"parts": parts, "source": table.name},
        )

    card = dataclasses.replace(CARD, hub=CARD.hub.replace("{kind}", kind))
    if source == card.hub:  # the card's own, at the card's revision
        source = f"{card.hub}@{card.revision}"
    return draw(card, source, n, seed, example_of)


def prompt(example: Example, variant: str | None = None) -> str:
    """The prompt of a variant for an example. Raises ValueError for a variant that is not on the card."""
    return CARD.prompt(example.info["parts"], variant)


def score(reply: str, example: Example) -> dict:
    """{"correct": 1.0 or 0.0, "letter": as read or None, "by_length": what the shorter caption scores}.

    By likelihood the reply is the caption that the model prefers. By letter it is what the model says, read as in MMMU.
    """
    letter = None
    if example.choices == ("A", "B"):
        letter = mmmu_letter(reply, {"A": "(A)", "B": "(B)"})  # the letter alone, for no caption holds "(A)"
    correct = float((letter if example.choices == ("A", "B") else reply) == example.answer)
    return {"correct": correct, "letter": letter, "by_length": by_length(**example.info["parts"])}


def by_likelihood(logprobs: Sequence[float], tokens: Sequence[int]) -> dict[str, float]:
    """{"sum", "mean"}: 1.0 where the right caption is likelier, by its sum and by its mean per token; a tie is 0.0.

    Args:
        logprobs: summed log-probability of the right and the wrong caption, in nats.
        tokens: how many tokens each sum runs over. A caption with words added is less likely by the sum for that alone.

    Raises ValueError unless there are two of each, and at least one token.
    """
    if len(logprobs) != 2 or len(tokens) != 2 or min(tokens) < 1:
        raise ValueError(
            f"Two captions need two sums and two numbers of tokens, got {len(logprobs)} and {list(tokens)}."
        )
    (right, wrong), (n, m) = logprobs, tokens
    return {"sum": float(right > wrong), "mean": float(right / n > wrong / m)}


def by_letters(right_first: str | None, wrong_first: str | None) -> dict[str, float]:
    """What the letters that were said in both orders are worth; None for a reply without one.

    Returns "correct" (the mean over both orders), "both" (1.0 if right in both), "said_a" (the share of A among the
    two) and "unreadable" (the share of None). A model that always says A has correct 0.5, both 0.0 and said_a 1.0.
    """
    right = (right_first == "A", wrong_first == "B")
    said = (right_first, wrong_first)
    return {
        "correct": sum(right) / 2,
        "both": float(all(right)),
        "said_a": said.count("A") / 2,
        "unreadable": said.count(None) / 2,
    }


def by_length(right: str, wrong: str) -> float:
    """1.0 if the right caption has fewer characters, 0.5 for as many, else 0.0."""
    return 0.5 if len(right) == len(wrong) else float(len(right) < len(wrong))
