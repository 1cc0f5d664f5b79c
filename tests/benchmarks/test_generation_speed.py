"""Generation on the mini model, as ratios in one run: a batch against one by one, and interventions against none.

Every reply has the same number of tokens, GENERATED (64, as captions are given), because the model is told not to end
one. GENERATED and ASKED (16 questions) change the size. The targets are those of two quiet cores: a batch of 16 has at
least 6 times the throughput of one by one, and an intervention costs less than 15 % (measured at half of GENERATED,
often, since a few percent are lost in the noise of a single run).
"""

import os
import time

import pytest
import torch

from paperlib.interventions.edits import bypass, knockout, patch
from paperlib.models.capture import token_states
from paperlib.models.token_sets import edge, tokens
from paperlib.models.vlm import load_vlm
from paperlib.scoring.generation import generate
from paperlib.tasks import benchmarks

GENERATED, ASKED = int(os.environ.get("GENERATED", 64)), int(os.environ.get("ASKED", 16))


@pytest.fixture(scope="module")
def asked():
    """(model, questions): the model writes on until the limit."""
    vlm = load_vlm("mini", device="cpu")
    vlm.model.generation_config.suppress_tokens = sorted({*vlm.tokenizer.all_special_ids, vlm.image_token_id})
    return vlm, benchmarks.load("scenes", "test", ASKED)[:ASKED]


def seconds(*ways, repeats: int) -> list[float]:
    """The fastest of some repeats of each way, in turn, so that a busy moment meets all alike, after one to warm up."""
    ways[0]()
    times = [[] for _ in ways]
    for _ in range(repeats):
        for way, found in zip(ways, times):
            start = time.perf_counter()
            way()
            found.append(time.perf_counter() - start)
    return [min(found) for found in times]


def test_a_batch_against_one_by_one(benchmark, asked):
    vlm, examples = asked

    def run(batch_size):
        return generate(vlm, examples, batch_size=batch_size, max_new_tokens=GENERATED)

    together, alone = seconds(lambda: run(ASKED), lambda: run(1), repeats=1)
    report = f"{ASKED / alone:.2f} -> {ASKED / together:.2f} replies/s, ratio {alone / together:.2f}"
    benchmark.extra_info["generation, one by one -> batch"] = report
    print(f"\n{torch.get_num_threads()} threads, {GENERATED} tokens, {ASKED} questions: {report}")
    benchmark.pedantic(run, (ASKED,))


def test_interventions_against_none(benchmark, asked):
    vlm, examples = asked
    blocks, layer = range(10, 20), 10

    def patched(batch):
        image = tokens(vlm, batch, "image")
        return patch(vlm, layer, image, states[: len(image)])

    ways = {
        "none": None,
        "closed edge, ten blocks": lambda b: knockout(vlm, blocks, *edge(vlm, b, "image->answer")),
        "closed edge, all blocks": lambda b: knockout(vlm, range(len(vlm.layers)), *edge(vlm, b, "image->answer")),
        "entry bypass": lambda b: bypass(vlm, tokens(vlm, b, "image"), enter=layer),
        "patch": patched,
    }
    prompts = [vlm.prompt(e.question) for e in examples]
    batch = vlm.batch(prompts, [e.picture.render() for e in examples])
    states = [row[0] for row in token_states(vlm, batch, [layer])]

    def run(way):
        return generate(vlm, examples, batch_size=ASKED, max_new_tokens=GENERATED // 2, under=ways[way])

    none, *others = seconds(*(lambda way=way: run(way) for way in ways), repeats=4)
    for way, taken in zip(list(ways)[1:], others):
        report = f"{none:.2f} s -> {taken:.2f} s, {taken / none - 1:+.1%}"
        benchmark.extra_info[f"generation, {way}"] = report
        print(f"\n{way}: {report}")
    benchmark.pedantic(run, ("closed edge, ten blocks",))
