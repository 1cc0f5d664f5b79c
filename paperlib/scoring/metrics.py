"""The metrics of single benchmarks: POPE's report, objects named in captions, ChartQA's match."""

import math
import re
from collections.abc import Collection, Iterable, Sequence
from numbers import Real

from paperlib.stats.accuracy import _check_records
from paperlib.study.checks import shown


def yes_no_report(records: Sequence) -> dict[str, float]:
    """The report of POPE (Li et al. 2023, arXiv 2305.10355), with "yes" as the positive class.

    Returns accuracy, precision, recall, f1 and yes_rate (share of "yes" among the predictions), in [0, 1],
    and n. A ratio without a denominator is 0, as in scikit-learn with `zero_division=0`.

    Raises:
        ValueError: no records, or answers or predictions other than yes and no.
    """
    _check_records(records)
    for r in records:
        if not {r.answer, r.prediction} <= {"yes", "no"}:
            raise ValueError(f"A yes/no report needs yes/no questions, but {r.id!r} has {r.answer!r}.")
    said = sum(r.prediction == "yes" for r in records)
    true = sum(r.answer == "yes" for r in records)
    both = sum(r.prediction == r.answer == "yes" for r in records)
    n, right = len(records), sum(r.prediction == r.answer for r in records)
    return {"accuracy": right / n, **_prf(both, said, true), "yes_rate": said / n, "n": n}


def object_f1(
    captions: Sequence[str], truths: Sequence[Iterable[str]], vocabulary: Collection[str]
) -> dict[str, float]:
    """Precision, recall and F1 of the objects that captions name, summed over captions (micro-averaged).

    A name counts where it stands as whole words, letter case aside; of two names that start at the same word
    the longer one is taken, and its words are used up ("hot dog" is no "dog"). Naming an object twice counts
    once.

    Args:
        captions: [N] texts.
        truths: [N] sets of the names of the objects that are there; each name must be in `vocabulary`.
        vocabulary: all names that are looked for.

    Raises:
        ValueError: no captions, lengths that differ, or a truth outside the vocabulary.
    """
    for name, texts in (
        ("Captions", captions),
        ("A vocabulary", vocabulary),
        *(("A truth", truth) for truth in truths),
    ):
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{name} must be a list of texts, got {shown(texts)}.")
    if len(captions) == 0 or len(captions) != len(truths):
        raise ValueError(f"There must be as many captions as truths, got {len(captions)} and {len(truths)}.")
    names = {tuple(_words(v)): v for v in vocabulary}
    longest = max(map(len, names), default=0)
    both = said = true = 0
    for caption, truth in zip(captions, map(set, truths), strict=True):
        if not truth <= set(vocabulary):
            raise ValueError(f"The vocabulary lacks {min(truth - set(vocabulary))!r}, which a truth holds.")
        found, words, at = set(), _words(caption), 0
        while at < len(words):
            lengths = range(min(longest, len(words) - at), 0, -1)
            n = next((n for n in lengths if tuple(words[at : at + n]) in names), 0)
            if n:
                found.add(names[tuple(words[at : at + n])])
            at += n or 1
        both, said, true = both + len(found & truth), said + len(found), true + len(truth)
    return _prf(both, said, true)


def relaxed_match(prediction: str, answer: str, tolerance: float = 0.05) -> bool:
    """ChartQA's relaxed accuracy (Masry et al. 2022): numbers within 5 % of the answer, other texts equal.

    Percentages are read as fractions, thousands may be set off by commas, letter case and outer spaces don't
    count. The tolerance is relative, so an answer of 0 must be met exactly. The public rule,
    string for string, is `paperlib.tasks.benchmarks.chartqa.score`.
    """
    if not isinstance(prediction, str) or not isinstance(answer, str):
        raise ValueError(f"A prediction and its answer must be texts, got {shown(prediction)} and {shown(answer)}.")
    if isinstance(tolerance, bool) or not isinstance(tolerance, Real) or not 0 <= tolerance < math.inf:
        raise ValueError(f"tolerance must be a share of at least 0, got {shown(tolerance)}.")
    p, a = _number(prediction), _number(answer)
    if p is None or a is None:
        return prediction.strip().lower() == answer.strip().lower()
    return abs(p - a) <= tolerance * abs(a) * (1 + 1e-9)  # 39.9 is within 5 % of 42, whatever floats say


def _prf(both: int, said: int, true: int) -> dict[str, float]:
    """Precision, recall and F1 from counts of hits, predicted and true positives."""
    return {
        "precision": both / said if said else 0.0,
        "recall": both / true if true else 0.0,
        "f1": 2 * both / (said + true) if said + true else 0.0,
    }


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", text.lower())


def _number(text: str) -> float | None:
    """The number a text is, if it is one: "12", "1,200", "-0.5", "45%" (0.45)."""
    m = re.fullmatch(r"([+-]?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[+-]?\d+)?)(%?)", text.strip().lower())
    return float(m[1].replace(",", "")) / (100 if m[2] else 1) if m else None
