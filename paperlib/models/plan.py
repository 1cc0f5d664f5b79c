"""What a run will fetch, need and take, before anything is fetched: from shapes alone, on torch's "meta" device.

    python -m paperlib.models.plan paper gpu=a100-80gb model=llava-1.5-7b

The model is built without numbers from the lineage's configuration (`Lineage.plan`, or a config.json that is here), so
its weights are counted exactly. Sequences by notebook follow from the study's budgets (`plan_work`). Times are the
FLOPs of these sequences at a stated share of a processor's peak: an estimate of the order, not of the minute.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import psutil
import torch
from huggingface_hub import try_to_load_from_cache
from transformers import AutoConfig, AutoModelForImageTextToText

from paperlib.models.lineage_models import weights_dtype
from paperlib.models.lineages import Lineage, LineageError, Source, lineage_of
from paperlib.models.plan_work import TEXT_TOKENS, Work, arms_of, work_of
from paperlib.stats.words import listed
from paperlib.study.grid import runs_of
from paperlib.study.make_arguments import check_config, values
from paperlib.study.study import Study, StudyError, repo_root

GB = 1e9
# Peak of dense products [TFLOP/s] in bfloat16 (float16 where there is no bfloat16) and memory [GB], from data sheets.
GPUS = {
    "t4": (65, 16),
    "v100": (125, 32),
    "rtx3090": (71, 24),
    "rtx4090": (165, 24),
    "l4": (121, 24),
    "l40s": (362, 48),
    "a100-40gb": (312, 40),
    "a100-80gb": (312, 80),
    "h100": (989, 80),
    "h200": (989, 141),
}
UTILISATION = 0.35  # share of the peak that such passes reach; an assumption, printed with every estimate
OVERHEAD = 1.5  # GB that CUDA and its libraries take


class PlanError(ValueError):
    """A run cannot be planned, or what it needs is not there; the message is one sentence."""


@dataclass(frozen=True)
class Size:
    """A model's size: parameters in all, of the LLM (blocks, embeddings, norm, head) and of the connector; D, L, and
    the image tokens of a picture.
    """

    parameters: int
    llm: int
    connector: int
    width: int
    layers: int
    image_tokens: int


def size_of(lineage: Lineage) -> Size:
    """A lineage's size, counted on a model without numbers.

    Raises PlanError if its configuration is not known here.
    """
    config, image_tokens = _config(lineage)
    with torch.device("meta"):
        return counted(AutoModelForImageTextToText.from_config(config), image_tokens)


def counted(model: Any, image_tokens: int) -> Size:
    """The size of a model of transformers, whose weights may be there or not."""
    from paperlib.models.parts import connector, word_embeddings

    llm = {id(p): p.numel() for p in (*model.get_decoder().parameters(), *model.get_output_embeddings().parameters())}
    return Size(
        parameters=sum(p.numel() for p in model.parameters()),
        llm=sum(llm.values()),
        connector=sum(p.numel() for p in connector(model).parameters()),
        width=word_embeddings(model).weight.shape[1],
        layers=len(model.get_decoder().layers),
        image_tokens=image_tokens,
    )


def downloads(lineage: Lineage, size: Size, stored: int = 2) -> list[tuple[str, str, float]]:
    """(what, repository, GB) of each thing to fetch. stored: bytes of a stored weight; models of the hub are in 16
    bits.
    """
    found = []
    if lineage.tuned:
        found.append(("tuned model", lineage.tuned.repo, size.parameters * stored / GB))
    if lineage.llm:
        found.append(("LLM before tuning", lineage.llm.repo, size.llm * stored / GB))
    if lineage.connector:
        found.append(("connector of stage 1", lineage.connector.repo, size.connector * stored / GB))
    found += [(f"band {name}", source.repo, size.parameters * stored / GB) for name, source in lineage.bands.items()]
    return found


def memory(study: Study, lineage: Lineage, size: Size, device: str) -> dict[str, float]:
    """GB by what takes it: weights, a pass, the traces of a sweep, models that wait on the host."""
    itemsize = weights_dtype(lineage, study.dtype, device).itemsize
    tokens = size.image_tokens + TEXT_TOKENS
    one = size.parameters * itemsize / GB
    # Of a layer's states a pass holds a few at once; those that are captured or traced are kept for all layers or
    # starts.
    states = study.eval_batch * tokens * size.width * itemsize / GB
    return {
        "weights of one model": one,
        "its working memory in a pass": 8 * states,
        "the traces of one batch of a sweep": 8 * states,
        "the LLM before tuning, beside it": size.llm * itemsize / GB if lineage.llm else 0.0,
    }


def report(study: Study, lineage: Lineage, gpu: str | None = None) -> tuple[list[str], list[str]]:
    """Lines of a plan, and a sentence for each thing that cannot fit.

    Raises PlanError for an unknown GPU and for an unknown configuration.
    """
    name, (peak, room) = _gpu(gpu)
    size, device = size_of(lineage), "cpu" if name is None else "cuda"
    fetched, needed = downloads(lineage, size), memory(study, lineage, size, device)
    lines = [f"{study.model}, preset {study.preset}: {lineage.note or 'a model of its own'}."]
    lines.append(
        f"{size.parameters / 1e9:.2f} billion weights, {size.layers} blocks of width {size.width}, {size.image_tokens} "
        f"image tokens for a picture."
    )
    lines.append(f"Licence: {lineage.licence or 'not stated'}.")
    if lineage.gated:
        lines.append("Gated: accept the licence on its page, then type `hf auth login`.")
    lines += [f"  fetch {what}: {repo}, {gb:.2f} GB" for what, repo, gb in fetched]
    free = shutil.disk_usage(repo_root()).free / GB
    total = sum(gb for what, _, gb in fetched if not what.startswith("band"))
    bands = sum(gb for what, _, gb in fetched if what.startswith("band"))
    more = f", and {bands:.1f} GB for bands that notebook 05 asks if they are there" if bands else ""
    lines.append(f"Disk: {total:.1f} GB to fetch{more}; {free:.1f} GB free.")
    lines += [f"  {what}: {gb:.2f} GB" for what, gb in needed.items() if gb]
    peak_memory = needed["weights of one model"] + needed["its working memory in a pass"]
    peak_memory += needed["the traces of one batch of a sweep"] + (OVERHEAD if name else 0)
    host = (needed["weights of one model"] + needed["the LLM before tuning, beside it"]) * (1 if name else 2)
    there = psutil.virtual_memory().total / GB
    what = "GPU" if name else "machine"
    lines.append(f"Memory of the {what}: {peak_memory:.1f} GB for one model at work, of {room:.0f}.")
    lines.append(f"Host memory: {host:.1f} GB while stages are put together, of {there:.0f}.")
    assumed = f"{UTILISATION:.0%} of {peak:,.3g} TFLOP/s ({name or 'this machine'})"
    lines.append(f"Time at {assumed}, an order of magnitude:")
    for w in work_of(study, size.image_tokens, arms_of(lineage)):
        lines.append(f"  {w.notebook}: {w.sequences:,} sequences, {w.flops(size.llm):.2g} FLOP, {_time(w, size, peak)}")
    places = (
        ("disk", total, free),
        ("memory of the GPU" if name else "memory", peak_memory, room),
        ("host memory", host, there),
    )
    return lines, [
        f"This cannot fit: it needs {need:.1f} GB of {where} and there are {have:.1f}; choose a smaller model, a "
        f"smaller eval_batch, or another machine."
        for where, need, have in places
        if need > have
    ]


def _time(work: Work, size: Size, peak: float) -> str:
    seconds = work.flops(size.llm) / (UTILISATION * peak * 1e12)
    return f"{seconds / 3600:.1f} h" if seconds > 3600 else f"{max(1, round(seconds / 60))} min"


def _gpu(name: str | None) -> tuple[str | None, tuple[float, float]]:
    """A GPU's name, peak and memory; without a name this machine's own, or its processor's."""
    if name is not None:
        if name.lower() not in GPUS:
            near = [gpu for gpu in GPUS if gpu.startswith(name.lower())] or get_close_matches(
                name.lower(), GPUS, 1, 0.4
            )
            meant = f" (did you mean {near[0]}?)" if near else ""
            raise PlanError(f"There is no GPU {name!r} in the table{meant}: choose one of {', '.join(GPUS)}.")
        return name.lower(), GPUS[name.lower()]
    from paperlib.models.run_time import speed

    return None, (speed()[1] / UTILISATION, psutil.virtual_memory().total / GB)


def _config(lineage: Lineage) -> tuple[Any, int]:
    """The configuration, and the image tokens of a picture."""
    if lineage.built:
        from paperlib.models.assemble import build_tiny

        model = build_tiny()[0] if lineage.built == "tiny" else None
        config = model.config if model is not None else AutoConfig.from_pretrained(_mini_folder())
        return config, config.image_seq_length
    if lineage.plan:
        given = dict(lineage.plan)
        kind, tokens = given.pop("model_type"), given.pop("image_tokens")
        return AutoConfig.for_model(kind, **given), tokens
    path = _config_file(lineage.tuned)
    if path is None:
        raise PlanError(
            f"The size of {lineage.name!r} is not known here: give its lineage a `plan`, or fetch its config.json (hf "
            f"download {lineage.tuned.repo if lineage.tuned else lineage.name} config.json)."
        )
    config = AutoConfig.from_pretrained(path.parent)
    raw = json.loads(path.read_text(encoding="utf-8"))
    return config, int(raw.get("image_seq_length") or raw.get("mm_tokens_per_image") or 576)


def _mini_folder() -> Path:
    from paperlib.models.assemble import build_mini

    return build_mini()


def _config_file(source: Source | None) -> Path | None:
    if source is None:
        return None
    local = Path(source.repo) / "config.json"
    kept = local if local.is_file() else try_to_load_from_cache(source.repo, "config.json", revision=source.revision)
    return Path(kept) if isinstance(kept, (str, Path)) else None


def main(words: Sequence[str]) -> None:
    """Print the plan of each run that the words name; exit status 1 if one cannot fit."""
    preset, *rest = words
    gpus = [word.removeprefix("gpu=") for word in rest if word.startswith("gpu=")]
    rest = [word for word in rest if not word.startswith("gpu=")]
    try:
        check_config(preset, rest)
        runs = runs_of({"preset": preset} | values(dict(word.split("=", 1) for word in rest)))
        for model in dict.fromkeys(run.study.model for run in runs.values()):
            study = next(run.study for run in runs.values() if run.study.model == model)
            lines, refusals = report(study, lineage_of(model), gpus[0] if gpus else None)
            print("\n".join(lines))
            if refusals:
                raise PlanError(refusals[0])
        if len(runs) > 1:
            print(f"Runs: {listed(list(runs))}; times are those of one seed.")
    except (StudyError, LineageError, PlanError) as error:
        sys.exit(f"make plan: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
