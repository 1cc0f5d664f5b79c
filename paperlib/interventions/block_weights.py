"""Replacing the weights of whole decoder blocks, and giving them back."""

import contextlib
from collections.abc import Callable, Iterator

from torch import nn

from paperlib.models.residual import editing
from paperlib.models.vlm import VLM


@contextlib.contextmanager
def replacing(vlm: VLM, blocks: list[int], new: Callable[[int, str, nn.Parameter], nn.Parameter]) -> Iterator[None]:
    """Put ``new(block, name, own parameter)`` in the place of each parameter of some blocks, for a ``with`` block.

    The modules stay in place and keep their hooks. This is an intervention (`residual.editing`), registered with the
    lowest of the blocks.
    """
    undo: list[tuple[nn.Module, str, nn.Parameter]] = []
    vlm.ready()  # what takes the parameters' place is put beside them
    try:
        for i in blocks:
            for name, own in list(vlm.layers[i].named_parameters()):
                path, _, leaf = name.rpartition(".")
                module = vlm.layers[i].get_submodule(path)
                replacement = new(i, name, own)
                undo.append((module, leaf, own))
                setattr(module, leaf, replacement)
        with editing(vlm, first=min(blocks, default=len(vlm.layers))):
            yield
    finally:
        for module, leaf, own in undo:
            setattr(module, leaf, own)


def lent(donor: VLM, block: int, name: str, own: nn.Parameter) -> nn.Parameter:
    """The donor's parameter for a place in a block: its own one, or, if it waits on another device, a copy beside ours.

    So a transplant moves the blocks that it replaces and no others.
    """
    theirs = donor.layers[block].get_parameter(name)
    return theirs if theirs.device == own.device else nn.Parameter(theirs.detach().to(own.device), requires_grad=False)


def check_donor(vlm: VLM, donor: VLM) -> None:
    """Raises ValueError unless both have as many blocks, with parameters of equal names, shapes and types, and no
    adapters that are not merged. The donor may be on another device.
    """

    def parts(model: VLM) -> list[dict]:
        return [{name: (tuple(p.shape), p.dtype) for name, p in block.named_parameters()} for block in model.layers]

    own, theirs = parts(vlm), parts(donor)
    if any("lora_" in name for blocks in (own, theirs) for block in blocks for name in block):
        raise ValueError("A model has adapters that are not merged into its blocks: call merge_and_unload() first.")
    if own != theirs:
        raise ValueError(
            f"The blocks of {donor.name!r} do not fit into {vlm.name!r}: a donor needs as many blocks, "
            f"with parameters of the same names, shapes and types."
        )
