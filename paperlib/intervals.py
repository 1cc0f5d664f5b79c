"""From records to numbers with intervals: accuracy, differences, and the reports of single benchmarks.

Questions about the same scene are not independent, so every interval is a bootstrap over groups (scenes), not
over questions: the one that `paperlib.resampling` describes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from numbers import Real

from .checks import shown
from .effects import paired_difference
from .resampling import Interval, group_intervals


def accuracy(records: Sequence, level: float = 0.95, n_boot: int = 2000, seed: int = 0) -> Interval:
    """Share of records answered correctly, with its interval over groups.

    Raises:
        ValueError: no records, repeated ids, a level outside (0, 1), n_boot below 1.
    """
    _check_records(records)
    groups = [r.group for r in records]
    return group_intervals([[r.correct for r in records]], groups, (0, 1), level, n_boot, seed)[0]


def accuracy_difference(
    records_a: Sequence, records_b: Sequence, level: float = 0.95, n_boot: int = 2000, seed: int = 0
) -> Interval:
    """Accuracy of a minus accuracy of b over the same examples, in any order: `effects.paired_difference` of records.

    Raises:
        ValueError: as `accuracy`, or the two hold different examples.
    """
    _check_records(records_a)
    _check_records(records_b)
    b = {r.id: r.correct for r in records_b}
    if {r.id for r in records_a} != b.keys():
        alone = min({r.id for r in records_a} ^ b.keys())
        raise ValueError(f"A paired difference needs the same examples twice, but one side lacks {alone!r}.")
    mine, theirs = [r.correct for r in records_a], [b[r.id] for r in records_a]
    return paired_difference(mine, theirs, [r.group for r in records_a], (-1, 1), level, n_boot, seed)


def intervals_apart(a: Interval, b: Interval) -> bool:
    """Whether two intervals share no value; a paired difference may exclude 0 well before that."""
    return a.low > b.high or b.low > a.high


def summarize(records: Sequence, by: str | Callable = "kind", **options) -> dict[str, Interval]:
    """Accuracy by kind of question (`by="kind"`), by benchmark, or by what a function says of each record, in
    order of appearance.

    `options` are those of `accuracy`.
    """
    if not callable(by) and by not in ("kind", "benchmark"):
        raise ValueError(f"Records are summarized by 'kind', 'benchmark' or a function, got {by!r}.")
    label = by if callable(by) else lambda record: getattr(record, by)
    parts: dict[str, list] = {}
    for r in records:
        parts.setdefault(label(r), []).append(r)
    return {name: accuracy(part, **options) for name, part in parts.items()}


def chance(records: Sequence) -> float:
    """Accuracy of guessing uniformly among the choices. Raises ValueError for no records, or one without choices."""
    _check_records(records)
    if free := [r.id for r in records if not len(r.logprobs)]:
        raise ValueError(f"Guessing needs choices, and {free[0]!r} has none: leave free answers out.")
    return math.fsum(1 / len(r.logprobs) for r in records) / len(records)


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
    for name, texts in (("Captions", captions), ("A vocabulary", vocabulary), *(("A truth", truth) for truth in truths)):
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{name} must be a list of texts, got {shown(texts)}.")
    if len(captions) == 0 or len(captions) != len(truths):
        raise ValueError(f"There must be as many captions as truths, got {len(captions)} and {len(truths)}.")
    names = {tuple(_words(v)): v for v in vocabulary}
    longest = max(map(len, names), default=0)
    both = said = true = 0
    for caption, truth in zip(captions, map(set, truths)):
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
    count. The tolerance is relative, so an answer of 0 must be met exactly.
    """
    if not isinstance(prediction, str) or not isinstance(answer, str):
        raise ValueError(f"A prediction and its answer must be texts, got {shown(prediction)} and {shown(answer)}.")
    if isinstance(tolerance, bool) or not isinstance(tolerance, Real) or not 0 <= tolerance < math.inf:
        raise ValueError(f"tolerance must be a share of at least 0, got {shown(tolerance)}.")
    p, a = _number(prediction), _number(answer)
    if p is None or a is None:
        return prediction.strip().lower() == answer.strip().lower()
    return abs(p - a) <= tolerance * abs(a) * (1 + 1e-9)  # 39.9 is within 5 % of 42, whatever floats say


def _check_records(records: Sequence) -> None:
    if len(records) == 0:
        raise ValueError("There are no records: score some examples first.")
    if len({r.id for r in records}) < len(records):
        raise ValueError("Records repeat an id: score each example once per condition.")


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
