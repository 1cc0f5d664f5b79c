"""Each picture encoded once, however many questions are asked about it, and of however many models."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutput, BaseModelOutputWithPooling


@contextlib.contextmanager
def remembering(model: nn.Module, megabytes: int = 256) -> Iterator[None]:
    """Encode each distinct picture once for as long as the block runs: evaluation asks many questions about each.

    Acts where a model encodes each row of ``pixel_values`` by itself (as LLaVA-1.5 does), and changes nothing elsewhere.
    Weights must not change inside the block. At most ``megabytes`` of image tokens are kept.
    """
    core, memory = _core(model), _Memory(megabytes)
    encode, outer = getattr(core, "get_image_features", None), vars(core).get("get_image_features")
    if encode is None:
        yield
        return

    def remembered(pixel_values, *args, **kwargs):
        def tokens(new):
            found = encode(new, *args, **kwargs).pooler_output
            return found if isinstance(found, (list, tuple)) and len(found) == len(new) else None

        rows = memory.rows(pixel_values, tokens)
        return encode(pixel_values, *args, **kwargs) if rows is None else BaseModelOutputWithPooling(pooler_output=rows)

    core.get_image_features = remembered
    try:
        yield
    finally:
        del core.get_image_features  # the class's own method is back
        if outer is not None:  # or that of a block around this one
            core.get_image_features = outer


@contextlib.contextmanager
def sharing_tower(models: Sequence[nn.Module], megabytes: int = 256) -> Iterator[None]:
    """Send each distinct picture through the vision tower once for all of these models, for as long as the block runs.

    Tuning leaves the tower as it is, so the stages of one model have the same; what follows it is computed for each.
    At most ``megabytes`` of features are kept, on the device. Raises ValueError for models without a ``vision_tower``, or
    whose towers are not equal in every weight.
    """
    towers = [getattr(_core(model), "vision_tower", None) for model in models]
    if not towers or any(tower is None or not _equal(tower, towers[0]) for tower in towers):
        raise ValueError("Only models with one and the same vision tower can share it: give stages of one model.")
    memory, own = _Memory(megabytes), {tower: tower.forward for tower in towers}

    def shared(tower: nn.Module) -> Callable:
        def forward(pixel_values, *args, **kwargs):
            def features(new):
                output = own[tower](new, *args, **kwargs)
                states = (output.last_hidden_state, *(output.hidden_states or ()))
                return list(zip(*([None] * len(new) if s is None else s for s in states)))  # None: a layer not read

            rows = memory.rows(pixel_values, features)
            if rows is None:
                return own[tower](pixel_values, *args, **kwargs)
            last, *hidden = (None if parts[0] is None else torch.stack(parts) for parts in zip(*rows))
            return BaseModelOutput(last_hidden_state=last, hidden_states=tuple(hidden) or None)

        return forward

    for tower in own:
        tower.forward = shared(tower)
    try:
        yield
    finally:
        for tower in own:
            del tower.forward


class _Memory:
    """What became of each picture, by its pixels and the precision of the products; the oldest make room."""

    def __init__(self, megabytes: int):
        self.kept, self.room = {}, megabytes * 2**20

    def rows(self, pixel_values: torch.Tensor, encode: Callable) -> list | None:
        """What ``encode`` makes of each row, a tensor or a tuple of them, computed for new rows only. None if rows are
        not pictures (several crops each), or encode returns None because it does not keep rows apart."""
        if pixel_values.ndim != 4:
            return None
        kind = pixel_values.device.type
        how = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else pixel_values.dtype
        keys = [(how, hashlib.sha256(row.contiguous().numpy()).digest()) for row in pixel_values.detach().cpu().float()]
        new = {key: i for i, key in enumerate(keys) if key not in self.kept}
        if new:
            found = encode(pixel_values[list(new.values())])
            if found is None:
                return None
            self.kept.update(zip(new, found))
        rows = [self.kept[key] for key in keys]
        while self.kept and sum(map(_bytes, self.kept.values())) > self.room:
            self.kept.pop(next(iter(self.kept)))
        return rows


def _bytes(found) -> int:
    parts = found if isinstance(found, tuple) else (found,)
    return sum(t.numel() * t.element_size() for t in parts if t is not None)


def _core(model: nn.Module) -> nn.Module:
    return (model.get_base_model() if hasattr(model, "get_base_model") else model).model


def _equal(a: nn.Module, b: nn.Module) -> bool:
    mine, other = a.state_dict(), b.state_dict()
    return mine.keys() == other.keys() and all(torch.equal(mine[name], other[name]) for name in mine)
