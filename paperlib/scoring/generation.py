"""Replies: what a model writes to examples, by greedy decoding in batches.

Choices are scored by log-probability in `records.py`, which needs no parsing. A benchmark that is scored by what a
model says is asked here, and `both_ways.py` sets both ways side by side.

    replies = generate(vlm, examples, stop=["."], kept="runs/pope.jsonl")
    right = [pope.score(reply.text, example)["correct"] for reply, example in zip(replies, examples)]
    closed = generate(vlm, examples, under=lambda batch: knockout(vlm, blocks, *edge(vlm, batch, "image->answer")))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from paperlib.models.greedy import greedy
from paperlib.models.input_checks import Batch, check_words
from paperlib.models.left_padding import left_padded
from paperlib.models.memory import divided, in_halves
from paperlib.models.precision import mixed_precision
from paperlib.models.processors import encode
from paperlib.models.residual import interventions
from paperlib.models.vlm import VLM, fingerprint
from paperlib.scoring.choices import picture_sources, render
from paperlib.scoring.kept_replies import KeptReplies
from paperlib.scoring.records import evaluating
from paperlib.study.checks import shown, whole
from paperlib.study.results import data_digest
from paperlib.study.sources import code_digest
from paperlib.tasks.benchmarks import Example
from paperlib.tasks.pictures import Picture

Under = Callable[[Batch], AbstractContextManager]


@dataclass(frozen=True)
class Reply:
    """What a model wrote to one example: a plain value that goes into JSON and back.

    text: up to the stop string, without special tokens and outer blanks. tokens: ids of all that was written but the
    end token, a stop string's included. ended: by what, "end" (an end token), "stop" (a stop string) or "length".
    """

    id: str
    text: str
    tokens: tuple[int, ...]
    ended: str

    def to_dict(self) -> dict:
        """The reply as plain JSON types."""
        return asdict(self) | {"tokens": list(self.tokens)}

    @staticmethod
    def from_dict(d: dict) -> Reply:
        """The inverse of `to_dict`."""
        return Reply(**d | {"tokens": tuple(d["tokens"])})


@dataclass(frozen=True)
class _Asked:
    """One example as it is asked. length: tokens of its prompt, in which a picture's place counts as one."""

    id: str
    prompt: str
    picture: Picture | None
    length: int
    digest: str


def generate(
    vlm: VLM,
    examples: Sequence[Example],
    images: str = "own",
    batch_size: int = 16,
    max_new_tokens: int = 32,
    stop: Sequence[str] = (),
    under: Under | None = None,
    *,
    seed: int = 0,
    fast: bool = False,
    kept: Path | str | None = None,
    key: dict | None = None,
    progress: bool = False,
) -> list[Reply]:
    """What a model writes to each example (greedy decoding), in the order of the examples.

    Args:
        vlm: a `paperlib.models.vlm.VLM`.
        examples: `paperlib.tasks.benchmarks.Example`s with ids that differ; they need no choices.
        images: which picture is shown, as for `records.choice_logprobs`.
        batch_size: prompts at once. They are padded on the left, and each gets what it would get alone.
        max_new_tokens: where a reply is broken off.
        stop: texts at the first of which a reply ends. They are no part of its text.
        under: makes the intervention for a batch, from token sets of that batch. It is in force for the prompt and for
            every new token, as `interventions.edits` says. What is the same for all batches may stand around the call.
        seed: of the draw for "other"; nothing else is random.
        fast: see `precision.mixed_precision`. A reply may then depend on its batch where two tokens are about as
            likely.
        kept: a file to which replies are added after each batch. A later call with the same settings asks what is
            missing there.
        key: names the intervention in ``kept``, where it is required under one.
        progress: whether to show a bar of the replies that are done.

    Raises:
        ValueError: an unknown ``images``, ids that repeat, a batch size or a number of new tokens below 1, a stop
            string that is empty or not text, ``kept`` without a key under an intervention, a file of other settings;
            as VLMError, what `VLM.prompt` and `VLM.batch` refuse, and what does not fit the model's context.
        ResultError: a file that holds no replies, or is damaged.

    >>> from paperlib.models.vlm import load_vlm
    >>> from paperlib.tasks.benchmarks import examples
    >>> [reply] = generate(load_vlm("tiny", "cpu"), examples("pope", 1)[:1], max_new_tokens=3)
    >>> reply.ended, len(reply.tokens)
    ('length', 3)
    """
    examples, stop = list(examples), check_stop(vlm, stop)
    whole(batch_size, "batch_size")
    whole(max_new_tokens, "max_new_tokens")
    if len({e.id for e in examples}) < len(examples):
        raise ValueError("Examples repeat an id, so their replies could not be told apart: ask each example once.")
    if kept is not None and key is None and (under is not None or interventions(vlm)):
        raise ValueError(
            "Replies under an intervention can be kept only with a key that names it: give key={...} or no file."
        )
    sources = picture_sources(examples, images, seed)
    if not examples:
        return []
    asked = _asked(vlm, examples, sources)
    settings = {"images": images, "max_new_tokens": max_new_tokens, "stop": stop, "fast": fast, "key": key}
    file = None if kept is None else KeptReplies(kept, settings | _model(vlm))
    found = (
        {} if file is None else {a.id: Reply.from_dict(file.found[a.digest]) for a in asked if a.digest in file.found}
    )
    open_ = [a for a in asked if a.id not in found]

    def answered(part: Sequence[_Asked]) -> list[Reply]:
        batch = _batch(vlm, part, images == "blank")
        with nullcontext() if under is None else under(batch):
            written = greedy(vlm.model, batch, max_new_tokens, _stopping(vlm, stop) if stop else None)
        return [
            Reply(a.id, _text(vlm, w.tokens, stop), tuple(w.tokens), w.ended)
            for a, w in zip(part, written, strict=True)
        ]

    with (
        vlm.cached_features(),
        mixed_precision(vlm.device, fast),
        evaluating(vlm.model),
        tqdm(total=len(asked), initial=len(found), disable=not progress, desc="replies", unit="reply") as bar,
    ):
        for part in _parts(open_, batch_size):
            replies = in_halves(answered, part, divided)
            found |= {reply.id: reply for reply in replies}
            if file is not None:
                file.append((a.digest, r.to_dict()) for a, r in zip(part, replies, strict=True))
            bar.update(len(part))
    return [found[a.id] for a in asked]


def check_stop(vlm: VLM, stop: Sequence[str]) -> list[str]:
    """The stop strings as a list.

    Raises ValueError (VLMError for what is not text) for a text in place of a list, and for one that is empty or holds
    a special token, which no reply's text does.
    """
    if isinstance(stop, str) or not isinstance(stop, Sequence):
        raise ValueError(f"stop must be a list of texts, got {shown(stop)}: put a single one in brackets.")
    for text in stop:
        check_words(text, "stop string", vlm.tokenizer)
        if not text:
            raise ValueError("A stop string is empty, so every reply would end before it begins: leave it out.")
    return list(stop)


def _asked(vlm: VLM, examples: Sequence[Example], sources: Sequence[int | None]) -> list[_Asked]:
    prompts = [vlm.prompt(e.question, source is not None) for e, source in zip(examples, sources, strict=True)]
    lengths = [len(ids) for ids in encode(vlm.tokenizer, prompts)["input_ids"]]
    made = []
    for example, source, prompt, length in zip(examples, sources, prompts, lengths, strict=True):
        other = None if source is None else examples[source]
        digest = data_digest([example.id, prompt, other and [other.id, other.group]])[:24]
        made.append(_Asked(example.id, prompt, other and other.picture, length, digest))
    return made


def _parts(asked: Sequence[_Asked], batch_size: int) -> list[list[_Asked]]:
    """Batches of similar length, with pictures and without apart; long prompts first, so that memory fails at once."""
    rows = sorted(asked, key=lambda a: -a.length)
    groups = ([a for a in rows if (a.picture is None) == bare] for bare in (False, True))
    return [group[at : at + batch_size] for group in groups for at in range(0, len(group), batch_size)]


def _batch(vlm: VLM, part: Sequence[_Asked], blank: bool) -> Batch:
    pictures = [a.picture for a in part if a.picture is not None]
    return left_padded(vlm.batch([a.prompt for a in part], render(pictures, blank) if pictures else None))


def _model(vlm: VLM) -> dict:
    return {"weights": fingerprint(vlm), "code": code_digest(__name__)}


def _stopping(vlm: VLM, stop: Sequence[str]) -> Callable[[list[int]], bool]:
    def stopped(tokens: list[int]) -> bool:
        text = vlm.tokenizer.decode(tokens, skip_special_tokens=True)
        return any(string in text for string in stop)

    return stopped


def _text(vlm: VLM, tokens: list[int], stop: Sequence[str]) -> str:
    text = vlm.tokenizer.decode(tokens, skip_special_tokens=True)
    ends = [at for string in stop if (at := text.find(string)) >= 0]
    return text[: min(ends, default=len(text))].strip()
