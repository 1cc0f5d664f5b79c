"""States of every layer at named positions, for probes and geometry. Layers are numbered as in `models.residual`.

Positions:

- "image mean", "image last": over the picture's tokens;
- "answer position": the prompt's last token, which predicts the first token of the answer;
- "text mean", "text last": over the tokens of `answers` only. A caption is captured as an answer: after a prompt, with
  or without a picture, or after the empty prompt "". The first token of a sequence has a few enormous values, whatever
  it says (Sun et al., arXiv 2402.17762). They enter the mean of a caption after an empty prompt, unless the tokenizer
  begins with a token of its own, which counts as prompt.

The head does not run, no layer is stored whole, and only pooled states leave the device.
"""

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from paperlib.models.input_checks import check_batch
from paperlib.models.memory import divided, in_halves
from paperlib.models.precision import mixed_precision
from paperlib.models.processors import encode
from paperlib.models.residual import interventions, run, watching
from paperlib.models.token_sets import flat, tokens
from paperlib.models.vlm import VLM, Batch, fingerprint
from paperlib.study.checks import check_numbers, whole
from paperlib.study.disk import room
from paperlib.study.results import data_digest
from paperlib.study.sources import code_digest

SOURCES = {
    "image mean": "image",
    "image last": "image",
    "answer position": "answer position",
    "text mean": "text",
    "text last": "text",
}
POSITIONS = tuple(SOURCES)

log = logging.getLogger("paperlib")


@torch.no_grad()
def states(vlm: VLM, batch: Batch, positions: Sequence[str]) -> dict[str, torch.Tensor]:
    """{name: [B, L + 1, D], float32, on the CPU} for one batch, interventions in force.

    Raises ValueError for unknown positions, and for rows without the tokens that a position needs.
    """
    _check_positions(positions)
    sets = {name: tokens(vlm, batch, SOURCES[name]) for name in positions}
    for name in positions:
        if name.endswith("last"):
            sets[name] = [p[-1:] for p in sets[name]]
    where = {name: flat(p, vlm.device) for name, p in sets.items()}
    pooled: dict[str, list[torch.Tensor]] = {name: [] for name in positions}

    def pool(state: torch.Tensor) -> None:
        for name, p in sets.items():
            pooled[name].append(_means(state[where[name]].float(), [len(row) for row in p]))

    with watching(vlm, [(layer, pool) for layer in range(len(vlm.layers) + 1)]):
        run(vlm, batch)
    return {name: torch.stack(layers, dim=1).cpu() for name, layers in pooled.items()}


@torch.no_grad()
def token_states(vlm: VLM, batch: Batch, layers: Sequence[int], name: str = "image") -> list[torch.Tensor]:
    """States of each token of a set (`models.token_sets`): [layers, n, D] for each row, float32, on the CPU.

    Layers are in the order of ``layers``. Raises ValueError for layers that don't exist, and as `token_sets.tokens`
    does.
    """
    return set_states(vlm, batch, layers, [name])[name]


@torch.no_grad()
def set_states(vlm: VLM, batch: Batch, layers: Sequence[int], names: Iterable[str]) -> dict[str, list[torch.Tensor]]:
    """`token_states` of several sets, from one pass: {name: [layers, n, D] for each row}."""
    check_numbers(layers, len(vlm.layers) + 1, "layer")
    sets = {name: tokens(vlm, batch, name) for name in names}
    where = {name: flat(positions, vlm.device) for name, positions in sets.items()}
    found: dict[int, dict[str, torch.Tensor]] = {}

    def keep(layer: int) -> Callable[[torch.Tensor], None]:
        return lambda state: found.__setitem__(layer, {name: state[at].float() for name, at in where.items()})

    with watching(vlm, [(layer, keep(layer)) for layer in set(layers)]):
        run(vlm, batch)
    together = {name: torch.stack([found[layer][name] for layer in layers]).cpu() for name in sets}
    return {
        name: [part.clone() for part in together[name].split([len(p) for p in positions], dim=1)]
        for name, positions in sets.items()
    }


def capture(
    vlm: VLM,
    prompts: Sequence[str],
    images: Sequence[Image.Image] | None,
    answers: Sequence[str] | None = None,
    *,
    positions: Sequence[str],
    batch_size: int = 32,
    fast: bool = False,
    cache: Path | None = None,
    key: dict | None = None,
) -> dict[str, torch.Tensor]:
    """`states` for any number of prompts: {name: [N, L + 1, D], float32, on the CPU}, in the order given.

    prompts, images, answers: as `VLM.batch` takes them. Sequences of similar length share a batch, to limit padding.
    fast: see `precision.mixed_precision`; states then differ in the third digit.
    cache: a folder for results. They are found again by the model's weights, the inputs, the code and ``key``. Under an
    intervention, ``key`` is required and must name it.

    Raises ValueError as `states` does, for a batch size below 1, and for a cache without a key under an intervention;
    VLMError for unusable inputs.

    Example:
        >>> from PIL import Image
        >>> from paperlib.models.vlm import load_vlm
        >>> vlm = load_vlm("tiny", device="cpu")
        >>> pictures = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
        >>> found = capture(vlm, [vlm.prompt("What is it?")] * 2, pictures, positions=["image mean", "answer position"])
        >>> tuple(found["image mean"].shape)  # pictures, layers (four blocks and the input embedding), width
        (2, 5, 32)
    """
    images = check_batch(prompts, images, answers)
    _check_positions(positions)
    whole(batch_size, "batch_size")
    for source, given in (("image", images), ("text", answers)):
        names = [name for name in positions if SOURCES[name] == source]
        if names and given is None:
            raise ValueError(
                f"{names[0]!r} needs {'images' if source == 'image' else 'the text as answers'}: give them, or leave "
                f"the position out."
            )
    if cache is None:
        return _captured(vlm, prompts, images, answers, positions, batch_size, fast)
    if key is None and interventions(vlm):
        raise ValueError(
            "States under an intervention can be cached only with a key that names it: give key={...} or no cache."
        )
    seen = None if images is None else [(i.size, hashlib.sha256(i.tobytes()).hexdigest()) for i in images]
    made = data_digest(
        {
            "weights": fingerprint(vlm),
            "code": code_digest(__name__),
            "prompts": prompts,
            "images": seen,
            "answers": answers,
            "positions": sorted(positions),
            "fast": fast,
            "key": key,
        }
    )
    path = Path(cache) / f"{made[:24]}.safetensors"
    if path.is_file():
        try:
            return _read(path, positions)
        except (OSError, ValueError, SafetensorError) as error:
            log.warning("Captured states are computed again, because %s can't be read: %s", path.name, error)
    found = _captured(vlm, prompts, images, answers, positions, batch_size, fast)
    _write(path, found)
    return found


def _captured(
    vlm: VLM,
    prompts: Sequence[str],
    images: Sequence[Image.Image] | None,
    answers: Sequence[str] | None,
    positions: Sequence[str],
    batch_size: int,
    fast: bool,
) -> dict[str, torch.Tensor]:
    """`capture` without the cache."""
    texts = prompts if answers is None else [p + a for p, a in zip(prompts, answers, strict=True)]
    lengths = [len(ids) for ids in encode(vlm.tokenizer, list(texts)).input_ids]
    order = sorted(range(len(prompts)), key=lengths.__getitem__, reverse=True)
    found: dict[str, torch.Tensor] = {}

    def passed(rows: Sequence[int]) -> list[tuple[list[int], dict[str, torch.Tensor]]]:
        batch = vlm.batch(
            [prompts[i] for i in rows],
            None if images is None else [images[i] for i in rows],
            None if answers is None else [answers[i] for i in rows],
        )
        return [(list(rows), states(vlm, batch, positions))]

    with vlm.cached_features(), mixed_precision(vlm.device, fast):
        for batched in (order[i : i + batch_size] for i in range(0, len(order), batch_size)):
            for rows, parts in in_halves(passed, batched, divided):
                found = found or {name: part.new_empty(len(order), *part.shape[1:]) for name, part in parts.items()}
                for name, part in parts.items():
                    found[name][rows] = part
    return found


def _means(rows: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    """The mean of each of B parts of rows [n, D] -> [B, D]. Faster if all have one length, as image tokens have."""
    if len(set(lengths)) == 1:
        return rows.unflatten(0, (len(lengths), lengths[0])).mean(1)
    return torch.stack([part.mean(0) for part in rows.split(lengths)])


def _check_positions(positions: Sequence[str]) -> None:
    listed = isinstance(positions, Sequence) and not isinstance(positions, str)
    if not listed or not positions or any(name not in SOURCES for name in positions):
        raise ValueError(f"Positions must be a list of some of {', '.join(POSITIONS)}, got {positions!r}.")


def _write(path: Path, found: dict[str, torch.Tensor]) -> None:
    """Write under a temporary name, then rename; the digest of the states goes into the file's metadata."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with room(path.parent, "captured states"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            save_file(found, temporary, metadata={"sha256": _digest(found)})
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def _read(path: Path, positions: Sequence[str]) -> dict[str, torch.Tensor]:
    """Raises ValueError, OSError or SafetensorError if the file is not what was written."""
    with safe_open(path, "pt") as file:
        found = {name: file.get_tensor(name) for name in positions}
        if (file.metadata() or {}).get("sha256") != _digest(found):
            raise ValueError("its states do not match their sha256.")
    return found


def _digest(found: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(found.items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
