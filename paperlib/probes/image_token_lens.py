"""What each image token of a picture would say at a layer, as the logit lens reads it, laid out over the picture."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from paperlib.figures.diagrams import lens_grid
from paperlib.figures.style import font, visible
from paperlib.models.capture import token_states
from paperlib.models.vlm import VLM
from paperlib.probes.logit_lens import first_tokens, word_ranks
from paperlib.tasks.assets import manifest
from paperlib.tasks.probe_tasks import ProbeTask

SHOWN = 8  # rows and columns of words that a panel has room for


@torch.no_grad()
def words_at(vlm: VLM, task: ProbeTask, number: int, layer: int) -> list[list[str]]:
    """The likeliest token of each image token of a task's picture at a layer, laid out as `layout` says.

    Raises ValueError for a layer that does not exist.
    """
    batch = vlm.batch([vlm.prompt(task.questions[number])], [task.scenes[number].render()])
    states = token_states(vlm, batch, [layer])[0][0].to(vlm.device)
    likeliest = vlm.unembed(states).argmax(-1)
    # What the figure's font lacks is shown as a box.
    said = [visible(vlm.tokenizer.decode([token]).strip(), font()) for token in likeliest]
    return [[said[token] for token in row] for row in layout(len(said))]


def layout(tokens: int) -> list[list[int]]:
    """Numbers of the image tokens to show, in rows of at most `SHOWN`.

    A square number of tokens lies over the picture, row by row from the top; of a large square, tokens at equal steps
    are taken. Any other number (crops of a picture, line ends among tokens) has no places that a figure could show: its
    tokens stand in their order, at equal steps.
    """
    side = round(tokens**0.5)
    if side * side == tokens:
        at = range(0, side, -(-side // SHOWN))
        return [[row * side + column for column in at] for row in at]
    order = list(range(0, tokens, -(-tokens // SHOWN**2)))
    return [order[i : i + SHOWN] for i in range(0, len(order), SHOWN)]


def place(token: int, tokens: int) -> str:
    """Where an image token stands, in words: its row and column over the picture, or its number in the sequence."""
    side = round(tokens**0.5)
    if side * side == tokens:
        return f"in row {token // side + 1}, column {token % side + 1}"
    return f"number {token + 1} of {tokens}"


def grid(vlm: VLM, task: ProbeTask, number: int, layers: Sequence[int]) -> dict:
    """What `paperlib.figures.diagrams.lens_grid` draws: a panel a layer over one picture."""
    return {
        "picture": task.scenes[number].to_dict(),
        "credit": manifest()["twemoji"].credit,
        "panels": [{"title": f"layer {layer}", "words": words_at(vlm, task, number, layer)} for layer in layers],
    }


def listener(vlm: VLM, task: ProbeTask) -> Callable[[int, int], Figure]:
    """A function of a picture's number and a layer that draws `grid`, for `paperlib.figures.interactive.menus`."""

    def listen_at(number: int, layer: int) -> Figure:
        return lens_grid(grid(vlm, task, number, [layer]))

    return listen_at


def read_whole(vlm: VLM, word: str) -> bool:
    """Whether the lens reads the whole word: it is one token, with a space before it or without.

    The first token of another word is only its beginning, such as the "s" of "soccer ball", and says little.
    """
    return all(vlm.tokenizer.decode([token]).strip() == word for token in first_tokens(vlm.tokenizer, word))


def clearest(vlm: VLM, states: torch.Tensor, words: Sequence[str]) -> tuple[int, int, int, int]:
    """The image token that names what its picture shows best of all: (example, layer's index, token, rank of the word).

    Only examples whose word is read whole count, or all if there are none. Of equal ranks the first counts.
    states: [N, layers, T, D]; words: [N]. Raises ValueError as `word_ranks` does.
    """
    whole = [i for i, word in enumerate(words) if read_whole(vlm, word)] or list(range(len(words)))
    ranks = word_ranks(vlm, states[whole], [(words[i],) for i in whole])[0][..., 0]
    number, layer, token = (int(i) for i in np.unravel_index(ranks.argmin(), ranks.shape))
    return whole[number], layer, token, int(ranks[number, layer, token])
