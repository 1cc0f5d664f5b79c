"""From examples to sequences that a model can run, and from the model's states to the log-probability of each choice.

Each example costs as few sequences as its choices allow: choices that differ only in their last token are read from one
forward pass, and the head of the language model is applied to the needed positions alone. A `Chunk` is a batch of such
sequences; the choices are read from the decoder's output, whether it ran in full or from a middle layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any

import torch
from PIL import Image

from paperlib.models.input_checks import check_words
from paperlib.models.memory import divided
from paperlib.models.precision import float32_products
from paperlib.models.vlm import VLM, Batch
from paperlib.study.checks import seeded, whole
from paperlib.tasks.benchmarks import Example

IMAGES = ("own", "blank", "other", "none")
GREY = (128, 128, 128)


@dataclass(frozen=True)
class Row:
    """A sequence to run. `reads` are the choices read from it: (number of the choice, its token ids)."""

    example: int
    prompt: str
    text: str
    tokens: tuple[int, ...]
    length: int
    reads: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)


@dataclass
class Chunk:
    """Sequences to run together, with what is read from them. Pictures are drawn when `inputs` is first asked for."""

    vlm: VLM
    rows: list[Row]
    pictures: list | None
    blank: bool

    @cached_property
    def inputs(self) -> Batch:
        """The batch, as `VLM.batch` makes it, choices as answers. Raises ValueError if it tokenizes otherwise."""
        images = self.pictures and render(self.pictures, self.blank)
        inputs = self.vlm.batch([r.prompt for r in self.rows], images, [r.text for r in self.rows])
        for row, span, ids in zip(self.rows, self.vlm.spans(inputs), inputs["input_ids"].tolist(), strict=True):
            start = int(span.answer[0])
            if tuple(ids[start : start + len(row.tokens)]) != row.tokens:
                raise ValueError(f"VLM.batch tokenizes the choice {row.text!r} unlike VLM.tokenizer does.")
        return inputs

    def halves(self) -> list[Chunk]:
        """The sequences in two chunks, or this chunk if it has one sequence."""
        if len(self.rows) == 1:
            return [self]
        pictures = divided(self.pictures) if self.pictures else [None, None]
        return [
            Chunk(self.vlm, list(r), p and list(p), self.blank)
            for r, p in zip(divided(self.rows), pictures, strict=True)
        ]

    @torch.no_grad()
    def read(self, hidden: torch.Tensor) -> list[tuple[int, int, float, int]]:
        """(example, choice, summed log-probability [nats], its tokens) from the decoder's output [B, T, D]."""
        starts = [int(span.answer[0]) for span in self.vlm.spans(self.inputs)]
        # Token j of a choice is predicted at the position before it; a row's choices share those positions.
        at = [0, *accumulate(len(row.tokens) for row in self.rows)]
        where = [(i, starts[i] - 1 + j) for i, row in enumerate(self.rows) for j in range(len(row.tokens))]
        reads = [
            (a + j, id_)
            for a, row in zip(at, self.rows, strict=False)
            for _, ids in row.reads
            for j, id_ in enumerate(ids)
        ]
        model: Any = self.vlm.model
        with float32_products(self.vlm.device):
            states, head = hidden[tuple(zip(*where, strict=True))].float(), model.get_output_embeddings()
            if getattr(head, "weight", states).dtype == torch.float32:
                logits = head(states).float()  # [n read, V]
            else:  # a head in half precision would not take float32 states
                bias = None if head.bias is None else head.bias.float()
                logits = torch.nn.functional.linear(states, head.weight.float(), bias)
        position, token = torch.tensor(reads, device=logits.device).T
        chosen = (logits[position, token] - logits.logsumexp(-1)[position]).cpu().double()
        parts = iter(chosen.split([len(tokens) for row in self.rows for _, tokens in row.reads]))
        return [
            (row.example, choice, float(next(parts).sum()), len(tokens))
            for row in self.rows
            for choice, tokens in row.reads
        ]


def chunks(vlm: VLM, examples: Sequence, images: str = "own", batch_size: int = 32, seed: int = 0) -> list[Chunk]:
    """All sequences that the examples need, in batches of similar length; arguments as for `records.choice_logprobs`.

    Raises ValueError for an unknown `images`, no examples, one that can't be scored, a batch size below 1, fewer than
    two groups for "other", a tokenizer without an end token where one is needed.
    """
    check_examples(examples)
    sources = picture_sources(examples, images, seed)
    whole(batch_size, "batch_size")
    shown = [None if j is None else examples[j].picture for j in sources]
    rows = [row for i, ex in enumerate(examples) for row in _rows(vlm, i, ex, shown[i] is not None)]
    # Long sequences first: padding is least, and a batch that doesn't fit in memory fails at once.
    rows.sort(key=lambda r: -r.length)
    made = []
    for with_picture in (True, False):
        part = [r for r in rows if (shown[r.example] is not None) == with_picture]
        for batch in (part[at : at + batch_size] for at in range(0, len(part), batch_size)):
            made.append(
                Chunk(vlm, batch, [shown[r.example] for r in batch] if with_picture else None, images == "blank")
            )
    return made


def check_examples(examples: Sequence) -> None:
    """Refuse, with a ValueError of one sentence, examples that can't be scored by choice."""
    if len(examples) == 0:
        raise ValueError("There are no examples to score: ask the loader for n of at least 1.")
    for ex in examples:
        if isinstance(ex.choices, str):
            raise ValueError(
                f"The choices of example {ex.id!r} must be a tuple of texts, got one text: {ex.choices!r}."
            )
        if len(ex.choices) < 2:
            raise ValueError(f"Example {ex.id!r} has {len(ex.choices)} choices, but must have at least two.")
        if len(set(ex.choices)) < len(ex.choices) or not all(ex.choices):
            raise ValueError(f"Example {ex.id!r} has empty or repeated choices: {list(ex.choices)}.")
        if ex.answer not in ex.choices:
            raise ValueError(f"The answer of example {ex.id!r}, {ex.answer!r}, is not among its choices.")


def picture_sources(examples: Sequence, images: str, seed: int = 0) -> list[int | None]:
    """For each example, the number of the example whose picture it is asked with; None where there is no picture.

    images, seed: as for `records.choice_logprobs`. Raises ValueError for an unknown `images`, and as `other_pictures`.
    """
    if images not in IMAGES:
        raise ValueError(f"images must be one of {', '.join(IMAGES)}, got {images!r}.")
    source = other_pictures(examples, seed) if images == "other" else range(len(examples))
    return [None if images == "none" or examples[j].picture is None else j for j in source]


def other_pictures(examples: Sequence, seed: int = 0) -> list[int]:
    """For each example, the number of the example whose picture it is shown in the wrong-picture control.

    Walks through the examples in a seeded random order and takes the next one of another group, preferring
    one that asks the same kind of question and has another answer, then one with another answer, then any. An
    example is never given a picture of its own group. Examples without a picture keep themselves.

    Raises:
        ValueError: the pictures are all of one group.
    """
    pictured = [i for i, ex in enumerate(examples) if ex.picture is not None]
    if len({examples[i].group for i in pictured}) == 1:
        raise ValueError("images='other' needs examples of at least two groups, got one: load more examples.")
    order = seeded(seed).permutation(pictured).tolist()
    place = {i: p for p, i in enumerate(order)}
    source = list(range(len(examples)))
    for i in pictured:
        me, best, best_rank = examples[i], i, -1
        for step in range(1, len(order)):
            other = examples[j := order[(place[i] + step) % len(order)]]
            if other.group == me.group:
                continue
            rank = 0
            if other.answer != me.answer:
                rank = 2 if (other.benchmark, other.kind) == (me.benchmark, me.kind) else 1
            if rank > best_rank:
                best, best_rank = j, rank
            if rank == 2:
                break
        source[i] = best
    return source


def _rows(vlm: VLM, number: int, example: Example, has_image: bool) -> list[Row]:
    """The fewest sequences from which every choice of one example can be read."""
    prompt = vlm.prompt(example.question, has_image)
    for choice in example.choices:
        check_words(choice, "choice", vlm.tokenizer)
    head = vlm.tokenizer(prompt, add_special_tokens=False).input_ids

    def tokens_of(text: str) -> tuple[int, ...]:
        whole = vlm.tokenizer(prompt + text, add_special_tokens=False).input_ids
        if whole[: len(head)] != head or len(whole) == len(head):
            raise ValueError(
                f"The choice {text!r} of example {example.id!r} merges with its prompt when tokenized: "
                "let the chat template end the prompt in a line break or without a space."
            )
        return tuple(whole[len(head) :])

    # "ASSISTANT:" is followed by " red" in a conversation, "assistant\n" by "red".
    texts = [c if prompt[-1:].isspace() else f" {c}" for c in example.choices]
    tokens = [tokens_of(t) for t in texts]
    if any(a != b and b[: len(a)] == a for a in tokens for b in tokens):
        if vlm.tokenizer.eos_token is None:
            raise ValueError(
                f"One choice of example {example.id!r} begins another, {list(example.choices)}, and the "
                "tokenizer has no end token to tell them apart: set tokenizer.eos_token."
            )
        texts = [t + vlm.tokenizer.eos_token for t in texts]
        tokens = [tokens_of(t) for t in texts]

    rows: list[Row] = []
    for c in sorted(range(len(texts)), key=lambda c: -len(tokens[c])):
        # A choice's last token is only predicted, never read, so a row serves all that agree up to there.
        needed = tokens[c][:-1]
        row = next((r for r in rows if r.tokens[: len(needed)] == needed), None)
        if row is None:
            row = Row(number, prompt, texts[c], tokens[c], len(head) + len(tokens[c]))
            rows.append(row)
        row.reads.append((c, tokens[c]))
    return rows


def render(pictures: list, blank: bool) -> list[Image.Image]:
    """A batch's pictures, drawn, each distinct one once; `blank` replaces them by grey of the same size."""
    drawn: dict[int, Image.Image] = {}
    for picture in pictures:
        if id(picture) not in drawn:
            image = picture.render()
            drawn[id(picture)] = Image.new("RGB", image.size, GREY) if blank else image
    return [drawn[id(picture)] for picture in pictures]
