"""What the model is tuned on: pictures with a caption and several questions each, packed so that no turn sees another.

A conversation is one picture and independent turns (question, answer). Packed, the picture's tokens stand once at the
front and every turn follows as a branch: its tokens attend to the picture and to themselves, and its positions count on
from the picture's end. The model so learns exactly what it is later asked, a question with nothing but the picture
before it, and no caption can give an answer away; the picture is paid for once.
"""

from dataclasses import dataclass, field

import numpy as np

from paperlib.tasks.charts import draw_chart
from paperlib.tasks.questions import CHART_KINDS, DESCRIBE, KINDS, ask, ask_chart
from paperlib.tasks.scenes import draw_scene

CHART_QUESTIONS = 6


@dataclass(frozen=True)
class Diet:
    """What a course of tuning is fed with: how often a picture is a chart, how often its caption is asked for, how many
    questions are drawn about a scene, and the weight of each kind among them (1 where none is given).
    """

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
