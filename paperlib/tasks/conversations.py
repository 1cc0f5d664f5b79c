"""What the model is tuned on: pictures with a caption and several questions each, packed so that no turn sees another.

A conversation is one picture and independent turns (question, answer). Packed, the picture's tokens stand once at the
front and every turn follows: its tokens attend to the picture and to themselves, and its positions count on from the
picture's end. So the model is trained on what it is later asked, a question with nothing but the picture before it. No
caption can give an answer away, and the picture is computed once.
"""

from dataclasses import dataclass, field

import numpy as np

from paperlib.tasks.charts import Chart, draw_chart
from paperlib.tasks.questions import CHART_KINDS, DESCRIBE, KINDS, Question, ask, ask_chart
from paperlib.tasks.scenes import Scene, draw_scene

CHART_QUESTIONS = 6


@dataclass(frozen=True)
class Mixture:
    """What the conversations of a training phase contain.

    ``charts``: share of pictures that are charts. ``captions``: share of conversations with a caption. ``questions``:
    how many are drawn about a scene. ``weights``: of each kind of question, 1 where none is given.
    """

    charts: float
    captions: float
    questions: int
    weights: dict[str, float] = field(default_factory=dict)


# What is at one place is learnt long before a description is matched with the whole picture, so matching comes second
# and then makes up half of the questions.
MIXTURES = {
    "captions": Mixture(charts=0.12, captions=1.0, questions=0),
    # There is one count and one size per scene but many things to look for, name and place.
    "reading": Mixture(0.12, 1.0, 12, {"existence": 2.0, "name": 1.5, "count": 1.5, "size": 0.5}),
    "matching": Mixture(0.12, 0.25, 16, {"existence": 6.0, "relation": 4.0, "name": 2.0, "category": 1.5, "size": 0.5}),
}


@dataclass(frozen=True)
class Conversation:
    """A picture and turns (question, answer), each of which attends to the picture and to no other turn."""

    picture: Scene | Chart
    turns: tuple[tuple[str, str], ...]


def conversation(seed: int, index: int, mixture: str = "reading") -> Conversation:
    """The ``index``-th training conversation of a mixture. Its picture is always of the split "train".

    Raises ValueError for an unknown mixture.
    """
    if mixture not in MIXTURES:
        raise ValueError(f"Unknown mixture {mixture!r}: use one of {', '.join(MIXTURES)}.")
    chosen, rng = MIXTURES[mixture], np.random.default_rng([11, seed, index])
    picture: Scene | Chart
    questions: list[Question | None]
    if rng.random() < chosen.charts:
        picture = chart = draw_chart("train", seed, index)
        questions = [ask_chart(chart, CHART_KINDS[rng.integers(2)], rng) for _ in range(CHART_QUESTIONS)]
    else:
        picture = scene = draw_scene("train", seed, index)
        p = np.array([chosen.weights.get(kind, 1.0) for kind in KINDS])
        questions = [ask(scene, KINDS[k], rng) for k in rng.choice(len(KINDS), size=chosen.questions, p=p / p.sum())]
    # A question drawn twice is kept once. This drops more of yes than of no, because fewer things are there than are
    # not: of the questions of existence in the mixture "matching" four in ten are answered yes.
    turns = {q.text: q.answer for q in questions if q is not None and chosen.questions}
    caption = [(DESCRIBE, picture.caption)] * (rng.random() < chosen.captions)
    return Conversation(picture, (*caption, *turns.items()))
