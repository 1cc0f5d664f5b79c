"""Each distinct picture is encoded once, however many questions are asked about it.

The cache works where no gradients are recorded and each row of ``pixel_values`` is a picture that is encoded by itself,
as in LLaVA-1.5. Elsewhere it changes nothing. When its memory is full, further pictures are encoded each time.
"""

import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutputWithPooling

from paperlib.models.unwrapping import base_model


@contextlib.contextmanager
def cached_features(model: nn.Module, megabytes: int = 256) -> Iterator[None]:
    """Encode each distinct picture once for as long as the ``with`` block runs.

    Weights must not change inside the block. At most ``megabytes`` of image tokens are kept, on the device.
    """
    core = getattr(base_model(model), "model", None)
    if core is None or not hasattr(core, "get_image_features"):
        yield
        return
    encode, outer, memory = core.get_image_features, vars(core).get("get_image_features"), _Memory(megabytes)

    @functools.wraps(encode)  # generation asks its signature which inputs to hand on
    def cached(pixel_values: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        def features(new: torch.Tensor) -> Sequence[torch.Tensor] | None:
            found = encode(new, *args, **kwargs).pooler_output
            return found if isinstance(found, (list, tuple)) else None  # else rows may not be pictures

        if not torch.is_grad_enabled():
            rows = memory.rows(pixel_values, str((args, sorted(kwargs.items()))), features)
            if rows is not None:
                output: Any = BaseModelOutputWithPooling()
                output.pooler_output = rows
                return output
        return encode(pixel_values, *args, **kwargs)

    core.get_image_features = cached
    try:
        yield
    finally:
        del core.get_image_features  # the class's own method is back
        if outer is not None:  # or that of a block around this one
            core.get_image_features = outer


class _Memory:
    """Image tokens of each picture, by its pixels, the arguments and the precision of matrix products."""

    def __init__(self, megabytes: float):
        self.kept: dict[tuple, torch.Tensor] = {}
        self.room = megabytes * 2**20  # in bytes

    def rows(
        self,
        pixel_values: torch.Tensor,
        arguments: str,
        encode: Callable[[torch.Tensor], Sequence[torch.Tensor] | None],
    ) -> list[torch.Tensor] | None:
        """Image tokens for each row; ``encode`` is called with new pictures only.

        None if rows are not pictures (several crops each) or if ``encode`` does not return one tensor for each.
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
        here: dict[tuple, torch.Tensor] = {}
        if new:
            found = encode(pixel_values[list(new.values())])
            if found is None or len(found) != len(new):
                return None
            here = dict(zip(new, found, strict=True))
        rows = [here[key] if key in here else self.kept[key] for key in keys]
        for key, row in here.items():
            if row.nbytes <= self.room:
                self.room -= row.nbytes
                self.kept[key] = row.clone()  # a row alone would hold on to its whole batch
        return rows
