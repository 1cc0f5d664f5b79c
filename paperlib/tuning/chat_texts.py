"""An instruction as the model's own chat template writes it, and which of its characters are answers."""

from __future__ import annotations

import functools
import itertools
import re
from typing import Any, NamedTuple

from paperlib.models.input_checks import VLMError, check_words, special_tokens
from paperlib.models.processors import PREFIX
from paperlib.models.vlm import VLM
from paperlib.tasks.instructions.instruction import Instruction, Refused


class ChatText(NamedTuple):
    """A chat in words. ``answers``: where each answer begins and ends, its end token included."""

    text: str
    answers: list[tuple[int, int]]


def chat_text(vlm: VLM, instruction: Instruction) -> ChatText:
    """The text of an instruction by the chat template of the model's processor.

    A template that ends an answer with no special token (LLaVA's) would teach no model to stop, so the tokenizer's end
    token is put there, as in LLaVA's own training. The template stands in a format without turns (`without_turns`) for
    the prompt alone; the answer follows.

    Raises Refused for words that hold a special token of the tokenizer or cannot be encoded, and for words that the
    template rewrites, such as those with blanks around.
    """
    for words in itertools.chain(*instruction.turns):
        try:
            check_words(words)
        except VLMError as error:
            raise Refused("text that cannot be encoded") from error
        if _special(vlm.tokenizer, len(vlm.tokenizer)).search(words):
            raise Refused("special token in its words")
    before, *after = _pieces(vlm, instruction)
    found = _special(vlm.tokenizer, len(vlm.tokenizer)).match(after[-1].lstrip())
    end = found[0] if found else vlm.tokenizer.eos_token
    text, answers = before, []
    for (_, answer), following in zip(instruction.turns, after, strict=True):
        written = re.match(rf"\s*{re.escape(end)}", following)
        start, text = len(text), text + answer + ("" if written else end)
        answers.append((start, len(text) + (written.end() if written else 0)))
        text += following
    return ChatText(text, answers)


def without_turns(vlm: VLM) -> bool:
    """Whether the model's format is one prompt and its answer: PaliGemma's, whose repository has no chat template."""
    return vlm.processor.chat_template == PREFIX


def _pieces(vlm: VLM, instruction: Instruction) -> list[str]:
    """What the template writes before, between and after the answers."""
    if without_turns(vlm):
        return [_written(vlm, instruction, [], add_generation_prompt=True), ""]
    answers = [answer for _, answer in instruction.turns]
    marks = [f"\ue000{turn}\ue001" for turn in range(len(answers))]  # characters that no standard gives a meaning
    pieces = re.split("\ue000[0-9]+\ue001", _written(vlm, instruction, marks))
    whole = "".join(itertools.chain(*itertools.zip_longest(pieces, answers, fillvalue="")))
    if len(pieces) != len(answers) + 1 or whole != _written(vlm, instruction, answers):
        raise Refused("the chat template rewrites its words")
    return pieces


def _written(vlm: VLM, instruction: Instruction, answers: list[str], **options: Any) -> str:
    """What the template makes of an instruction with these answers, or of its first question if there are none."""
    messages: list[dict] = []
    for turn in range(max(1, len(answers))):
        parts = instruction.parts(turn)
        asked = [{"type": "image"} if part is None else {"type": "text", "text": part} for part in parts]
        told = [{"type": "text", "text": answer} for answer in answers[turn : turn + 1]]
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": told}]
    return vlm.processor.apply_chat_template(messages if answers else messages[:1], **options)


@functools.lru_cache(maxsize=4)
def _special(tokenizer: Any, size: int) -> re.Pattern[str]:
    """Any special token of a tokenizer of this size. Gemma's are thousands, and listing them takes a while."""
    return re.compile("|".join(map(re.escape, special_tokens(tokenizer))) or "(?!)")
