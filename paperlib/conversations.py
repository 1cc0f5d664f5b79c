"""What the model is tuned on: pictures with a caption and several questions each, packed so that no turn sees another.

A conversation is one picture and independent turns (question, answer). Packed, the picture's tokens stand once at the
front and every turn follows as a branch: its tokens attend to the picture and to themselves, and its positions count on
from the picture's end. The model so learns exactly what it is later asked, a question with nothing but the picture
before it, and no caption can give an answer away; the picture is paid for once.
"""

from dataclasses import dataclass, field

import numpy as np
import torch

from .charts import draw_chart
from .questions import CHART_KINDS, KINDS, ask, ask_chart
from .scenes import draw_scene
from .vlm import VLM

DESCRIBE = "Describe the picture."
CHART_QUESTIONS = 6


@dataclass(frozen=True)
class Diet:
    """What a course of tuning is fed with: how often a picture is a chart, how often its caption is asked for, how many
    questions are drawn about a scene, and the weight of each kind among them (1 where none is given)."""

    charts: float
    captions: float
    questions: int
    weights: dict[str, float] = field(default_factory=dict)


# Reading off what stands at a place is learnt long before matching a whole description with all of the picture, so that
# comes second and then makes up half of the questions.
DIETS = {
    "captions": Diet(charts=0.12, captions=1.0, questions=0),
    # There is one count and one size per scene but many things to look for, name and place.
    "reading": Diet(0.12, 1.0, 12, {"existence": 2.0, "name": 1.5, "count": 1.5, "size": 0.5}),
    "matching": Diet(0.12, 0.25, 16, {"existence": 6.0, "relation": 4.0, "name": 2.0, "category": 1.5, "size": 0.5}),
}


@dataclass(frozen=True)
class Conversation:
    """A picture (a Scene or a Chart) and turns (question, answer) that don't see each other."""

    picture: object
    turns: tuple[tuple[str, str], ...]


@dataclass
class Packed:
    """A batch of B conversations in T tokens. ``mask`` is additive, ``targets`` are token ids at ``where`` (batch and
    position whose output predicts them), ``weights`` their share of the loss."""

    input_ids: torch.Tensor  # [B, T]
    position_ids: torch.Tensor  # [B, T]
    mask: torch.Tensor  # [B, 1, T, T], 0 or the dtype's minimum
    where: tuple[torch.Tensor, torch.Tensor]  # [n], [n]
    targets: torch.Tensor  # [n]
    weights: torch.Tensor  # [n], sums to 1
    branch: torch.Tensor  # [B, T]: 0 for template and picture, t for turn t, -1 for padding


def conversation(seed: int, index: int, diet: str = "reading") -> Conversation:
    """The ``index``-th training conversation of a diet. Never of another split than "train".

    Raises ValueError for an unknown diet.
    """
    if diet not in DIETS:
        raise ValueError(f"Unknown diet {diet!r}: use one of {', '.join(DIETS)}.")
    fed, rng = DIETS[diet], np.random.default_rng([11, seed, index])
    if rng.random() < fed.charts:
        picture = draw_chart("train", seed, index)
        questions = [ask_chart(picture, CHART_KINDS[rng.integers(2)], rng) for _ in range(CHART_QUESTIONS)]
    else:
        picture = draw_scene("train", seed, index)
        p = np.array([fed.weights.get(kind, 1.0) for kind in KINDS])
        questions = [ask(picture, KINDS[k], rng) for k in rng.choice(len(KINDS), size=fed.questions, p=p / p.sum())]
    # Asked twice is asked once. That spares more of yes than of no, for fewer things are there than are not: of the
    # questions of existence in the diet "matching" four in ten are answered yes.
    turns = {q.text: q.answer for q in questions if q is not None and fed.questions}
    told = [(DESCRIBE, picture.caption)] * (rng.random() < fed.captions)
    return Conversation(picture, (*told, *turns.items()))


def pack(vlm: VLM, conversations: list[Conversation], length: int, dtype=torch.float32) -> Packed:
    """Pack conversations into sequences of exactly ``length`` tokens, taking turns while they fit.

    Needs a chat template that puts the picture before the question. Raises ValueError if no turn fits.
    """
    head, tail = _frame(vlm)
    ids = torch.full((len(conversations), length), vlm.tokenizer.pad_token_id)
    positions = torch.zeros_like(ids)
    branch = torch.full_like(ids, -1)
    rows, columns, targets, weights = [], [], [], []
    for b, talk in enumerate(conversations):
        n = len(head)
        ids[b, :n], positions[b, :n], branch[b, :n] = torch.tensor(head), torch.arange(n), 0
        for t, (question, answer) in enumerate(talk.turns, start=1):
            prompt, reply = vlm.tokenizer([question + tail, answer + vlm.tokenizer.eos_token])["input_ids"]
            size = len(prompt) + len(reply)
            if n + size > length:
                continue
            ids[b, n:n + size] = torch.tensor(prompt + reply)
            positions[b, n:n + size] = torch.arange(len(head), len(head) + size)
            branch[b, n:n + size] = t
            rows += [b] * len(reply)
            columns += range(n + len(prompt) - 1, n + size - 1)
            targets += reply
            # Between counting tokens (captions drown the answers) and counting turns (the reverse).
            weights += [len(reply) ** -0.5] * len(reply)
            n += size
        if n == len(head):
            raise ValueError(f"No turn of a conversation fits into {length} tokens: pass a larger length.")
    causal = torch.ones(length, length).tril().bool()
    visible = causal & ((branch[:, None] == branch[:, :, None]) | (branch[:, None] == 0))
    mask = torch.zeros(visible.shape, dtype=dtype).masked_fill(~visible, torch.finfo(dtype).min)
    share = torch.tensor(weights)
    device = vlm.device
    return Packed(ids.to(device), positions.to(device), mask[:, None].to(device),
                  (torch.tensor(rows, device=device), torch.tensor(columns, device=device)),
                  torch.tensor(targets, device=device), (share / share.sum()).to(device), branch)


def _frame(vlm: VLM) -> tuple[list[int], str]:
    """Token ids up to the last image token, and the text between a question and its answer."""
    text = vlm.prompt("QUESTION")
    front, tail = text.split("QUESTION")
    if not front.endswith(vlm.processor.image_token):
        raise ValueError("Packing needs a chat template that puts the picture right before the question.")
    n_image = vlm.model.config.image_seq_length
    return vlm.tokenizer(front + vlm.processor.image_token * (n_image - 1))["input_ids"], tail
