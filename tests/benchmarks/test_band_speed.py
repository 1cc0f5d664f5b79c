"""Compiled training steps of each band, as shares of full tuning's in one run: `make bench` prints them.

Blocks are compiled and batches are as large as in training; steps are taken in turns. BAND_WAYS names the ways to
compare (all arms by default, semicolons between them), BAND_ROUNDS how many rounds are kept (5).
"""

import os

import pytest
import torch

from paperlib.study.study import Study
from paperlib.tuning.arms import ARMS
from paperlib.tuning.band_costs import make_steps, ways
from paperlib.tuning.step_costs import ratio, time_steps
from paperlib.tuning.train_config import compiler_found

WAYS = os.environ.get("BAND_WAYS", ";".join(ARMS)).split(";")
ROUNDS = int(os.environ.get("BAND_ROUNDS", 5))


@pytest.mark.skipif(not compiler_found(), reason="torch.compile needs a C++ compiler")
def test_compiled_steps_against_full_tuning(benchmark):
    study = Study.make("mini")
    steps = make_steps(study, {name: ways(study)[name] for name in dict.fromkeys(["full", *WAYS])}, study.band_batch)
    for step in steps.values():
        base = step.model.get_base_model() if hasattr(step.model, "get_base_model") else step.model
        blocks = base.model.language_model.layers
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 4 * len(blocks) * len(steps))
        for block in blocks:
            block.compile(dynamic=False)
    times = benchmark.pedantic(time_steps, (steps, ROUNDS, 2))
    print()
    for name, t in times.items():
        share = ratio(t.total, times["full"].total)
        benchmark.extra_info[name] = f"{share.value:.2f} [{share.low:.2f}, {share.high:.2f}]"
        print(f"{name}: {sorted(t.total)[len(t.total) // 2]:.2f} s, {benchmark.extra_info[name]} of full tuning")
        own = name.replace("mid", "full")  # with the connector tuned, or all weights
        if own not in ("full", name) and own in times:
            share = ratio(t.total, times[own].total)
            print(f"    {share.value:.2f} [{share.low:.2f}, {share.high:.2f}] of {own}")
    assert times["mid"].total.sum() < times["full"].total.sum()
