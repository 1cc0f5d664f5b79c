"""Context managers that edit a model's forward pass and undo themselves, even on error.

They nest, and the outer one acts first where two meet. Blocks and layers are numbered as in `paperlib.models.residual`: block
l reads layer l and writes layer l + 1. Positions come as token sets (`paperlib.models.token_sets`), which belong to one batch.
Bad input is refused on entering, before anything runs. Key-value caches are not served: run whole sequences.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import torch
from torch import nn

from paperlib.interventions.attention_masks import check_attention, closing
from paperlib.models.residual import editing
from paperlib.models.token_sets import TokenSet, check_fit, check_set, flat
from paperlib.models.vlm import VLM
from paperlib.study.checks import check_numbers


@contextlib.contextmanager
def knockout(vlm: VLM, layers: Iterable[int], queries: TokenSet, keys: TokenSet) -> Iterator[None]:
    """Attention knockout (Geva et al., arXiv 2304.14767): in some blocks, no query attends to any key of its row.

    Attention weights of the closed edges are 0 and the others of a query sum to 1. `token_sets.edge` makes the sets of
    "image->question" and the like. layers: numbers of blocks. Raises ValueError for blocks that don't exist, sets that
    are empty or overlap (a token always sees itself), and attention without a mask (flash).
    """
    blocks = check_numbers(layers, len(vlm.layers), "block")
    queries, keys = check_set(queries, "queries"), check_set(keys, "keys")
    if len(queries) != len(keys):
        raise ValueError(
            f"Queries are given for {len(queries)} rows and keys for {len(keys)}: give both for every row."
        )
    for row, (q, k) in enumerate(zip(queries, keys)):
        if torch.isin(q, k).any():
            raise ValueError(
                f"Queries and keys of row {row} overlap, but a token must go on seeing itself: give sets "
                f"without common positions."
            )
    check_attention(vlm)

    def closed(n_rows: int, length: int) -> torch.Tensor:
        check_fit(queries, n_rows, length)
        check_fit(keys, n_rows, length)
        edges = torch.zeros(n_rows, 1, length, length, dtype=torch.bool)
        for row, (q, k) in enumerate(zip(queries, keys)):
            edges[row, 0, q[:, None].cpu(), k.cpu()] = True
        return edges

    with closing(vlm, blocks, closed):
        yield


@contextlib.contextmanager
def transplant(vlm: VLM, donor: VLM, layers: Iterable[int]) -> Iterator[None]:
    """Whole blocks with the donor's weights. Embeddings, final norm, head, connector and vision tower stay.

    Nothing is copied: the blocks hold the donor's own parameters for as long. Raises ValueError for blocks that don't
    exist, a donor whose blocks have other shapes, types or devices, and adapters that are not merged.
    """
    blocks = check_numbers(layers, len(vlm.layers), "block")
    _check_donor(vlm, donor)
    with _weights(vlm, blocks, lambda i, name, own: donor.layers[i].get_parameter(name)):
        yield


@contextlib.contextmanager
def random_change(vlm: VLM, donor: VLM, layers: Iterable[int], seed: int = 0) -> Iterator[None]:
    """The control of `transplant`: the donor's change of each block, turned into random directions.

    For each matrix (and vector) by itself, the rows and the columns of donor minus own are shuffled and given random
    signs. That multiplies it by orthogonal matrices from both sides, so that its norm, rank and singular values stay: a
    change as large and as concentrated as the donor's, which has not learnt where. A block's change depends on the seed
    and the block alone, so that overlapping windows share it. Raises ValueError as `transplant` does.
    """
    blocks = check_numbers(layers, len(vlm.layers), "block")
    _check_donor(vlm, donor)

    @torch.no_grad()
    def changed(i: int, name: str, own: nn.Parameter) -> nn.Parameter:
        change = donor.layers[i].get_parameter(name).float() - own.float()
        digest = hashlib.sha256(f"{seed} {i} {name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
        for axis, size in enumerate(change.shape):
            order = torch.randperm(size, generator=generator)
            signs = 2.0 * torch.randint(2, (size,), generator=generator) - 1
            shape = [size if a == axis else 1 for a in range(change.ndim)]
            change = change.index_select(axis, order.to(own.device)) * signs.to(own.device).view(shape)
        return nn.Parameter((own + change).to(own.dtype), requires_grad=False)

    with _weights(vlm, blocks, changed):
        yield


@contextlib.contextmanager
def bypass(
    vlm: VLM, positions: TokenSet, enter: int = 0, leave: int | None = None, visible: bool = True
) -> Iterator[None]:
    """Image tokens go around early blocks, late ones, or both: their state stays the same below ``enter`` and from
    ``leave`` on.

    positions: the image tokens, ``tokens(vlm, batch, "image")``. enter: blocks below it leave their state at layer 0,
    and so does anything that the family adds in between. leave: from this block on the state is that of layer
    ``leave``. 0 and L (None) change nothing. Other tokens still attend to them throughout, which hold the state just
    named; ``visible=False`` hides them from all other tokens in the blocks below ``enter``, as if they entered there.
    Raises ValueError unless 0 <= enter <= leave <= L, and for sets that are empty.
    """
    depth = len(vlm.layers)
    enter, leave = check_numbers([enter], depth + 1, "layer")[0], depth if leave is None else leave
    check_numbers([leave], depth + 1, "layer")
    if enter > leave:
        raise ValueError(
            f"Tokens that leave at layer {leave} can't enter at layer {enter}: let enter be at most leave."
        )
    positions = check_set(positions)
    kept: list[torch.Tensor] = []

    def keep(state: torch.Tensor) -> None:
        check_fit(positions, *state.shape[:2])
        kept[:] = [state[flat(positions, state.device)]]

    def hold(state: torch.Tensor) -> torch.Tensor:
        return _replaced(state, positions, kept[0])

    hooks = [(0, keep), *((layer, hold) for layer in range(1, enter + 1))] if enter else []
    if leave < depth:
        hooks += [(leave, keep), *((layer, hold) for layer in range(leave + 1, depth + 1))]
    with contextlib.ExitStack() as stack:
        if enter and not visible:
            check_attention(vlm)
            stack.enter_context(closing(vlm, list(range(enter)), partial(_from_others, positions)))
        stack.enter_context(editing(vlm, hooks, first=0 if enter else leave))
        yield


@contextlib.contextmanager
def patch(vlm: VLM, layer: int, positions: TokenSet, states: list[torch.Tensor]) -> Iterator[None]:
    """Activation patching (Vig et al., arXiv 2004.12265): at one layer, positions get states from another run.

    layer: 0 to L. states: [n, D] for each row, as `capture.token_states` gives them for n positions. Raises ValueError
    for a layer that doesn't exist, empty sets, and states of other shapes.
    """
    check_numbers([layer], len(vlm.layers) + 1, "layer")
    positions, width = check_set(positions), vlm.model.config.get_text_config().hidden_size
    if len(states) != len(positions):
        raise ValueError(
            f"States are given for {len(states)} rows and positions for {len(positions)}: give both for every row."
        )
    for row, (p, s) in enumerate(zip(positions, states)):
        if s.shape != (len(p), width):
            raise ValueError(
                f"Row {row} needs states of shape {(len(p), width)}, one for each position, but got {tuple(s.shape)}."
            )
    new = torch.cat(list(states))

    def replace(state: torch.Tensor) -> torch.Tensor:
        check_fit(positions, *state.shape[:2])
        return _replaced(state, positions, new)

    with editing(vlm, [(layer, replace)]):
        yield


def _replaced(state: torch.Tensor, positions: TokenSet, new: torch.Tensor) -> torch.Tensor:
    state = state.clone()
    state[flat(positions, state.device)] = new.to(state)
    return state


def _from_others(positions: TokenSet, n_rows: int, length: int) -> torch.Tensor:
    """The edges from all other tokens to these, bool [B, 1, T, T]."""
    check_fit(positions, n_rows, length)
    inside = torch.zeros(n_rows, length, dtype=torch.bool)
    inside[flat(positions, inside.device)] = True
    return (~inside[:, None, :, None]) & inside[:, None, None, :]


@contextlib.contextmanager
def _weights(vlm: VLM, blocks: list[int], new: Callable[[int, str, nn.Parameter], nn.Parameter]) -> Iterator[None]:
    """Blocks with other parameters, in modules that stay where they are and keep their hooks."""
    undo = []
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


def _check_donor(vlm: VLM, donor: VLM) -> None:
    def parts(model: VLM) -> list[dict]:
        return [
            {name: (tuple(p.shape), p.dtype, p.device) for name, p in block.named_parameters()}
            for block in model.layers
        ]

    own, theirs = parts(vlm), parts(donor)
    if any("lora_" in name for blocks in (own, theirs) for block in blocks for name in block):
        raise ValueError("A model has adapters that are not merged into its blocks: call merge_and_unload() first.")
    if own != theirs:
        raise ValueError(
            f"The blocks of {donor.name!r} do not fit into {vlm.name!r}: a donor needs as many blocks, "
            f"with parameters of the same names, shapes, types and devices."
        )
