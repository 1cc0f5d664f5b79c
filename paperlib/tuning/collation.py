"""Model inputs and labels of instructions, by the model's own chat template, with the loss on answers alone.

An instruction is one row: its turns follow each other as the chat template writes them, and each sees all before it.
Packing (`paperlib.tuning.packing`) is for the study's own conversations and LLaVA-like models: turns that do not see
each other share one picture, by a mask and positions that families with M-RoPE, sliding windows or a prefix do not
allow. Instructions are chats, in which a later turn may ask about an earlier one, so they are not packed.

Which tokens are an answer's is read from the tokenizer's offsets and from what the processor put in the place of each
picture, by the rule of transformers' own ``return_assistant_tokens_mask``: every token that overlaps its characters.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from PIL import Image

from paperlib.models.input_checks import VLMError, check_length, check_words, special_tokens
from paperlib.models.processors import PREFIX, processed
from paperlib.models.vlm import VLM
from paperlib.tasks.instructions.instruction import Instruction, Refused
from paperlib.tasks.pictures import PictureError

IGNORED = -100  # the label of a token without loss, as in transformers


@dataclass(frozen=True)
class Collated:
    """A batch of B rows in T tokens, padded on the right, on the model's device.

    Attributes:
        inputs: what ``model(**inputs)`` takes.
        labels: ids of the answers' tokens with the token that ends each turn, -100 elsewhere, [B, T]. The model shifts
            them: the label of a token is predicted at the one before it.
        ids: of the instructions that became rows.
        turns: how many of its turns each row has.
        refused: (id, reason) of the others. If all are refused, there are no inputs, and labels are [0, 0].
    """

    inputs: dict[str, torch.Tensor]
    labels: torch.Tensor
    ids: tuple[str, ...]
    turns: tuple[int, ...]
    refused: tuple[tuple[str, str], ...]


class Rendered(NamedTuple):
    """An instruction as the chat template writes it. ``answers``: where each begins and ends, end token included."""

    text: str
    answers: list[tuple[int, int]]


def collate(vlm: VLM, instructions: Sequence[Instruction], length: int) -> Collated:
    """Rows of at most ``length`` tokens, picture included, of instructions.

    Turns that do not fit are dropped from the end, with the pictures that stand in them. Refused are instructions whose
    first turn does not fit, whose picture is broken, that hold one of the model's special tokens, or that the template
    rewrites. Where a format has no place for a second turn (PaliGemma's), the first is taken.

    Raises VLMError for a length beyond the model's context.
    """
    check_length(vlm.model, length)
    refused: list[tuple[str, str]] = []
    rows: list[tuple[Instruction, Rendered, list[Image.Image]]] = []
    for instruction in instructions:
        try:
            kept = instruction.first(1) if _no_turns(vlm) else instruction
            rows.append((kept, render(vlm, kept), [picture.open() for picture in kept.pictures]))
        except PictureError:
            refused.append((instruction.id, "broken picture"))
        except Refused as reason:
            refused.append((instruction.id, str(reason)))
    while rows:
        inputs, labels, fitting = _inputs(vlm, [row[1] for row in rows], [row[2] for row in rows], length)
        if fitting == [len(row[0].turns) for row in rows]:
            ids, turns = (tuple(each) for each in zip(*((row[0].id, len(row[0].turns)) for row in rows), strict=True))
            return Collated(inputs, labels, ids, turns, tuple(refused))
        refused += [(row[0].id, "first turn too long") for row, n in zip(rows, fitting, strict=True) if not n]
        shorter = [(row[0].first(n), row[2]) for row, n in zip(rows, fitting, strict=True) if n]
        rows = [(kept, render(vlm, kept), pictures[: len(kept.pictures)]) for kept, pictures in shorter]
    return Collated({}, torch.empty(0, 0, dtype=torch.long, device=vlm.device), (), (), tuple(refused))


def render(vlm: VLM, instruction: Instruction) -> Rendered:
    """The text of an instruction by the model's chat template, and where its answers are.

    A template that ends an answer with no special token (LLaVA's) would teach no model to stop: the tokenizer's end
    token is put there, as LLaVA's own training does. Raises Refused for words that a special token is in, and for those
    that the template rewrites.
    """
    for text in (text for turn in instruction.turns for text in turn):
        try:
            check_words(text, tokenizer=vlm.tokenizer)
        except VLMError as error:
            raise Refused("special token in its words") from error
    answers = [answer for _, answer in instruction.turns]
    pieces = _pieces(vlm, instruction)
    end = _end(vlm, pieces[-1])
    text, places = pieces[0], []
    for answer, after in zip(answers, pieces[1:], strict=True):
        start = len(text)
        close = re.match(rf"\s*{re.escape(end)}", after)
        text += answer + ("" if close else end)
        places.append((start, len(text) + (close.end() if close else 0)))
        text += after
    return Rendered(text, places)


def _pieces(vlm: VLM, instruction: Instruction) -> list[str]:
    """What the template writes before, between and after the answers."""
    if _no_turns(vlm):
        return [_template(vlm, instruction, [], add_generation_prompt=True), ""]
    answers = [answer for _, answer in instruction.turns]
    marks = [f"\ue000{turn}\ue001" for turn in range(len(answers))]  # stand where no text has such characters
    pieces = re.split("\ue000[0-9]+\ue001", _template(vlm, instruction, marks))
    joined = "".join(itertools.chain(*itertools.zip_longest(pieces, answers, fillvalue="")))
    if len(pieces) != len(answers) + 1 or joined != _template(vlm, instruction, answers):
        raise Refused("the chat template rewrites its words")
    return pieces


def _template(vlm: VLM, instruction: Instruction, answers: list[str], **options: Any) -> str:
    messages: list[dict] = []
    for turn in range(max(1, len(answers))):
        parts = instruction.parts(turn)
        content = [{"type": "image"} if part is None else {"type": "text", "text": part} for part in parts]
        messages.append({"role": "user", "content": content})
        said = [{"type": "text", "text": answer} for answer in answers[turn : turn + 1]]
        messages += [{"role": "assistant", "content": said}] * bool(said)
    return vlm.processor.apply_chat_template(messages, **options)


def _no_turns(vlm: VLM) -> bool:
    """Whether the model's format is a prompt and an answer, without turns: PaliGemma's."""
    return vlm.processor.chat_template == PREFIX


def _end(vlm: VLM, after: str) -> str:
    """The special token that ends a turn: the one that follows the last answer, else the tokenizer's end token."""
    following = after.lstrip()
    return next((t for t in special_tokens(vlm.tokenizer) if following.startswith(t)), vlm.tokenizer.eos_token)


def _inputs(
    vlm: VLM, rows: list[Rendered], pictures: list[list[Image.Image]], length: int
) -> tuple[dict[str, torch.Tensor], torch.Tensor, list[int]]:
    """Inputs, labels, and how many turns of each row fit into a length."""
    made = processed(
        vlm.processor,
        [row.text for row in rows],
        pictures if any(pictures) else None,
        return_offsets_mapping=True,
        return_text_replacement_offsets=True,
    )
    offsets = made.pop("offset_mapping")
    replaced = made.pop("text_replacement_offsets", None) or [[]] * len(rows)
    prefixed = made.pop("labels", None) is not None  # all but the answers attends in both directions
    made = made.convert_to_tensors("pt")
    labels = torch.full_like(made["input_ids"], IGNORED)
    fitting = []
    for i, row in enumerate(rows):
        tokens, size, ends = torch.tensor(offsets[i]), int(made["attention_mask"][i].sum()), []
        for span in row.answers:
            start, end = (_moved(place, replaced[i]) for place in span)
            inside = ((tokens[:, 0] < end) & (tokens[:, 1] > start)).nonzero().flatten()
            labels[i, inside] = made["input_ids"][i, inside]
            ends.append(int(inside[-1]) + 1)
        fitting.append(sum(end + size - ends[-1] <= length for end in ends))
        if prefixed:
            made["token_type_ids"][i, int((labels[i] != IGNORED).int().argmax()) : size] = 1
    return dict(made.to(vlm.device)), labels.to(vlm.device), fitting


def _moved(place: int, replaced: list[dict]) -> int:
    """Where a character is, once each picture's place has become its tokens."""
    before = [one for one in replaced if one["span"][1] <= place]
    return place + (before[-1]["new_span"][1] - before[-1]["span"][1] if before else 0)
