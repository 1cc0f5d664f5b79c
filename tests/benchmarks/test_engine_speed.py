"""Capture and resumed sweeps against the plain way, as ratios in one run: `make bench` prints them.

Two models: the mini VLM as it is, and a slice of a 7B LLaVA (arbitrary weights, all widths those of LLaVA-1.5-7B, few
blocks; in bfloat16 where the CPU has units for it, else in float32). What is captured are pictures with captions of all
lengths, in the order in which they come.
The mini model is in float32, and so is the plain loop over it; capture is timed twice, in float32 as well ("exact") and
with products in bfloat16 ("fast", as the notebooks capture). Over the slice both are in the slice's own.

Peak memory is resident memory (VmHWM of Linux, reset before the run) above what was resident with the model loaded;
every measurement has a process of its own, in which a run on one batch goes before. The plain loop's grows with the
number of blocks, so a slice of few shows less of a gain than the whole model would; that of "fast" has the rounded
weights in it. The gain of resuming grows with the number of windows: its limit is a half.

ENGINE_BLOCKS (of the slice: 12), ENGINE_ROWS (8, and 8 times as many for mini) and ENGINE_MODELS (mini,slice) change
the size; the model "tiny" is there to try the benchmarks themselves.
"""

import ctypes
import gc
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import torch
from llava_shaped import llava_shaped
from PIL import Image
from resident import resident

from paperlib.interventions.edits import knockout
from paperlib.interventions.sweeps import windows
from paperlib.interventions.tracing import trace
from paperlib.models.capture import POSITIONS, capture
from paperlib.models.precision import bfloat16_units, dtype_name, product_dtype
from paperlib.models.token_sets import edge
from paperlib.models.vlm import VLM, load_vlm
from paperlib.tasks.scenes import draw_scene

BLOCKS, ROWS = int(os.environ.get("ENGINE_BLOCKS", 12)), int(os.environ.get("ENGINE_ROWS", 8))
MODELS = os.environ.get("ENGINE_MODELS", "mini,slice").split(",")
BATCH = {"mini": 32, "slice": 2, "tiny": 4}
SWEPT = {"mini": 8, "slice": 1, "tiny": 4}  # sequences in a sweep
SLICE_DTYPE = product_dtype(torch.device("cpu"))
WINDOW = {"mini": 3, "slice": 1, "tiny": 1}  # blocks


def load(name: str) -> VLM:
    return llava_shaped(BLOCKS, SLICE_DTYPE) if name == "slice" else load_vlm(name, device="cpu")


def inputs(vlm: VLM, n: int) -> tuple[list[str], list[Image.Image], list[str]]:
    """n pictures, the request to describe each, and captions of scenes as answers."""
    captions = [draw_scene("test", 0, i).caption for i in range(n)]
    if vlm.name != "mini":  # a tokenizer of single letters: a fourth of them are about as many as words have tokens
        captions = [caption[::4] for caption in captions]
    pictures = [Image.new("RGB", (128, 128), (i % 256, 99, 7)) for i in range(n)]
    return [vlm.prompt("Describe the picture.")] * n, pictures, captions


@torch.no_grad()
def plain_loop(vlm: VLM, prompts, images, answers, batch_size: int) -> dict[str, torch.Tensor]:
    """The usual way: the whole model with output_hidden_states=True, batch by batch, and positions picked after it."""
    found = {name: [] for name in POSITIONS}
    for i in range(0, len(prompts), batch_size):
        batch = vlm.batch(*(group[i : i + batch_size] for group in (prompts, images, answers)))
        last = []
        handle = vlm.layers[-1].register_forward_hook(lambda module, args, output: last.append(output))
        hidden = vlm.model(**batch, output_hidden_states=True).hidden_states
        handle.remove()
        hidden = (*hidden[:-1], *last)
        for row, span in enumerate(vlm.spans(batch)):
            at = {
                "image mean": span.image,
                "image last": span.image[-1:],
                "answer position": span.question[-1:],
                "text mean": span.answer,
                "text last": span.answer[-1:],
            }
            for name, positions in at.items():
                found[name].append(torch.stack([layer[row, positions].float().mean(0) for layer in hidden]))
    return {name: torch.stack(rows) for name, rows in found.items()}


def measured(name: str, way: str, rows: int) -> tuple[float, float, float]:
    """Seconds, peak bytes above the loaded model, and a sum over the states, of one way to capture."""
    vlm, size = load(name), BATCH[name]

    def once(n: int):
        if way == "plain":
            return plain_loop(vlm, *inputs(vlm, n), size)
        return capture(vlm, *inputs(vlm, n), positions=POSITIONS, batch_size=size, fast=way == "fast")

    once(size)
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # glibc keeps what was freed, which would count as there before
        trim(0)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    start = time.perf_counter()
    found = once(rows)
    seconds = time.perf_counter() - start
    return seconds, resident("VmHWM") - before, float(sum(states.abs().sum() for states in found.values()))


def apart(*args) -> tuple[float, float, float]:
    """`measured` in a fresh process, so that nobody's memory is in another's way."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measured, *args).result()


def report(benchmark, name: str, before: float, after: float, unit: str) -> None:
    text = f"{before:.2f} {unit} -> {after:.2f} {unit}, ratio {after / before:.2f}"
    benchmark.extra_info[name] = text
    print(f"\n{name}: {text}")


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux's /proc")
@pytest.mark.parametrize("name", MODELS)
def test_capture_against_output_hidden_states(benchmark, name):
    rows = ROWS * 8 if name == "mini" else ROWS
    plain = apart(name, "plain", rows)
    ways = {"exact": benchmark.pedantic(apart, (name, "exact", rows))}  # its own entry has the process's start in it
    if name != "slice" and bfloat16_units(torch.device("cpu")):  # the slice has one precision
        ways["fast"] = apart(name, "fast", rows)
    exact = dtype_name(SLICE_DTYPE) if name == "slice" else "float32"
    of = {"exact": f"{exact} against {exact}", "fast": "bfloat16 products against float32"}
    for way, (seconds, peak, total) in ways.items():
        report(benchmark, f"{name}, capture, {of[way]}, time", plain[0], seconds, "s")
        report(benchmark, f"{name}, capture, {of[way]}, peak memory", plain[1] / 2**20, peak / 2**20, "MiB")
        assert total == pytest.approx(plain[2], rel=1e-2 if way == "fast" or name == "slice" else 1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_sweep_with_resume_against_full_windows(benchmark, name):
    """A clean run and windows over all blocks, attention from the answer to the picture knocked out, one batch."""
    vlm = load(name)
    depth, spans = len(vlm.layers), windows(len(vlm.layers), WINDOW[name], WINDOW[name])
    batch, starts = vlm.batch(*inputs(vlm, SWEPT[name])), [window.start for window in spans]
    queries, keys = edge(vlm, batch, "image->answer")

    def full() -> list[torch.Tensor]:
        found = [trace(vlm, batch, at=[]).output]
        for window in spans:
            with knockout(vlm, window, queries, keys):
                found.append(trace(vlm, batch, at=[]).output)
        return [hidden[:, -1] for hidden in found]

    def resumed() -> list[torch.Tensor]:
        traced = trace(vlm, batch, at=starts)
        found = [traced.output]
        for window in spans:
            with knockout(vlm, window, queries, keys):
                found.append(traced.resume(window.start))
        return [hidden[:, -1] for hidden in found]

    seconds, found = {}, {}
    trace(vlm, batch, at=[])
    for way in (full, resumed):
        begun = time.perf_counter()
        found[way] = benchmark.pedantic(way) if way is resumed else way()
        seconds[way] = time.perf_counter() - begun
    assert all(torch.equal(a, b) for a, b in zip(found[full], found[resumed], strict=True))
    share = (depth + sum(depth - start for start in starts)) / (depth * (1 + len(starts)))
    report(
        benchmark,
        f"{name}, sweep of {len(starts)} windows ({share:.2f} of the blocks run)",
        seconds[full],
        seconds[resumed],
        "s",
    )
