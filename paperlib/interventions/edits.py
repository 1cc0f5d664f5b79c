"""Interventions: context managers that change a model's forward pass and undo themselves, even on error.

They nest; where two change the same state, the outer one acts first. Blocks and layers are numbered as in
`models.residual`: block l reads layer l and writes layer l + 1. Positions are token sets (`models.token_sets`), which
belong to one batch. Bad input is refused on entering, before anything runs.

Under generation with a key-value cache (`models.greedy`, `scoring.generation`), weights are changed for prompt and new
tokens alike, and states at the positions of the prompt, whose keys and values then lie in the cache. A new token has
the closed edges of the prompt's last token, as the answer's own tokens have those of "answer". The rows of a batch must
end together, and interventions be entered before the prompt's pass.

To add one, write a context manager here that changes states by `models.residual.editing`, attention by
`attention_masks.closing` or weights by `block_weights.replacing`. Each of them registers it.
"""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from functools import partial

import torch
from torch import nn

from paperlib.interventions.attention_masks import check_attention, closing, from_others
from paperlib.interventions.block_weights import check_donor, lent, replacing
from paperlib.models.residual import editing, in_prompt
from paperlib.models.token_sets import TokenSet, check_fit, check_set, flat
from paperlib.models.vlm import VLM
from paperlib.study.checks import check_numbers


@contextlib.contextmanager
def knockout(vlm: VLM, layers: Iterable[int], queries: TokenSet, keys: TokenSet) -> Iterator[None]:
    """Attention knockout (Geva et al., arXiv 2304.14767): in some blocks, no query attends to any key of its row.

    The weights of the closed edges are 0, and the other weights of a query sum to 1. `token_sets.edge` makes the sets
    of "image->question" and the like. layers: numbers of blocks. Raises ValueError for blocks that don't exist, for
    sets that are empty or overlap (a token always sees itself), and for attention without a mask (flash).

    Example:
        >>> from PIL import Image
        >>> from paperlib.models.token_sets import edge
        >>> from paperlib.models.vlm import load_vlm
        >>> vlm = load_vlm("tiny", device="cpu")
        >>> batch = vlm.batch([vlm.prompt("What is it?")], [Image.new("RGB", (64, 64), "red")])
        >>> clean = vlm.model(**batch).logits
        >>> with knockout(vlm, [1, 2], *edge(vlm, batch, "image->answer")):
        ...     blind = vlm.model(**batch).logits
        >>> torch.equal(blind, clean), torch.equal(vlm.model(**batch).logits, clean)
        (False, True)
    """
    blocks = check_numbers(layers, len(vlm.layers), "block")
    queries, keys = check_set(queries, "queries"), check_set(keys, "keys")
    if len(queries) != len(keys):
        raise ValueError(
            f"Queries are given for {len(queries)} rows and keys for {len(keys)}: give both for every row."
        )
    for row, (q, k) in enumerate(zip(queries, keys, strict=True)):
        if torch.isin(q, k).any():
            raise ValueError(
                f"Queries and keys of row {row} overlap, but a token must still attend to itself: give sets "
                f"without common positions."
            )
    check_attention(vlm)

    def closed(n_rows: int, length: int) -> torch.Tensor:
        check_fit(queries, n_rows, length)
        check_fit(keys, n_rows, length)
        edges = torch.zeros(n_rows, 1, length + 1, length, dtype=torch.bool)
        for row, (q, k) in enumerate(zip(queries, keys, strict=True)):
            edges[row, 0, q[:, None].cpu(), k.cpu()] = True
        edges[:, :, -1] = edges[:, :, -2]  # a token that follows is one of the answer's, as the last one is
        return edges

    with closing(vlm, blocks, closed):
        yield


@contextlib.contextmanager
def transplant(vlm: VLM, donor: VLM, layers: Iterable[int]) -> Iterator[None]:
    """Whole blocks with the donor's weights. Embeddings, final norm, head, connector and vision tower stay.

    Meanwhile the blocks hold the donor's own parameters. Only where the donor waits on another device are they copied,
    those of these blocks alone. Raises ValueError for blocks that don't exist, for a donor whose blocks have other
    shapes or types, and for adapters that are not merged.

    Example:
        >>> from paperlib.models.vlm import load_vlm
        >>> vlm, donor = (load_vlm("tiny", device="cpu", seed=seed) for seed in (0, 1))
        >>> with transplant(vlm, donor, [0, 3]):
        ...     [vlm.layers[i].mlp.up_proj.weight is donor.layers[i].mlp.up_proj.weight for i in range(4)]
        [True, False, False, True]
        >>> vlm.layers[0].mlp.up_proj.weight is donor.layers[0].mlp.up_proj.weight
        False
    """
    blocks = check_numbers(layers, len(vlm.layers), "block")
    check_donor(vlm, donor)
    with replacing(vlm, blocks, partial(lent, donor)):
        yield


@contextlib.contextmanager
def random_change(vlm: VLM, donor: VLM, layers: Iterable[int], seed: int = 0) -> Iterator[None]:
    """The control for `transplant`: the donor's change of each block, in random directions.

    In each matrix (and vector), the rows and the columns of donor minus own are shuffled and get random signs. That
    multiplies the change by orthogonal matrices from both sides, so its norm, rank and singular values stay. It is as
    large and as concentrated as the donor's change, in directions that nothing has learnt. A block's change depends
    only on the seed and the block, so overlapping windows share it. Raises ValueError as `transplant` does.
    """
    blocks = check_numbers(layers, len(vlm.layers), "block")
    check_donor(vlm, donor)

    @torch.no_grad()
    def changed(i: int, name: str, own: nn.Parameter) -> nn.Parameter:
        change = lent(donor, i, name, own).float() - own.float()
        digest = hashlib.sha256(f"{seed} {i} {name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
        for axis, size in enumerate(change.shape):
            order = torch.randperm(size, generator=generator)
            signs = 2.0 * torch.randint(2, (size,), generator=generator) - 1
            shape = [size if a == axis else 1 for a in range(change.ndim)]
            change = change.index_select(axis, order.to(own.device)) * signs.to(own.device).view(shape)
        return nn.Parameter((own + change).to(own.dtype), requires_grad=False)

    with replacing(vlm, blocks, changed):
        yield


@contextlib.contextmanager
def bypass(
    vlm: VLM, positions: TokenSet, enter: int = 0, leave: int | None = None, visible: bool = True
) -> Iterator[None]:
    """Image tokens skip early blocks, late blocks, or both: their state is constant up to ``enter`` and from ``leave``.

    positions: the image tokens, ``tokens(vlm, batch, "image")``. enter: up to layer ``enter``, their state is that of
    layer 0, without anything that the family adds between blocks (entry bypass). leave: from layer ``leave`` on, their
    state is that of layer ``leave`` (exit bypass). 0 and L (None) change nothing. Other tokens still attend to them in
    all blocks and see these states; ``visible=False`` hides them from all other tokens in the blocks below ``enter``.
    Raises ValueError unless 0 <= enter <= leave <= L, and for sets that are empty.

    Example:
        >>> from PIL import Image
        >>> from paperlib.models.capture import token_states
        >>> from paperlib.models.token_sets import tokens
        >>> from paperlib.models.vlm import load_vlm
        >>> vlm = load_vlm("tiny", device="cpu")
        >>> batch = vlm.batch([vlm.prompt("What is it?")], [Image.new("RGB", (64, 64), "red")])
        >>> with bypass(vlm, tokens(vlm, batch, "image"), enter=2):
        ...     states = token_states(vlm, batch, [0, 2, 3])[0]
        >>> torch.equal(states[1], states[0]), torch.equal(states[2], states[0])
        (True, False)
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
            stack.enter_context(closing(vlm, list(range(enter)), partial(from_others, positions)))
        stack.enter_context(editing(vlm, in_prompt(vlm, hooks), first=0 if enter else leave))
        yield


@contextlib.contextmanager
def patch(vlm: VLM, layer: int, positions: TokenSet, states: list[torch.Tensor]) -> Iterator[None]:
    """Activation patching (Vig et al., arXiv 2004.12265): at one layer, positions get states from another run.

    layer: 0 to L. states: [n, D] for each row, as `capture.token_states` gives them for n positions. Raises ValueError
    for a layer that doesn't exist, for empty sets, and for states of other shapes.

    Example:
        >>> from PIL import Image
        >>> from paperlib.models.capture import token_states
        >>> from paperlib.models.token_sets import tokens
        >>> from paperlib.models.vlm import load_vlm
        >>> vlm = load_vlm("tiny", device="cpu")
        >>> prompts = [vlm.prompt("What is it?")]
        >>> red, blue = (vlm.batch(prompts, [Image.new("RGB", (64, 64), colour)]) for colour in ("red", "blue"))
        >>> from_red = [row[0] for row in token_states(vlm, red, [2])]  # layer 2, at the image tokens
        >>> with patch(vlm, 2, tokens(vlm, blue, "image"), from_red):
        ...     torch.equal(token_states(vlm, blue, [2])[0][0], from_red[0])
        True
    """
    check_numbers([layer], len(vlm.layers) + 1, "layer")
    positions, width = check_set(positions), vlm.model.config.get_text_config().hidden_size
    if len(states) != len(positions):
        raise ValueError(
            f"States are given for {len(states)} rows and positions for {len(positions)}: give both for every row."
        )
    for row, (p, s) in enumerate(zip(positions, states, strict=True)):
        if s.shape != (len(p), width):
            raise ValueError(
                f"Row {row} needs states of shape {(len(p), width)}, one for each position, but got {tuple(s.shape)}."
            )
    new = torch.cat(list(states))

    def replace(state: torch.Tensor) -> torch.Tensor:
        check_fit(positions, *state.shape[:2])
        return _replaced(state, positions, new)

    with editing(vlm, in_prompt(vlm, [(layer, replace)])):
        yield


def _replaced(state: torch.Tensor, positions: TokenSet, new: torch.Tensor) -> torch.Tensor:
    state = state.clone()
    state[flat(positions, state.device)] = new.to(state)
    return state
