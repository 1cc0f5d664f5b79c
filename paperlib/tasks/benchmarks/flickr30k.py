"""Flickr30K: one sentence about a picture, compared with five that people wrote, by CIDEr (`cider.py`).

The card's split "test" holds all 31,783 pictures. Karpathy's test split of 1,000, which papers report, is
`KARPATHY`: load(KARPATHY).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from paperlib.tasks.benchmarks.card import Card
from paperlib.tasks.benchmarks.cider import cider
from paperlib.tasks.benchmarks.draws import draw, texts_of
from paperlib.tasks.benchmarks.example import Example, content_key, stored_picture
from paperlib.tasks.benchmarks.hub_rows import Row, Table

KARPATHY = "nlphuji/flickr_1k_test_image_text_retrieval@refs/convert/parquet"
CARD = Card(
    name="Flickr30K",
    hub="lmms-lab-encoder/flickr30k",
    split="test",
    columns=("image", "caption", "sentids", "img_id", "filename"),
    licence="none on the card; pictures under the terms of Flickr, for research",
    citation="Young et al. 2014, From image descriptions to visual denotations, TACL 2",
    metric="CIDEr",
    prompts={
        "lmms-eval": "Provide a one-sentence caption for the provided image.",
        "qwen-vl": "Describe the image in English:",
    },
)


def load(
    source: str | Path | None = None, n: int | None = None, seed: int = 0, variant: str | None = None
) -> list[Example]:
    """Draw n of the pictures, drawn from all of them; all for None. ``info["captions"]`` holds what people wrote.

    Arguments and errors as in `draws.draw`; ``variant`` names the prompt that becomes the example's question.
    """

    def example_of(row: Row, number: int, table: Table) -> Example:
        identity = f"{CARD.name}/{CARD.split}/{row['img_id']}"
        captions = texts_of(row, "caption", identity)
        picture = stored_picture(row["image"], identity, table.folder)
        info = {"parts": {}, "captions": captions, "source": table.name}
        question = CARD.prompt({}, variant)
        key = content_key(picture)
        return Example(identity, CARD.name, "caption", CARD.split, question, captions[0], (), picture, key, info)

    examples = draw(CARD, source, n, seed, example_of)
    for example in examples:  # what a word weighs depends on all of them
        example.info["all_captions"] = {other.id: other.info["captions"] for other in examples}
    return examples


def prompt(example: Example, variant: str | None = None) -> str:
    """The prompt of a variant for an example. Raises ValueError for a variant that is not on the card."""
    return CARD.prompt(example.info["parts"], variant)


def score(reply: str, example: Example, tokenizer: str | None = None) -> dict:
    """{"correct": CIDEr of one caption among the pictures that were loaded together, "tokenizer": which}; it may pass
    1.

    Every call counts the words of all references again: `report` scores all captions at once, with the same numbers.
    """
    there = example.info["all_captions"]
    result = cider([reply if key == example.id else "" for key in there], list(there.values()), tokenizer)
    return {"correct": result["scores"][list(there).index(example.id)], "tokenizer": result["tokenizer"]}


def report(replies: Sequence[str], examples: Sequence[Example], tokenizer: str | None = None) -> dict:
    """CIDEr over all captions, as `cider.cider` returns it. Examples must be all that were loaded together.

    Raises ValueError if they are not, or if there are not as many replies.
    """
    if not examples or [example.id for example in examples] != list(examples[0].info["all_captions"]):
        raise ValueError("CIDEr weighs words by all pictures: give all examples that were loaded together, in order.")
    return cider(replies, [example.info["captions"] for example in examples], tokenizer)
