"""Speed as ratios in one run, on the mini model: `make bench` prints them. Not part of `make test`."""

import time

import pytest
import torch

from paperlib.models.parts import connector
from paperlib.models.precision import mixed_precision
from paperlib.models.vlm import load_vlm
from paperlib.scoring.records import choice_logprobs
from paperlib.tasks import benchmarks
from paperlib.tasks.conversations import Conversation, conversation
from paperlib.tuning.finetune import batch, trainable
from paperlib.tuning.packing import embedded, pack, packed_loss
from paperlib.tuning.train_config import TrainConfig, compiler_found

CONFIG = TrainConfig(stage=2, steps=1, batch_size=8)


def seconds(run, repeats: int = 3) -> float:
    """The fastest of some repeats, after one to warm up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.fixture(scope="module")
def tuning():
    """The mini model as stage 2 trains it, with a step function over packed batches."""
    vlm = load_vlm("mini-base")
    trainable(vlm, CONFIG)
    base = vlm.model.get_base_model()
    base.model.language_model.set_attn_implementation("eager")

    def step(packed, features):
        with mixed_precision(vlm.device):
            packed_loss(base, packed, embedded(base, packed, features)).backward()
        vlm.model.zero_grad()

    return vlm, base, step


def report(benchmark, name: str, before: float, after: float) -> None:
    benchmark.extra_info[name] = f"{before:.2f} s -> {after:.2f} s, ratio {after / before:.2f}"
    print(f"\n{name}: {before:.2f} s -> {after:.2f} s, ratio {after / before:.2f}")


def test_packing_against_one_sequence_a_turn(benchmark, tuning):
    """The same turns, packed behind one picture, or each in a sequence with its own picture."""
    vlm, base, step = tuning
    plain = type(vlm)(vlm.name, base, vlm.processor)
    talks = [conversation(0, i) for i in range(CONFIG.batch_size)]
    packed, features = batch(vlm, base, CONFIG, 0)
    kept = [
        [talk.turns[t - 1] for t in sorted(set(packed.branch[b].tolist()) - {-1, 0})] for b, talk in enumerate(talks)
    ]
    single = [(b, Conversation(talks[b].picture, (turn,))) for b, turns in enumerate(kept) for turn in turns]
    parts = [single[i : i + 16] for i in range(0, len(single), 16)]

    def alone():
        for part in parts:
            dtype = packed.mask.dtype
            step(pack(plain, [talk for _, talk in part], 80, dtype), features[[b for b, _ in part]])

    report(benchmark, "packing, one step", seconds(alone), seconds(lambda: step(packed, features)))
    benchmark.pedantic(step, (packed, features))
    assert connector(base).linear_1.weight.requires_grad


@pytest.mark.skipif(not compiler_found(), reason="torch.compile needs a C++ compiler")
def test_compiled_blocks_against_plain_ones(benchmark, tuning):
    vlm, base, step = tuning
    inputs = batch(vlm, base, CONFIG, 0)
    before = seconds(lambda: step(*inputs))
    torch._dynamo.config.recompile_limit = 4 * len(vlm.layers)
    for block in base.model.language_model.layers:
        block.compile(dynamic=False)
    report(benchmark, "torch.compile, one step", before, seconds(lambda: step(*inputs)))
    benchmark.pedantic(step, inputs)


def test_scoring_with_fast_products(benchmark):
    """bfloat16 products where the CPU has units for them: faster, and hardly another accuracy."""
    vlm = load_vlm("mini")
    examples = benchmarks.load("scenes", "test", 12)
    exact, fast = (lambda f=f: choice_logprobs(vlm, examples, fast=f) for f in (False, True))
    report(benchmark, "fast scoring", seconds(exact, 1), seconds(fast, 1))
    benchmark.pedantic(fast)
    same = sum(a.prediction == b.prediction for a, b in zip(exact(), fast()))
    assert same >= 0.97 * len(examples)
