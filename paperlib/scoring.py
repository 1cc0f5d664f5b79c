"""From a model and examples to records: how likely each choice is, and which one the model prefers.

The choices of a question are compared by their log-probability given the prompt, so an answer needs no
parsing, and a model that never learnt to answer briefly is scored like one that did. Statistics over records
are in `paperlib.intervals`.

What decides between choices:

- the **sum** of the log-probabilities of the choice's tokens;
- for caption pairs (`MEAN_PER_TOKEN`) the **mean per token**: a negative that adds words is less likely for
  its length alone, and the sum would find it without looking at the picture;
- where one choice begins another ("1" and "12", "cat" and "cat face"), the end-of-turn token is counted with
  every choice of that example, because otherwise the longer choice could never be the likelier one;
- a tie counts against the model.

Each example costs as few sequences as its choices allow: choices that differ only in their last token are
read from one forward pass, and the head of the language model is applied to the needed positions alone.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import accumulate

import numpy as np
import torch
from PIL import Image

IMAGES = ("own", "blank", "other", "none")
MEAN_PER_TOKEN = frozenset({"captions", "sugarcrepe"})  # benchmarks
GREY = (128, 128, 128)


@dataclass(frozen=True)
class Record:
    """One example, answered: a plain value that goes into JSON and back.

    `logprobs` holds the sum over tokens for each choice, in the order of the example's choices, in nats;
    `tokens` the number of tokens that each sum runs over.
    """

    id: str
    kind: str
    benchmark: str
    group: str
    answer: str
    prediction: str
    correct: bool
    logprobs: tuple[float, ...]
    tokens: tuple[int, ...]

    def to_dict(self) -> dict:
        """The record as plain JSON types."""
        return asdict(self) | {"logprobs": list(self.logprobs), "tokens": list(self.tokens)}

    @staticmethod
    def from_dict(d: dict) -> Record:
        """The inverse of `to_dict`."""
        return Record(**d | {"logprobs": tuple(d["logprobs"]), "tokens": tuple(d["tokens"])})


@dataclass(frozen=True)
class _Row:
    """A sequence to run. `reads` are the choices read from it: (number of the choice, its token ids)."""

    example: int
    prompt: str
    text: str
    tokens: tuple[int, ...]
    length: int
    reads: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)


def choice_logprobs(
    vlm, examples: Sequence, images: str = "own", batch_size: int = 32, seed: int = 0, fast: bool = False
) -> list[Record]:
    """Score every choice of every example; records come in the order of the examples.

    Args:
        vlm: a `paperlib.vlm.VLM`.
        examples: `paperlib.benchmarks.Example`s with at least two distinct choices, the answer among them.
        images: which picture stands before the question. "own"; "blank", a mid-grey picture of the same size;
            "other", the picture of another example, see `other_pictures`; "none", the question alone.
            Examples without a picture are asked as text whatever `images` says.
        batch_size: sequences per forward pass.
        seed: of the draw for "other"; nothing else is random.
        fast: multiply matrices in bfloat16, summing in float32, where the CPU has units for it (about twice as
            fast; log-probabilities move in the second or third decimal).

    Raises:
        ValueError: an unknown `images`, no examples, an example that can't be scored, fewer than two groups
            for "other", a tokenizer without an end token where one is needed.
        FloatingPointError: the model gives a log-probability that is not finite.
    """
    check_examples(examples)
    if images not in IMAGES:
        raise ValueError(f"images must be one of {', '.join(IMAGES)}, got {images!r}.")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}.")

    source = other_pictures(examples, seed) if images == "other" else range(len(examples))
    shown = [None if images == "none" else examples[j].picture for j in source]
    rows = [row for i, ex in enumerate(examples) for row in _rows(vlm, i, ex, shown[i] is not None)]
    # Long sequences first: padding is least, and a batch that doesn't fit in memory fails at once.
    rows.sort(key=lambda r: -r.length)

    sums: list[dict[int, float]] = [{} for _ in examples]
    counts: list[dict[int, int]] = [{} for _ in examples]
    with vlm.remembering(), _matmul_precision("medium" if fast else None):
        for with_picture in (True, False):
            part = [r for r in rows if (shown[r.example] is not None) == with_picture]
            for at in range(0, len(part), batch_size):
                batch = part[at : at + batch_size]
                pictures = _render([shown[r.example] for r in batch], images == "blank") if with_picture else None
                for row, values in zip(batch, _run(vlm, batch, pictures)):
                    for (choice, tokens), value in zip(row.reads, values):
                        sums[row.example][choice] = value
                        counts[row.example][choice] = len(tokens)
    return [
        _record(ex, *(tuple(d[i][c] for c in range(len(ex.choices))) for d in (sums, counts)))
        for i, ex in enumerate(examples)
    ]


def check_examples(examples: Sequence) -> None:
    """Refuse, with a ValueError of one sentence, examples that can't be scored by choice."""
    if len(examples) == 0:
        raise ValueError("There are no examples to score: ask the loader for n of at least 1.")
    for ex in examples:
        if len(ex.choices) < 2:
            raise ValueError(f"Example {ex.id!r} has {len(ex.choices)} choices, but must have at least two.")
        if len(set(ex.choices)) < len(ex.choices) or not all(ex.choices):
            raise ValueError(f"Example {ex.id!r} has empty or repeated choices: {list(ex.choices)}.")
        if ex.answer not in ex.choices:
            raise ValueError(f"The answer of example {ex.id!r}, {ex.answer!r}, is not among its choices.")


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
    order = np.random.default_rng(seed).permutation(pictured).tolist()
    place = {i: p for p, i in enumerate(order)}
    source = list(range(len(examples)))
    for i in pictured:
        me, best, best_rank = examples[i], None, -1
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


def _rows(vlm, number: int, example, has_image: bool) -> list[_Row]:
    """The fewest sequences from which every choice of one example can be read."""
    prompt = vlm.prompt(example.question, has_image)
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

    rows: list[_Row] = []
    for c in sorted(range(len(texts)), key=lambda c: -len(tokens[c])):
        # A choice's last token is only predicted, never read, so a row serves all that agree up to there.
        needed = tokens[c][:-1]
        row = next((r for r in rows if r.tokens[: len(needed)] == needed), None)
        if row is None:
            row = _Row(number, prompt, texts[c], tokens[c], len(head) + len(tokens[c]))
            rows.append(row)
        row.reads.append((c, tokens[c]))
    return rows


def _render(pictures: list, blank: bool) -> list[Image.Image]:
    """Draw a batch's pictures, each distinct one once; `blank` replaces them by grey of the same size."""
    drawn: dict[int, Image.Image] = {}
    for picture in pictures:
        if id(picture) not in drawn:
            image = picture.render()
            drawn[id(picture)] = Image.new("RGB", image.size, GREY) if blank else image
    return [drawn[id(picture)] for picture in pictures]


def _run(vlm, rows: list[_Row], pictures: list[Image.Image] | None) -> list[list[float]]:
    """Summed log-probabilities of the choices that each row is read for, from one forward pass."""
    inputs = vlm.batch([r.prompt for r in rows], pictures, [r.text for r in rows])
    starts = [int(span.answer[0]) for span in vlm.spans(inputs)]
    for row, start, ids in zip(rows, starts, inputs["input_ids"].tolist()):
        if tuple(ids[start : start + len(row.tokens)]) != row.tokens:
            raise ValueError(f"VLM.batch tokenizes the choice {row.text!r} unlike VLM.tokenizer does.")

    # Token j of a choice is predicted at the position before it; a row's choices share those positions.
    at = [0, *accumulate(len(row.tokens) for row in rows)]
    where = [(i, starts[i] - 1 + j) for i, row in enumerate(rows) for j in range(len(row.tokens))]
    reads = [(a + j, id_) for a, row in zip(at, rows) for _, ids in row.reads for j, id_ in enumerate(ids)]
    model = vlm.model.get_base_model() if hasattr(vlm.model, "get_base_model") else vlm.model
    with torch.inference_mode(), _evaluating(model):
        hidden = model.model(**inputs, use_cache=False).last_hidden_state  # [B, T, D]
        logits = model.get_output_embeddings()(hidden[tuple(zip(*where))]).float()  # [sum of row lengths, V]
        position, token = torch.tensor(reads, device=logits.device).T
        chosen = (logits[position, token] - logits.logsumexp(-1)[position]).cpu().double()
    parts = iter(chosen.split([len(tokens) for row in rows for _, tokens in row.reads]))
    return [[float(next(parts).sum()) for _ in row.reads] for row in rows]


def _record(example, logprobs: tuple[float, ...], tokens: tuple[int, ...]) -> Record:
    if not all(map(math.isfinite, logprobs)):
        raise FloatingPointError(
            f"The model's log-probabilities for example {example.id!r} are not finite: check its weights."
        )
    by_mean = example.benchmark in MEAN_PER_TOKEN
    score = {c: lp / n if by_mean else lp for c, lp, n in zip(example.choices, logprobs, tokens)}
    # Between equal scores the answer comes last: a model that can't tell has not answered.
    prediction = max(example.choices, key=lambda c: (score[c], c != example.answer))
    return Record(
        example.id, example.kind, example.benchmark, example.group, example.answer, prediction,
        prediction == example.answer, logprobs, tokens,
    )


@contextlib.contextmanager
def _matmul_precision(precision: str | None) -> Iterator[None]:
    """torch's float32 matmul precision for as long as the block runs; None leaves it as it is."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision or before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextlib.contextmanager
def _evaluating(model) -> Iterator[None]:
    """Dropout off for as long as the block runs, and every module back in its own mode afterwards."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
