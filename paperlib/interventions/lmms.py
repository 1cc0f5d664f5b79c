"""The studied models for lmms-eval (0.7.3): its tasks are asked under any intervention, in this project's batches.

    lmms-eval --model paperlib --model_args 'model=mini,knockout=image->answer,blocks=10:20' --tasks pope -b 16

README says how to install it. In Python, with any intervention that `scoring.generation.generate` takes:

    model = StudiedModel(vlm, under=lambda batch: bypass(vlm, tokens(vlm, batch, "image"), enter=8))
    lmms_eval.evaluator.simple_evaluate(model, tasks=["pope"])

Replies are by greedy decoding, and end where the task says; ``--gen_kwargs max_new_tokens=64`` sets a limit for all.
Choices are compared by what `scoring.records` gives. Refused in one sentence: several pictures at once, videos, several
rounds, replies that are drawn at random, the log-probability of a text that is no choice. An error ends the run:
lmms-eval's command prints it, and exits with 0 all the same unless told ``--verbosity DEBUG``. Leave out
``--use_cache``: it knows a model by the text of its arguments alone, and in 0.7.3 it fails on choices.

No other module needs lmms-eval, which finds this one by the entry point in pyproject.toml.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from lmms_eval.api.instance import GenerationResult
from lmms_eval.api.model import lmms
from PIL import Image

from paperlib.interventions import edits
from paperlib.models.memory import in_halves
from paperlib.models.precision import dtype_name, mixed_precision
from paperlib.models.residual import run
from paperlib.models.token_sets import EDGES, edge
from paperlib.models.vlm import VLM, load_vlm
from paperlib.scoring.choices import Chunk, chunks
from paperlib.scoring.generation import Under, generate
from paperlib.scoring.records import evaluating, records
from paperlib.study.checks import shown, whole
from paperlib.tasks.benchmarks import Example
from paperlib.tasks.pictures import as_shown

LIMIT = 1024  # new tokens where a task names no limit, as in the models that lmms-eval brings
EMPTY_LINE = "\n\n"  # lmms-eval's stop string for tasks without one; most models that it brings do not stop there
# What must not be drawn, searched or weighted, with the values that leave the likeliest token the next one.
GREEDY = {"do_sample": (False, None), "temperature": (0, None), "num_beams": (1, None), "repetition_penalty": (1, None)}
# Without effect on greedy decoding; how a picture is cut is the processor's to say.
WITHOUT_EFFECT = {"top_p", "top_k", "seed", "image_aspect_ratio"}


def manifest() -> Any:
    """What lmms-eval's registry of models asks for, by the entry point: the name "paperlib" and its class."""
    from lmms_eval.models.registry_v2 import ModelManifest  # loads entry points itself, so not above

    return ModelManifest("paperlib", simple_class_path=f"{__name__}.{StudiedModel.__name__}")


class StudiedModel(lmms):
    """A `VLM` as lmms-eval asks it (its "simple" interface). ``vlm`` stays usable afterwards."""

    def __init__(
        self,
        model: VLM | str,
        under: Under | None = None,
        knockout: str | None = None,
        transplant: str | None = None,
        blocks: str | None = None,
        batch_size: int | str = 16,
        device: str = "auto",
        dtype: str = "auto",
        max_batch_size: int | None = None,
    ):
        """Load the model, if it is named, and make its intervention.

        Args:
            model: a VLM, or a name as `load_vlm` takes it.
            under: makes the intervention for each batch, as in `generation.generate`. What is the same for all batches
                may stand around lmms-eval's call instead.
            knockout: an edge such as "image->answer", closed in ``blocks``. Of under, knockout and transplant, one.
            transplant: the name of a model whose ``blocks`` take the place of this one's.
            blocks: a range as in Python: "10:20" is blocks 10 to 19.
            batch_size: prompts, or sequences with a choice, at once.
            device: as for `load_vlm`, for a name.
            dtype: as for `load_vlm`, for a name.
            max_batch_size: lmms-eval gives it; it is for batch sizes found by trial, which are refused.

        Raises:
            ValueError: a batch size that is no number, an edge or blocks that do not exist, blocks without an
                intervention or the reverse, two interventions; as VLMError, what `load_vlm` refuses.
        """
        super().__init__()
        size = int(batch_size) if isinstance(batch_size, str) and batch_size.isdecimal() else batch_size
        self.batch_size = whole(size, "batch_size")
        self.vlm = model if isinstance(model, VLM) else load_vlm(model, device, dtype=dtype)
        self.under = under
        named = {"knockout": knockout, "transplant": transplant}
        if len(given := [way for way, value in {"under": under, **named}.items() if value is not None]) > 1:
            raise ValueError(f"Give one of {' and '.join(given)}: several at once are nested in Python, by under.")
        if (blocks is None) != (knockout is None and transplant is None):
            raise ValueError("blocks goes with knockout or transplant: give blocks=10:20 and one of them, or neither.")
        if knockout is not None:
            self.under = _knockout(self.vlm, knockout, _window(blocks, len(self.vlm.layers)))
        if transplant is not None:
            self.under = _transplant(self.vlm, transplant, _window(blocks, len(self.vlm.layers)))

    @property
    def device(self) -> torch.device:
        """Where the model runs; lmms-eval puts its own counts there."""
        return self.vlm.device

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """What the model writes to each request, as `generation.generate` says.

        Raises ValueError for what the text above refuses, and as `generate` does.
        """
        asked = [self._example(str(i), request.args[0], request.args[2:]) for i, request in enumerate(requests)]
        settings = [self._settings(request.args[1]) for request in requests]
        texts: dict[str, str] = {}
        for limit, stop in dict.fromkeys(settings):
            part = [e for e, own in zip(asked, settings, strict=True) if own == (limit, stop)]
            replies = generate(self.vlm, part, "own", self.batch_size, limit, stop, self.under, progress=True)
            texts |= {reply.id: reply.text for reply in replies}
        return [texts[example.id] for example in asked]

    def loglikelihood(self, requests: Sequence[Any]) -> list[GenerationResult]:
        """(minus the summed log-probability [nats], whether greedy decoding writes it) of each choice.

        The sum is that of `records.choice_logprobs`. Its sign is turned since lmms-eval takes the choice with the
        smallest value, for a loss; and in 0.7.3 its evaluator turns a pair to text unless a result object holds it.

        Raises ValueError for a text that is no choice, and as `choice_logprobs` does.
        """
        asked: dict[tuple, dict[str, int]] = {}  # a question -> its choices, each with its number
        places = []
        for request in requests:
            if len(request.args) != 6 or not isinstance(request.args[1], str):
                raise ValueError(
                    f"Task {request.task_name!r} asks how likely a text is that is no choice of a question (metric "
                    f"acc_mutual_info, or output_type loglikelihood): leave the metric or the task out."
                )
            context, choice, *where = request.args
            choices = asked.setdefault((context, *where), {})
            places.append(((context, *where), choices.setdefault(choice.strip(), len(choices))))
        examples = [
            self._example(str(i), context, where, tuple(choices))
            for i, ((context, *where), choices) in enumerate(asked.items())
        ]
        found = dict(zip(asked, self._scored(examples), strict=True))
        return [GenerationResult(found[question][number]) for question, number in places]

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Refused with a NotImplementedError."""
        raise NotImplementedError("A prompt holds one question here, not several rounds: choose a task of one round.")

    def _scored(self, examples: Sequence[Example]) -> list[list[tuple[float, bool]]]:
        """For each example and choice, as `loglikelihood` gives them."""
        vlm, written = self.vlm, dict[tuple[int, int], bool]()

        def read(chunk: Chunk) -> list[tuple[int, int, float, int]]:
            with nullcontext() if self.under is None else self.under(chunk.inputs):
                hidden = run(vlm, chunk.inputs)
            reads = chunk.read(hidden)
            written.update(zip(((e, c) for e, c, *_ in reads), _likeliest(vlm, chunk, hidden), strict=True))
            return reads

        parts = chunks(vlm, examples, "own", self.batch_size)
        with vlm.cached_features(), mixed_precision(vlm.device, fast=False), evaluating(vlm.model), torch.no_grad():
            made = records(examples, [one for part in parts for one in in_halves(read, part, Chunk.halves)])
        return [[(-value, written[e, c]) for c, value in enumerate(r.logprobs)] for e, r in enumerate(made)]

    def _example(self, name: str, context: str, where: Sequence[Any], choices: tuple[str, ...] = ()) -> Example:
        """A request as an example. where: (doc_to_visual, number of the row, task, split), as requests hold them."""
        doc_to_visual, row, task, split = where
        picture = _Shown(f"The picture of row {row} of task {task!r}", doc_to_visual, self.task_dict[task][split], row)
        answer = choices[0] if choices else ""  # lmms-eval keeps the right one to itself
        return Example(name, task, "", split, context, answer, choices, picture if picture.there() else None, name)

    def _settings(self, asked: dict) -> tuple[int, tuple[str, ...]]:
        """The limit of new tokens and the stop strings of a task's generation_kwargs."""
        for name, value in asked.items():
            known = {"max_new_tokens", "until", *GREEDY, *WITHOUT_EFFECT}
            if name not in known or value not in GREEDY.get(name, [value]):
                raise ValueError(
                    f"The task asks for replies with {name}={shown(value)}, but the likeliest token is always taken: "
                    f"give --gen_kwargs do_sample=False,temperature=0 for a task that draws, or choose another task."
                )
        until = asked.get("until") or []
        # A reply's text holds no special token, and the end token ends it anyway.
        without = {EMPTY_LINE, *self.vlm.tokenizer.all_special_tokens}
        stop = tuple(text for text in ([until] if isinstance(until, str) else until) if text not in without)
        return asked.get("max_new_tokens", LIMIT), stop


@dataclass(frozen=True)
class _Shown:
    """A row's picture, read from the data set each time it is shown: all of them would not fit into memory."""

    name: str
    doc_to_visual: Callable[[dict], Any]
    rows: Any
    row: int

    def there(self) -> bool:
        """Whether there is one. Raises ValueError for several, and for what is not a picture."""
        seen = self._seen()
        if len(seen) > 1:
            raise ValueError(f"{self.name} is {len(seen)} pictures, but a prompt holds one here: choose another task.")
        if seen and not isinstance(seen[0], Image.Image):
            raise ValueError(
                f"{self.name} must be a PIL image, got {type(seen[0]).__name__}: choose a task of pictures, for videos "
                f"and sounds are not shown."
            )
        return bool(seen)

    def render(self) -> Image.Image:
        """The picture in RGB. Raises PictureError if it cannot be shown."""
        return as_shown(self._seen()[0], self.name)

    def _seen(self) -> list:
        visuals = self.doc_to_visual(self.rows[self.row])
        return [one for one in (visuals if isinstance(visuals, (list, tuple)) else [visuals]) if one is not None]


def _likeliest(vlm: VLM, chunk: Chunk, hidden: torch.Tensor) -> list[bool]:
    """Whether each choice is what greedy decoding writes, in the order of `Chunk.read`; hidden: [B, T, D]."""
    found = []
    for row, span, states in zip(chunk.rows, vlm.spans(chunk.inputs), hidden, strict=True):
        start = int(span.answer[0]) - 1
        likeliest = tuple(vlm.head(states[start : start + len(row.tokens)]).argmax(-1).tolist())
        found += [likeliest[: len(tokens)] == tokens for _, tokens in row.reads]
    return found


def _window(blocks: object, depth: int) -> range:
    ends = re.fullmatch(r"([0-9]{1,9}):([0-9]{1,9})", str(blocks))
    if ends is None or not int(ends[1]) < int(ends[2]) <= depth:
        raise ValueError(
            f"blocks must be a range 'a:b' with a < b <= {depth}, for this model's blocks are 0 to {depth - 1}, got "
            f"{shown(blocks)}."
        )
    return range(int(ends[1]), int(ends[2]))


def _knockout(vlm: VLM, name: str, window: range) -> Under:
    if name not in EDGES:
        raise ValueError(f"Unknown edge {name!r}: use one of {', '.join(EDGES)}, in quotation marks on a command line.")
    return lambda batch: edits.knockout(vlm, window, *edge(vlm, batch, name))


def _transplant(vlm: VLM, name: str, window: range) -> Under:
    donor = load_vlm(name, str(vlm.device), dtype=dtype_name(vlm.base.dtype))
    return lambda batch: edits.transplant(vlm, donor, window)
