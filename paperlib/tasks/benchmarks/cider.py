"""CIDEr of captions (Vedantam et al. 2015, arXiv 1411.5726), the variant CIDEr-D of the package pycocoevalcap.

Captions are first parted into words. The public numbers use the Penn Treebank tokenizer of that package, which needs
Java. Where there is none, a simple one is used, which differs on rare forms; every result says which it was.
"""

from __future__ import annotations

import importlib
import re
import shutil
from collections.abc import Sequence
from typing import Any

from paperlib.tasks.benchmarks.card import SourceError
from paperlib.tasks.benchmarks.hub_rows import EXTRA

PTB, SIMPLE = "ptb", "simple"
WORD = re.compile(r"'(?:s|m|d|re|ve|ll)\b|[^\W_]+(?:[-.,/'&][^\W_]+)*")
PARTED = re.compile(r"(n't|'(?:s|m|d|re|ve|ll))\b")


def cider(captions: Sequence[str], references: Sequence[Sequence[str]], tokenizer: str | None = None) -> dict:
    """{"cider": the mean, "scores": one per caption, "tokenizer": "ptb" or "simple", "n"}; 10 is a perfect match.

    How much a word weighs depends on how few pictures' references hold it, so a score is only meant among its N
    pictures; with one picture it is 0.

    Args:
        captions: [N] texts, one per picture.
        references: [N] lists of texts, what people wrote about the same pictures.
        tokenizer: "ptb" or "simple"; None for "ptb" where Java is installed, else "simple".

    Raises SourceError if pycocoevalcap is missing, or Java is and "ptb" was asked for; ValueError for an unknown
    tokenizer, no captions, other numbers of captions and references, and a picture without references.
    """
    if not captions or len(captions) != len(references):
        raise ValueError(f"There must be as many captions as references, got {len(captions)} and {len(references)}.")
    if any(isinstance(texts, str) or not texts for texts in references):
        raise ValueError("Every picture needs a list of at least one reference.")
    if tokenizer is None:
        tokenizer = PTB if shutil.which("java") else SIMPLE
    if tokenizer not in (PTB, SIMPLE):
        raise ValueError(f"Unknown tokenizer {tokenizer!r}: use {PTB} or {SIMPLE}.")
    words = _ptb if tokenizer == PTB else _simple
    said = words([[caption] for caption in captions])
    there = words([list(texts) for texts in references])
    scorer = _package("pycocoevalcap.cider.cider").Cider()
    mean, scores = scorer.compute_score(dict(enumerate(there)), dict(enumerate(said)))
    return {"cider": float(mean), "scores": [float(s) for s in scores], "tokenizer": tokenizer, "n": len(captions)}


def simple_words(text: str) -> str:
    """The words of a text in lower case, parted by blanks, without punctuation.

    Endings such as 's and n't are words of their own, as in the Penn Treebank; hyphens, and signs within numbers, stay.

    >>> simple_words("The dog's red T-shirt, isn't it?")
    "the dog 's red t-shirt is n't it"
    """
    text = PARTED.sub(r" \1", text.lower().replace("’", "'"))
    return " ".join(re.findall(rf"n't\b|{WORD.pattern}", text))


def _simple(captions: list[list[str]]) -> list[list[str]]:
    return [[simple_words(text) for text in texts] for texts in captions]


def _ptb(captions: list[list[str]]) -> list[list[str]]:
    if not shutil.which("java"):
        raise SourceError("The tokenizer 'ptb' needs Java: install it, or use 'simple'.")
    tokenizer = _package("pycocoevalcap.tokenizer.ptbtokenizer").PTBTokenizer()
    rows = {i: [{"caption": " ".join(text.split())} for text in texts] for i, texts in enumerate(captions)}
    try:
        found = tokenizer.tokenize(rows)
    except OSError as error:  # it writes beside its own files
        raise SourceError(f"The tokenizer 'ptb' cannot run ({type(error).__name__}): use 'simple'.") from error
    return [found[i] for i in range(len(captions))]


def _package(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SourceError(f"CIDEr needs a package: {EXTRA}.") from error
