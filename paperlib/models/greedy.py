"""Greedy decoding with a key-value cache: the likeliest token, again and again, for all rows of a batch at once."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from transformers import GenerationConfig, StoppingCriteria

from paperlib.models.input_checks import Batch, check_length
from paperlib.models.left_padding import check_ends

# What a model's own generation config may hold that makes another token than the likeliest the next one, each set to
# what changes nothing. The ids of special tokens and `suppress_tokens` stay as the model has them.
PLAIN = {
    "do_sample": False,
    "num_beams": 1,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "min_length": 0,
}


class Written(NamedTuple):
    """What a model wrote after one prompt.

    tokens: ids, without the end token. ended: by what, "end" (an end token), "stop" (the caller's rule) or "length".
    """

    tokens: list[int]
    ended: str


@torch.no_grad()
def greedy(
    model: Any, batch: Batch, max_new_tokens: int, stopped: Callable[[list[int]], bool] | None = None
) -> list[Written]:
    """What a model writes after each row of a batch that is padded on the left, or not at all.

    model: of transformers, with or without PEFT around it. Interventions in force act on the prompt and on every new
    token. stopped: is asked after each new token whether a row's tokens so far are enough; they are kept.

    Raises VLMError for a batch that `VLM.batch` did not make or whose rows end apart, and for one that is too long for
    the model's context with its new tokens.
    """
    length = check_ends(batch)["input_ids"].shape[1]
    check_length(model, length + max_new_tokens)
    ends, pad = end_tokens(model), model.generation_config.pad_token_id
    rule = None if stopped is None else _Rule(stopped, length)
    config = GenerationConfig(
        max_new_tokens=max_new_tokens,
        use_cache=True,
        eos_token_id=ends or None,
        pad_token_id=ends[0] if pad is None and ends else pad,
        **PLAIN,
    )
    ids = model.generate(**batch, generation_config=config, stopping_criteria=None if rule is None else [rule])
    cuts = {} if rule is None else rule.cuts
    return [_written(row, cuts.get(i), ends) for i, row in enumerate(ids[:, length:].tolist())]


def end_tokens(model: Any) -> list[int]:
    """The ids of the tokens with which a model ends what it writes; none if its generation config names none."""
    ends = model.generation_config.eos_token_id
    return [] if ends is None else [ends] if isinstance(ends, int) else list(ends)


def _written(ids: list[int], cut: int | None, ends: list[int]) -> Written:
    """One row of what `generate` returned, which is filled up with padding after its end."""
    kept = ids[:cut]
    end = next((i for i, token in enumerate(kept) if token in ends), None)
    if end is not None:
        return Written(kept[:end], "end")
    return Written(kept, "length" if cut is None else "stop")


class _Rule(StoppingCriteria):
    """Ends each row when ``stopped`` says so. cuts: row -> how many new tokens it had then."""

    def __init__(self, stopped: Callable[[list[int]], bool], start: int):
        self.stopped, self.start = stopped, start
        self.cuts: dict[int, int] = {}

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        """Which rows have ended, bool [B]."""
        new = input_ids[:, self.start :].tolist()
        for i, ids in enumerate(new):
            if i not in self.cuts and self.stopped(ids):
                self.cuts[i] = len(ids)
        return torch.tensor([i in self.cuts for i in range(len(new))], device=input_ids.device)
