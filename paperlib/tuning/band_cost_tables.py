"""Tables of what a step costs: every arm beside full tuning, mid beside full tuning of its own kind, and a 7B model."""

from collections.abc import Mapping, Sequence

import numpy as np

from paperlib.stats.bootstrap import Interval
from paperlib.tuning.band_tables import percent
from paperlib.tuning.flops_at_size import LLAVA_7B, prefill_flops, step_flops
from paperlib.tuning.step_costs import StepCounts, StepTimes, ratio
from paperlib.tuning.train_config import TrainConfig

REPEATED = "full, repeated"
# Mid, and full tuning of its own kind.
KINDS = {
    "LoRA, connector frozen": ("mid", "full"),
    "LoRA, connector frozen, cached input": ("mid, cached input", "full"),
    "LoRA, connector tuned": ("mid, connector tuned", "full, connector tuned"),
    "all weights, connector frozen": ("mid, all weights", "full, all weights"),
}
PAPER_BAND, PAPER_TEXT = range(6, 17), 60  # blocks of LLaVA-7B; text tokens of an example


def full_seconds(times: Mapping[str, StepTimes]) -> np.ndarray:
    """Seconds of full tuning's step by round: the mean of the two times that it was timed, [rounds]."""
    return (times["full"].total + times[REPEATED].total) / 2


def step_times(times: Mapping[str, StepTimes]) -> dict[str, Interval]:
    """Time of each step as a share of full tuning's: median, lowest and highest round."""
    return {name: ratio(t.total, full_seconds(times)) for name, t in times.items()}


def cost_rows(
    configs: Mapping[str, TrainConfig], counts: Mapping[str, StepCounts], times: Mapping[str, StepTimes]
) -> list[dict]:
    """Each way of training a step: seconds, and its time, FLOPs and saved activations in percent of full tuning's."""
    shares, full = step_times(times), counts["full"]
    return [
        {
            "arm": name,
            "blocks": len(config.layers or ()),
            "trained": counts[name].trained / 1e6,
            "seconds": float(np.median(times[name].total)),
            "time": percent(shares[name]),
            "GFLOP": counts[name].flops.total / 1e9,
            "FLOPs": 100 * counts[name].flops.total / full.flops.total,
            "activations": counts[name].activation_bytes / 1e6,
            "saved activations": 100 * counts[name].activation_bytes / full.activation_bytes,
        }
        for name, config in configs.items()
    ]


def own_kind_rows(counts: Mapping[str, StepCounts], times: Mapping[str, StepTimes]) -> list[dict]:
    """Mid in percent of full tuning of the same kind."""
    rows = []
    for kind, (mid, full) in KINDS.items():
        whole = full_seconds(times) if full == "full" else times[full].total
        a, b = counts[mid], counts[full]
        rows.append(
            {
                "kind": kind,
                "time": percent(ratio(times[mid].total, whole)),
                "FLOPs": 100 * a.flops.total / b.flops.total,
                "saved activations": 100 * a.activation_bytes / b.activation_bytes,
                "gradients and moments": 100 * a.state_bytes / b.state_bytes,
            }
        )
    return rows


def rows_7b(image_tokens: Sequence[int] = (16, 576, 2880)) -> list[dict]:
    """FLOPs of the paper's band in LLaVA-7B by the formula, in percent, with and without late entry at its first block.

    LoRA of rank 16 and a frozen connector, beside 60 tokens of text; "needed keys and values" are those that a late
    entry's cache must hold.
    """
    blocks, band, text = range(LLAVA_7B.num_hidden_layers), PAPER_BAND, PAPER_TEXT
    entry, rows = PAPER_BAND[0], []
    for n in image_tokens:
        full, mid = (step_flops(LLAVA_7B, text, n, layers).total for layers in (blocks, band))
        late = step_flops(LLAVA_7B, text, n, band, entry).total
        dense = [step_flops(LLAVA_7B, text, n, layers, rank=None).total for layers in (band, blocks)]
        tuned = step_flops(LLAVA_7B, text, n, band, connector=True).total
        needed = entry * text + (len(blocks) - entry) * (text + n)
        rows.append(
            {
                "image tokens": n,
                "band": 100 * mid / full,
                "band, connector tuned": 100 * tuned / full,
                "band, all weights": 100 * dense[0] / dense[1],
                "late entry": 100 * late / full,
                "late entry, of band": 100 * late / mid,
                "needed keys and values": 100 * needed / (len(blocks) * (text + n)),
                "prefill": 100 * prefill_flops(LLAVA_7B, text, n, entry) / prefill_flops(LLAVA_7B, text, n),
            }
        )
    return rows
