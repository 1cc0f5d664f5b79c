"""Punctuation as the evaluation of VQA takes it out of an answer (Antol et al. 2015,
VQA/PythonEvaluationTools/vqaEval.py).

VLMEvalKit and lmms-eval hold variants of it; what differs is an argument here.
"""

from __future__ import annotations

import re

SIGNS = ';/[]"{}()=+\\_-><@`,?!'
# The public scripts hand the flag re.UNICODE to `sub` where the number of replacements belongs, and its value is 32.
MOST_FULL_STOPS = 32
COMMA_IN_NUMBER = r"\d,\d"
# VQA and lmms-eval wrote "(?!<=\d)" for "(?<!\d)", which holds everywhere: their full stop after a digit goes as well.
FULL_STOP = r"\.(?!\d)"
FULL_STOP_AFTER_NO_DIGIT = r"(?<!\d)\.(?!\d)"  # VLMEvalKit's


def without_punctuation(text: str, full_stop: str = FULL_STOP, comma_in_number: str = COMMA_IN_NUMBER) -> str:
    """The text without punctuation; letter case and blanks stay.

    A sign goes without a trace if it stands beside a blank anywhere in the text, or if the text holds a number with a
    comma; else it becomes a blank. Of full stops that no digit follows, the first 32 go.

    >>> without_punctuation("yes, it is/was.")
    'yes it is was'
    """
    numbers = re.search(comma_in_number, text) is not None
    kept = text
    for sign in SIGNS:
        gone = numbers or f"{sign} " in text or f" {sign}" in text
        kept = kept.replace(sign, "" if gone else " ")
    return re.sub(full_stop, "", kept, count=MOST_FULL_STOPS)
