"""VQA accuracy: how well an answer agrees with ten that people gave (Antol et al. 2015;
VQA/PythonEvaluationTools/vqaEval.py).

An answer is right to the degree min(n / 3, 1), where n people of nine gave it; the degrees are averaged over which of
the ten is left out. Answers are first brought into one form: no punctuation, digits for small numbers, no articles,
apostrophes put back. It is the metric of VQAv2 and TextVQA, and no benchmark here is scored by it yet.
"""

from __future__ import annotations

from collections.abc import Sequence

from paperlib.tasks.benchmarks.punctuation import COMMA_IN_NUMBER, without_punctuation

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
DIGITS = {"none": "0", **{word: str(number) for number, word in enumerate(NUMBERS)}}
ARTICLES = {"a", "an", "the"}
# Words that lost their apostrophe get it back; the evaluation's table lists these. Each of the second list may have
# either of its apostrophes, but not both.
ONCE = """
ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd how'll how's isn't
it'd it'll ma'am mightn't might've mustn't must've needn't not've o'clock oughtn't shan't should've shouldn't
somebody'll somebody's someone'd someone'll someone's something'd something'll that's there'd there're there's they'd
they'll they're they've 'twas wasn't we've weren't what'll what're what's what've when's where'd where's where've
who'd who'll who's who've why'll why're why's won't would've wouldn't y'all you'd you'll you're you've
"""
TWICE = """
couldn't've hadn't've he'd've it'd've mightn't've she'd've shouldn't've somebody'd've someone'd've something'd've
there'd've they'd've we'd've who'd've wouldn't've y'all'll you'd've
"""
CONTRACTIONS = {
    **{word.replace("'", ""): word for word in ONCE.split()},
    **{word[:i] + word[i + 1 :]: word for word in TWICE.split() for i, sign in enumerate(word) if sign == "'"},
    **dict.fromkeys(("ow's'at", "'ows'at", "'ow'sat"), "'ow's'at"),
    **dict.fromkeys(("yall'd've", "y'alld've", "y'all'dve"), "y'all'd've"),
    "somebody'd": "somebodyd",  # as the table has it
}
LMMS_COMMA = r"\d,+\d"


def vqa_accuracy(reply: str, answers: Sequence[str], rule: str = "official") -> float:
    """The accuracy of a reply in [0, 1], given the answers of people (ten in VQA).

    rule: "official" brings answers into one form only where people differ, so that "A cat." is wrong where all said
    "cat". "lmms-eval" always does, and takes a run of commas in a number for one.

    Raises ValueError for fewer than two answers or an unknown rule.
    """
    if isinstance(answers, str) or len(answers) < 2:
        raise ValueError("VQA accuracy needs the answers of at least two people, as a list of texts.")
    if rule not in ("official", "lmms-eval"):
        raise ValueError(f"Unknown rule {rule!r}: use official or lmms-eval.")
    said, given = _one_line(reply), [_one_line(answer) for answer in answers]
    if rule == "lmms-eval" or len(set(given)) > 1:
        comma = LMMS_COMMA if rule == "lmms-eval" else COMMA_IN_NUMBER
        said, given = normalised(said, comma), [normalised(answer, comma) for answer in given]
    agree = [answer == said for answer in given]
    n = sum(agree)
    return sum(min(1.0, (n - one) / 3) for one in agree) / len(agree)


def normalised(text: str, comma_in_number: str = COMMA_IN_NUMBER) -> str:
    """An answer as VQA compares it.

    >>> normalised("Two of the dogs dont.")
    "2 of dogs don't"
    """
    words = without_punctuation(text, comma_in_number=comma_in_number).lower().split()
    words = [word for word in (DIGITS.get(word, word) for word in words) if word not in ARTICLES]
    return " ".join(CONTRACTIONS.get(word, word) for word in words)


def _one_line(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()
