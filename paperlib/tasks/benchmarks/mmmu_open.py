"""MMMU's rule for open questions (Yue et al. 2024; mmmu/utils/eval_utils.py, parse_open_response and eval_open).

lmms-eval holds the same two functions but hands only one of the parsed pieces on, and that letter by letter, so that
its open questions are nearly always wrong. The official rule is taken here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# Words after which an answer tends to stand; "=" counts in the last line alone.
SIGNS_OF_ANSWER = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
TRIVIAL = set(":,.!?;'")
NUMBERS = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),
    re.compile(r"-?\d+(?:\.\d+)?[eE][+-]?\d+"),
    re.compile(r"-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])"),
)
Piece = str | float


def open_match(reply: str, answers: Iterable[str]) -> bool:
    """Whether a reply holds one of the answers: as a number to two decimals, or as a text within one of its pieces."""
    wanted = [piece for answer in answers for piece in normalised(answer)]
    texts = [piece for piece in wanted if isinstance(piece, str)]
    for piece in pieces(reply):
        if any(text in piece for text in texts) if isinstance(piece, str) else piece in wanted:
            return True
    return False


def pieces(reply: str) -> list[Piece]:
    """What a reply may answer: the ends of its lines after a sign of an answer, or all of it, and the numbers
    therein.
    """
    text = reply.strip().strip(".").lower()
    lines = text.split("\n")  # the script also parts sentences at capitals, of which lower case has none
    ends = []
    for number, line in enumerate(lines):
        signs = (*SIGNS_OF_ANSWER, "=") if number == len(lines) - 1 else SIGNS_OF_ANSWER
        end = _shortest([line.split(sign)[-1].strip() for sign in signs if sign in line])
        if end and end not in TRIVIAL:
            ends.append(end)
    ends = ends or [text]
    numbers = [found for end in ends for pattern in NUMBERS for found in pattern.findall(end)]
    return [piece for text in ends + numbers for piece in normalised(text)]


def _shortest(ends: list[str]) -> str:
    """The shortest, the first of equal ones. The script forgets an empty end when another follows, and so does this."""
    shortest = ""
    for end in ends:
        if not shortest or len(end) < len(shortest):
            shortest = end
    return shortest


def normalised(text: str) -> list[Piece]:
    """A number to two decimals, or the text in lower case; one character is wanted with a blank on either side of
    it.
    """
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        text = text.lower()
        return [f" {text}", f"{text} "] if len(text) == 1 else [text]
