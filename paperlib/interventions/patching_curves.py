"""Patching at every layer of a grid, and where the hold on the answer is lost.

An example and its counterfactual have one question and two choices: the example's answer and the counterfactual's.
The *log-odds* are the first choice's log-probability minus the second's, in nats. A token set *holds* the answer at a
layer as far as carrying its states over moves the log-odds to the counterfactual's answer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch

from paperlib.interventions.edits import patch
from paperlib.interventions.sweeps import Sweep
from paperlib.models.capture import set_states
from paperlib.models.precision import mixed_precision
from paperlib.models.token_sets import tokens
from paperlib.models.vlm import VLM
from paperlib.scoring.records import Record
from paperlib.stats.bootstrap import Interval, statistic_interval
from paperlib.stats.effects import paired_difference
from paperlib.tasks.benchmarks import Example


def paired_sources(pairs: Iterable[tuple[Example, Example]]) -> tuple[list[Example], list[Example]]:
    """Examples and their counterfactuals, these under the ids and answers of those: two sweeps with the same rows."""
    pairs = list(pairs)
    return [a for a, _ in pairs], [replace(b, id=a.id, answer=a.answer) for a, b in pairs]


def log_odds(records: Sequence[Record]) -> np.ndarray:
    """Of the first choice against the second, [n] in nats."""
    return np.array([record.logprobs[0] - record.logprobs[1] for record in records])


def patched(sweep: Sweep, source: Sweep, layers: Sequence[int], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Log-odds with the states of one token set, at one layer, carried over from ``source``: {set: [layers, n]}.

    sweep: traced at `resumed_at`. source: of the same questions about other pictures, batched alike. layers: 0 to L.
    Raises ValueError if the two sweeps do not run the same sequences, and as `edits.patch` does.
    """
    vlm = sweep.vlm
    here, there = ([[(r.example, r.prompt, r.text) for r in c.rows] for c in s.chunks] for s in (sweep, source))
    if here != there:
        raise ValueError(
            "States can be carried over only between sweeps of the same questions and choices in one order."
        )
    with mixed_precision(vlm.device, sweep.fast):
        carried = [set_states(vlm, chunk.inputs, layers, names) for chunk in source.chunks]
        return {
            name: np.array([_odds_at(sweep, name, layer, _at(carried, name, i)) for i, layer in enumerate(layers)])
            for name in names
        }


def _at(carried: list[dict[str, list[torch.Tensor]]], name: str, number: int) -> list[list[torch.Tensor]]:
    """States of a set at one layer of the grid: for each chunk, for each row, [tokens, D]."""
    return [[row[number] for row in kept[name]] for kept in carried]


def _odds_at(sweep: Sweep, name: str, layer: int, states: list[list[torch.Tensor]]) -> np.ndarray:
    of_chunk = {id(chunk): kept for chunk, kept in zip(sweep.chunks, states, strict=True)}
    start = resumed_at(sweep.vlm, layer)
    return log_odds(
        sweep.under(start, lambda c: patch(sweep.vlm, layer, tokens(sweep.vlm, c.inputs, name), of_chunk[id(c)]))
    )


def resumed_at(vlm: VLM, layer: int) -> int:
    """The block from which a pass patched at this layer resumes: the one that reads it, or the last one for layer L."""
    return min(layer, len(vlm.layers) - 1)


def hold_lost(odds: np.ndarray, layers: Sequence[int], windows: Sequence[range]) -> np.ndarray:
    """How much of a token set's hold on the answer is lost inside each window of blocks, [windows, n] in nats.

    odds: `patched` log-odds of the set [layers, n]. Between two layers of the grid the hold is interpolated linearly.
    """
    hold = -np.asarray(odds, float)

    def at(layer: int) -> np.ndarray:
        place = np.interp(layer, layers, range(len(layers)))
        below = min(int(place), len(layers) - 2)
        return hold[below] + (place - below) * (hold[below + 1] - hold[below])

    return np.array([at(window.start) - at(window.stop) for window in windows])


def leaving_depth(
    odds: np.ndarray,
    depth: Sequence[float],
    clean: np.ndarray,
    counterfactual: np.ndarray,
    groups: Sequence[str],
    seed: int = 0,
) -> Interval | None:
    """The relative depth at which the answer's content leaves a token set: from there on it moves the answer by less
    than half of what it moves it by at the first layer. Between two layers the crossing is interpolated.

    odds: `patched` log-odds of the set [layers, n], and the relative depth of these layers. clean, counterfactual:
    log-odds [n] without patching, of the examples and their counterfactuals. None if the model does not clearly tell
    them apart (`effects.gap_share` has the same condition), or if the set does not hold the answer at the first layer:
    nothing could leave.
    """
    if paired_difference(clean.tolist(), counterfactual.tolist(), groups, seed=seed).low <= 0:
        return None
    moves = np.asarray(clean, float) - np.asarray(odds, float)
    return statistic_interval(lambda means: _half_left(means, depth), moves, groups, (0, 1), seed=seed)


def _half_left(means: np.ndarray, depth: Sequence[float]) -> float | None:
    held = np.flatnonzero(means >= means[0] / 2)
    last = int(held[-1]) if len(held) else 0
    if means[0] <= 0 or last == len(means) - 1:
        return None
    share = (means[last] - means[0] / 2) / (means[last] - means[last + 1])
    return float(depth[last] + share * (depth[last + 1] - depth[last]))


def steepest(odds: np.ndarray, layers: Sequence[int]) -> tuple[int, int]:
    """The two neighbouring layers of the grid between which the mean hold falls most."""
    i = int(np.argmax(np.diff(np.asarray(odds, float).mean(axis=1))))
    return layers[i], layers[i + 1]
