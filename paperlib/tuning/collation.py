"""Model inputs and labels of instructions, by the model's own chat template, with the loss on answers alone.

An instruction is one row: its turns follow each other as the chat template writes them, and each sees all before it.
Packing (`paperlib.tuning.packing`) is for the study's own conversations and LLaVA-like models: turns that do not see
each other share one picture, by a mask and positions that families with M-RoPE, sliding windows or a prefix do not
allow. Instructions are chats, in which a later turn may ask about an earlier one, so they are not packed.

Which tokens are an answer's is read from the tokenizer's offsets and from what the processor put in the place of each
picture, by the rule of transformers' own ``return_assistant_tokens_mask``: every token that overlaps its characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from PIL import Image

from paperlib.models.input_checks import check_length
from paperlib.models.processors import processed
from paperlib.models.vlm import VLM
from paperlib.tasks.instructions.instruction import Instruction, Refused
from paperlib.tasks.pictures import PictureError
from paperlib.tuning.chat_texts import ChatText, chat_text, without_turns

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


class _Row(NamedTuple):
    instruction: Instruction
    chat: ChatText
    pictures: list[Image.Image]


def collate(vlm: VLM, instructions: Sequence[Instruction], length: int) -> Collated:
    """Rows of at most ``length`` tokens, image tokens included, of instructions.

    Turns that do not fit are dropped from the end, with the pictures that stand in them. Refused are instructions whose
    first turn does not fit, whose picture is broken or of a shape that the processor does not take (Qwen's: more than
    200 times as wide as high), and those that `chat_texts.chat_text` refuses. Where a format has no second turn
    (PaliGemma's), the first is taken.

    Raises VLMError for a length beyond the model's context.
    """
    check_length(vlm.model, length)
    refused: list[tuple[str, str]] = []
    rows: list[_Row] = []
    for instruction in instructions:
        try:
            kept = instruction.first(1) if without_turns(vlm) else instruction
            rows.append(_Row(kept, chat_text(vlm, kept), [picture.open() for picture in kept.pictures]))
        except PictureError:
            refused.append((instruction.id, "broken picture"))
        except Refused as reason:
            refused.append((instruction.id, str(reason)))
    while rows:
        try:
            inputs, labels, fitting = _tensors(vlm, rows, length)
        except ValueError:
            fitting = [0 if row.pictures and _refuses(vlm, row) else len(row.chat.answers) for row in rows]
            if all(fitting):
                raise
            reason = "picture that the processor refuses"
        else:
            if fitting == [len(row.chat.answers) for row in rows]:
                ids = tuple(row.instruction.id for row in rows)
                return Collated(inputs, labels, ids, tuple(fitting), tuple(refused))
            reason = "first turn too long"
        refused += [(row.instruction.id, reason) for row, turns in zip(rows, fitting, strict=True) if not turns]
        rows = [_first(vlm, row, turns) for row, turns in zip(rows, fitting, strict=True) if turns]
    return Collated({}, torch.empty(0, 0, dtype=torch.long, device=vlm.device), (), (), tuple(refused))


def _first(vlm: VLM, row: _Row, turns: int) -> _Row:
    kept = row.instruction.first(turns)
    return _Row(kept, chat_text(vlm, kept), row.pictures[: len(kept.pictures)])


def _refuses(vlm: VLM, row: _Row) -> bool:
    try:
        _processed(vlm, [row])
    except ValueError:
        return True
    return False


def _processed(vlm: VLM, rows: list[_Row]) -> Any:
    pictures = [row.pictures for row in rows]
    return processed(
        vlm.processor,
        [row.chat.text for row in rows],
        pictures if any(pictures) else None,
        return_offsets_mapping=True,
        return_text_replacement_offsets=True,
    )


def _tensors(vlm: VLM, rows: list[_Row], length: int) -> tuple[dict[str, torch.Tensor], torch.Tensor, list[int]]:
    """Inputs, labels, and how many turns of each row fit into a length."""
    made = _processed(vlm, rows)
    offsets = made.pop("offset_mapping")
    replaced = made.pop("text_replacement_offsets", None) or [[]] * len(rows)
    prefixed = made.pop("labels", None) is not None  # all before the first answer attends in both directions
    made = made.convert_to_tensors("pt")
    ids, labels, fitting = made["input_ids"], torch.full_like(made["input_ids"], IGNORED), []
    for i, row in enumerate(rows):
        tokens, size, ends = torch.tensor(offsets[i]), int(made["attention_mask"][i].sum()), []
        for span in row.chat.answers:
            start, end = (_moved(place, replaced[i]) for place in span)
            inside = ((tokens[:, 0] < end) & (tokens[:, 1] > start)).nonzero().flatten()
            labels[i, inside] = ids[i, inside]
            ends.append(int(inside[-1]) + 1)
        fitting.append(sum(end + size - ends[-1] <= length for end in ends))
        if prefixed:
            made["token_type_ids"][i, int((labels[i] != IGNORED).int().argmax()) : size] = 1
    return dict(made.to(vlm.device)), labels.to(vlm.device), fitting


def _moved(place: int, replaced: list[dict]) -> int:
    """Where a character is once pictures' places have become their tokens."""
    before = [one for one in replaced if one["span"][1] <= place]
    return place + (before[-1]["new_span"][1] - before[-1]["span"][1] if before else 0)
