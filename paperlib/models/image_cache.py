"""Each picture encoded once, however many questions are asked about it, and of however many models.

Memory acts where no gradients are recorded and rows of ``pixel_values`` are pictures that are encoded by themselves (as
in LLaVA-1.5), and changes nothing elsewhere. What finds no room any more is encoded each time.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutputWithPooling


@contextlib.contextmanager
def remembering(model: nn.Module, megabytes: int = 256) -> Iterator[None]:
    """Encode each distinct picture once for as long as the block runs: evaluation asks many questions about each.

    Weights must not change inside the block. At most ``megabytes`` of image tokens are kept, on the device.
    """
    core = _core(model)
    if not hasattr(core, "get_image_features"):
        yield
        return

    def parts(output) -> Sequence | None:  # what is not a tensor for each picture may be anything
        return [output.pooler_output] if isinstance(output.pooler_output, (list, tuple)) else None

    with _remembered(
        core,
        "get_image_features",
        _Memory(megabytes),
        parts,
        lambda tokens: BaseModelOutputWithPooling(pooler_output=list(tokens)),
    ):
        yield


@contextlib.contextmanager
def sharing_tower(models: Sequence[nn.Module], megabytes: int = 256) -> Iterator[None]:
    """Send each distinct picture through the vision tower once for all of these models, for as long as the block runs.

    Tuning leaves the tower as it is, so the stages of one model have the same; what follows it is computed for each.
    Models must not be copied or changed inside the block. At most ``megabytes`` of features are kept, on the device.
    Raises ValueError for models without a ``vision_tower``, or whose towers differ in a weight, in their device, or in
    the layer that is read.
    """
    cores = [_core(model) for model in models]
    towers = [getattr(core, "vision_tower", None) for core in cores]
    layers = {str(getattr(core.config, "vision_feature_layer", None)) for core in cores if core is not None}
    if not towers or len(layers) != 1 or any(tower is None or not _equal(tower, towers[0]) for tower in towers):
        raise ValueError("Only models with one and the same vision tower can share it: give stages of one model.")
    memory = _Memory(megabytes)

    def parts(output) -> Sequence:  # layers that are not read may be None
        return [output.last_hidden_state, getattr(output, "pooler_output", None), *(output.hidden_states or ())]

    def joined(last, pooled, *hidden) -> BaseModelOutputWithPooling:
        last, pooled, *hidden = (part and torch.stack(part) for part in (last, pooled, *hidden))
        return BaseModelOutputWithPooling(
            last_hidden_state=last, pooler_output=pooled, hidden_states=tuple(hidden) or None
        )

    with contextlib.ExitStack() as stack:
        for tower in dict.fromkeys(towers):
            stack.enter_context(_remembered(tower, "forward", memory, parts, joined))
        yield


@contextlib.contextmanager
def _remembered(module: nn.Module, name: str, memory: "_Memory", parts: Callable, joined: Callable) -> Iterator[None]:
    """A method of a module that takes pixel values, with memory. parts(output): what is kept of an output, each with a row
    a picture or None; joined(*parts): an output again, from a list of rows for each part.
    """
    encode, outer = getattr(module, name), vars(module).get(name)

    def remembered(pixel_values, *args, **kwargs):
        rows = (
            None
            if torch.is_grad_enabled()
            else memory.rows(
                pixel_values, str((args, sorted(kwargs.items()))), lambda new: parts(encode(new, *args, **kwargs))
            )
        )
        return encode(pixel_values, *args, **kwargs) if rows is None else joined(*rows)

    setattr(module, name, remembered)
    try:
        yield
    finally:
        delattr(module, name)  # the class's own method is back
        if outer is not None:  # or that of a block around this one
            setattr(module, name, outer)


class _Memory:
    """What became of each picture, by its pixels, the arguments and the precision of the products."""

    def __init__(self, megabytes: int):
        self.kept, self.room = {}, megabytes * 2**20  # room in bytes

    def rows(self, pixel_values: torch.Tensor, arguments: str, encode: Callable) -> list | None:
        """A list of rows, or None, for each part that ``encode`` returns; it is given new pictures only. None if rows are
        not pictures (several crops each), or not kept apart, or encode returns None.
        """
        if pixel_values.ndim != 4:
            return None
        kind = pixel_values.device.type
        how = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else pixel_values.dtype
        keys = [
            (hashlib.sha256(row.contiguous().numpy()).digest(), row.shape, how, arguments)
            for row in pixel_values.detach().cpu().float()
        ]
        new = {key: i for i, key in enumerate(keys) if key not in self.kept}
        here = {}
        if new:
            found = encode(pixel_values[list(new.values())])
            if found is None or any(part is not None and len(part) != len(new) for part in found):
                return None
            here = {key: [None if part is None else part[i] for part in found] for i, key in enumerate(new)}
        rows = [here[key] if key in here else self.kept[key] for key in keys]
        for key, row in here.items():
            self._keep(key, row)
        return [None if part[0] is None else list(part) for part in zip(*rows)]

    def _keep(self, key: tuple, row: list) -> None:
        own = {part.data_ptr(): part for part in row if part is not None}  # a part may be there twice
        size = sum(part.nbytes for part in own.values())
        if size <= self.room:
            self.room -= size
            own = {place: part.clone() for place, part in own.items()}  # a row alone would hold on to its whole batch
            self.kept[key] = [None if part is None else own[part.data_ptr()] for part in row]


def _core(model: nn.Module) -> nn.Module | None:
    return getattr(model.get_base_model() if hasattr(model, "get_base_model") else model, "model", None)


def _equal(a: nn.Module, b: nn.Module) -> bool:
    mine, other = a.state_dict(), b.state_dict()
    return mine.keys() == other.keys() and all(
        mine[name].device == other[name].device and torch.equal(mine[name], other[name]) for name in mine
    )
