"""Logit lens: which word would the model say if it stopped at this layer?

Nostalgebraist 2020, "interpreting GPT: the logit lens". `VLM.unembed` turns a state of any layer into scores, and the
word of interest gets a rank among all tokens (1 is the likeliest) and a log-probability. At image tokens the rank says
how near a visual feature is to the word for what is seen. The lens reads only what the last layer would read, so a poor
rank in an early layer is no evidence that the word is not there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from paperlib.models.vlm import VLM
from paperlib.stats.accuracy import Interval
from paperlib.stats.bootstrap import group_intervals, median_intervals
from paperlib.study.checks import seeded


@dataclass(frozen=True)
class LensResult:
    """One layer. The control is the word of another example at the same states, so a frequent word gains nothing."""

    layer: int
    rank: Interval  # median over examples; 1 is best
    reciprocal: Interval  # mean of 1 / rank
    logprob: float  # mean, nats
    control_rank: Interval
    control_reciprocal: Interval
    lift: Interval  # mean log-probability of a word at its own example minus that at another one, nats


def logit_lens(
    vlm: VLM,
    states: ArrayLike | torch.Tensor,
    words: Sequence[str],
    groups: Sequence,
    seed: int = 0,
    megabytes: int = 512,
) -> list[LensResult]:
    """The word of each example in the lens, layer by layer, one result a layer.

    Args:
        vlm: the model whose states these are.
        states: [N, L+1, D], before the final norm, or [N, L+1, T, D], where the best of T tokens counts, for the word
            and for the control alike.
        words: [N], the word for what each example shows; at least two different ones.
        groups: [N], the scene or the concept, for intervals.
        seed: of the control words and the intervals.
        megabytes: of memory for scores over the vocabulary.

    Raises:
        ValueError: as `word_ranks`, and for a single word or a single group.
    """
    states = torch.as_tensor(states)
    if states.ndim not in (3, 4) or not len(states) == len(words) == len(groups) or len(set(groups)) < 2:
        raise ValueError(
            f"States must be [examples, layers, width] or [examples, layers, tokens, width], with a word "
            f"and a group for each example and at least two groups; got {tuple(states.shape)}, "
            f"{len(words)} words and {len(set(groups))} groups."
        )
    others = other_examples([first_tokens(vlm.tokenizer, word)[-1] for word in words], seed)
    ranks, logprobs = word_ranks(vlm, states, [(w, words[j]) for w, j in zip(words, others, strict=True)], megabytes)
    if states.ndim == 4:
        ranks, logprobs = ranks.min(axis=2), logprobs.max(axis=2)
    worst = vlm.model.get_output_embeddings().weight.shape[0]
    rank, control_rank = (median_intervals(ranks[:, :, i].T, groups, (1, worst), seed=seed) for i in (0, 1))
    reciprocal, control = (group_intervals(1 / ranks[:, :, i].T, groups, (0, 1), seed=seed) for i in (0, 1))
    # The same word at two states: how common it is cancels out.
    gain = (logprobs[others, :, 0] - logprobs[:, :, 1]).T  # [L+1, N]
    lift = group_intervals(gain, np.asarray(groups)[others], (gain.min(), gain.max()), seed=seed)
    return [
        LensResult(i, rank[i], reciprocal[i], float(logprobs[:, i, 0].mean()), control_rank[i], control[i], lift[i])
        for i in range(len(rank))
    ]


@torch.inference_mode()
def word_ranks(
    vlm: VLM, states: ArrayLike | torch.Tensor, words: Sequence[Sequence[str]], megabytes: int = 512
) -> tuple[np.ndarray, np.ndarray]:
    """Rank and log-probability of K words at each state: two arrays [N, ..., K].

    A word counts by its first token, with a space before it or without, whichever is likelier. Rank 1 is the likeliest
    token; a tie counts against the word.

    Args:
        vlm: the model whose states these are.
        states: [N, ..., D], before the decoder's final norm.
        words: [N][K].
        megabytes: at most this much for scores over the vocabulary at a time.

    Raises:
        ValueError: counts or widths that differ, states that are not finite, or a word without a token.
    """
    vocabulary, width = vlm.base.get_output_embeddings().weight.shape
    states = torch.as_tensor(states)
    if states.ndim < 2 or states.shape[-1] != width or len(words) != len(states) or not states.numel():
        raise ValueError(
            f"States must be [N, ..., {width}] with words for each of N, got shape {tuple(states.shape)} "
            f"and {len(words)} lists of words."
        )
    if not bool(states.isfinite().all()):
        raise ValueError("Some states are NaN or infinite: capture them again, or leave these examples out.")
    if len({len(row) for row in words}) > 1 or not words[0] or any(isinstance(row, str) for row in words):
        raise ValueError("Every example needs a list of words, at least one and as many as the others.")
    known = {word: first_tokens(vlm.tokenizer, word) for row in words for word in row}
    tokens = torch.tensor([[(known[word] * 2)[:2] for word in row] for row in words], device=vlm.device)  # [N, K, 2]

    flat = states.reshape(-1, width)
    owner = torch.arange(len(states)).repeat_interleave(len(flat) // len(states)).to(vlm.device)
    at_once = max(1, megabytes * 2**20 // (3 * 4 * vocabulary))  # scores, their float copy, a comparison
    ranks, logprobs = [], []
    for part, whose in zip(flat.split(at_once), owner.split(at_once), strict=True):
        logits = vlm.unembed(part)  # [n, V]
        own = logits.gather(1, tokens[whose].flatten(1)).unflatten(1, tokens.shape[1:]).amax(2)  # [n, K]
        # Counted as bytes: torch's sum of booleans takes half as long again.
        ahead = [(logits >= column[:, None]).view(torch.uint8).sum(1, dtype=torch.int32) for column in own.T]
        ranks.append(torch.stack(ahead, dim=1).cpu())
        logprobs.append((own - logits.logsumexp(1, keepdim=True)).cpu())
    shape = (*states.shape[:-1], tokens.shape[1])
    return torch.cat(ranks).reshape(shape).numpy(), torch.cat(logprobs).reshape(shape).numpy()


def first_tokens(tokenizer: Any, word: str) -> list[int]:
    """The first token of a word at the start of a text and after a space: one or two ids.

    Tokens of nothing but space are skipped (SentencePiece may set the space apart). The first token of a long word may
    be only its beginning ("hot" of "hot dog"), which other words may share.
    Raises ValueError for a word without any token.
    """
    found = []
    for text in (word.strip(), " " + word.strip()):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        first = next((i for i in ids if tokenizer.decode([i]).strip()), None)
        if first is not None and first not in found:
            found.append(first)
    if not found:
        raise ValueError(f"The word {word!r} has no token to look for: leave its example out.")
    return found


def other_examples(keys: Sequence, seed: int = 0) -> list[int]:
    """For each example [N], the number of another with a different key.

    A random permutation, so each key is used as often as it occurs, unless one key fills more than half of them.
    Raises ValueError if all keys are the same.
    """
    key = np.asarray(keys)
    if len(np.unique(key)) < 2:
        raise ValueError("The control needs at least two different words among the examples.")
    rng = seeded(seed)
    other = rng.permutation(len(key))
    for i in np.flatnonzero(key[other] == key):
        if key[other[i]] != key[i]:
            continue  # an earlier exchange has mended it
        free = np.flatnonzero((key[other] != key[i]) & (key != key[other[i]]))
        if len(free):
            j = rng.choice(free)
            other[i], other[j] = other[j], other[i]
        else:
            other[i] = rng.choice(np.flatnonzero(key != key[i]))
    return other.tolist()
