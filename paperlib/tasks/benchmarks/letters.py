"""Options by letter: how they are shown in a prompt, how a letter is read from a reply, and seeded guesses.

Each rule is that of a public script, string for string. The commits that they were compared with stand in
``tests/fixtures/make_replies.py``.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from string import ascii_uppercase

STATED = re.compile("The answer is ([A-Z]).")  # any character may end it: the script's full stop is not escaped


def letters(n: int) -> str:
    """The letters of n options: "ABCD". Raises ValueError for less than two or more than 26."""
    if not 2 <= n <= len(ascii_uppercase):
        raise ValueError(f"A question needs 2 to {len(ascii_uppercase)} options, got {n}.")
    return ascii_uppercase[:n]


def lettered(options: Sequence[str], form: str = "{letter}. {option}", between: str = "\n") -> str:
    """Options as a prompt shows them.

    >>> lettered(["cat", "dog"], "({letter}) {option}", " ")
    '(A) cat (B) dog'
    """
    pairs = zip(letters(len(options)), options, strict=True)
    return between.join(form.format(letter=letter, option=option) for letter, option in pairs)


def lmms_letter(reply: str, n: int) -> str | None:
    """The letter by lmms-eval's rule for ScienceQA: the reply is a letter of either case, or begins with "B."."""
    text = reply.strip()
    if len(text) >= 2 and text[0].isupper() and text[1] == ".":
        text = text[0]
    return {letter.lower(): letter for letter in letters(n)}.get(text.lower())


def llava_letter(reply: str, n: int) -> str | None:
    """The letter by LLaVA's rule for ScienceQA (llava/eval/eval_science_qa.py).

    The reply is a capital letter from A to E, or begins with "B. ", or says "The answer is B." once. The script does
    not strip replies; its generation does.
    """
    known = "ABCDE"
    if len(reply) == 1 and reply in known:
        letter = reply
    elif len(reply) >= 3 and reply[0] in known and reply[1:3] == ". ":
        letter = reply[0]
    elif len(found := STATED.findall(reply)) == 1:
        letter = found[0]
    else:
        return None
    return letter if letter in known[:n] and letter in letters(n) else None


def mmmu_letter(reply: str, options: Mapping[str, str], rule: str = "official") -> str | None:
    """The letter by MMMU's parser for multiple choice (mmmu/utils/eval_utils.py); None where the parser would guess.

    Outer punctuation is stripped, one sign after the other. Then the first of these that is found decides; of several
    letters, the one that stands last in the reply:

    1. letters in brackets, "(B)";
    2. letters between blanks, " B ";
    3. in replies of more than five words, the text of an option, letter case aside.

    rule: "official", or "lmms-eval", which differs in step 2: any letter before a blank counts ("DNA " is A), then any
    before a full stop, and of several that do not stand between blanks the first option wins. The official rule is what
    the paper's numbers were made with.
    """
    for sign in ",.!?;:'":
        reply = reply.strip(sign)
    reply = f" {reply} "
    loose = {"official": [" {} "], "lmms-eval": ["{} ", "{}."]}[rule]
    for form in ("({})", *loose):
        if found := [letter for letter in options if form.format(letter) in reply]:
            place = form if form == "({})" else " {} "
            return max(found, key=lambda letter: reply.rfind(place.format(letter)))
    if len(reply.split()) > 5:
        text = reply.lower()
        if found := [letter for letter, option in options.items() if option.lower() in text]:
            return max(found, key=lambda letter: text.rfind(options[letter].lower()))
    return None


def guess(options: str, identity: str, seed: int) -> str:
    """A random letter that depends on the seed and the example's id alone, so on no order of examples."""
    return random.Random(f"{seed}/{identity}").choice(options)
