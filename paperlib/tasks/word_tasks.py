"""What probes read from natural pictures: whether a picture's caption holds a word that is common in captions.

No question names the word. So a probe reads what the model noted of its own accord, and not what it is about to say.
A caption names only some of what a picture shows: "no" is a label with errors, the same for both modalities.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from paperlib.tasks.natural_pairs import Pair

LEAST = 12  # pictures with the word, and as many without: fewer leave nothing to test in a fold


@dataclass(frozen=True)
class WordTask:
    """A word, the n pairs that are asked about it (half of them with the word), and the labels "yes" and "no"."""

    word: str
    rows: np.ndarray  # [n] numbers of the pairs
    labels: np.ndarray  # [n]


def words_of(caption: str) -> set[str]:
    """The words of a caption that are no stop words (those of scikit-learn), in small letters, of three or more."""
    return {w for w in re.findall(r"[a-z]+", caption.lower()) if len(w) > 2} - ENGLISH_STOP_WORDS


def word_tasks(pairs: Sequence[Pair], words: int = 4, seed: int = 0) -> list[WordTask]:
    """A task for each of the most common words that at most half of the captions hold; rarer words first drop out.

    Each task has as many pairs with its word as without, drawn in a seeded order. Words that fewer than `LEAST`
    captions hold are left out, so there may be fewer tasks than asked for, or none.
    """
    held = [words_of(pair.caption) for pair in pairs]
    often = Counter(word for of in held for word in of)
    common = sorted((w for w, times in often.items() if LEAST <= times <= len(pairs) / 2), key=lambda w: (-often[w], w))
    found = []
    for number, word in enumerate(common[:words]):
        has = np.array([word in of for of in held])
        rng, n = np.random.default_rng([47, seed, number]), int(has.sum())
        rows = np.sort(np.concatenate([np.flatnonzero(has), rng.permutation(np.flatnonzero(~has))[:n]]))
        found.append(WordTask(word, rows, np.where(has[rows], "yes", "no")))
    return found
