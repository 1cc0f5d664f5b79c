"""Pictures and questions to show a reader: some of every sort, and the credit that the pictures' licence asks for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from paperlib.tasks.assets import credit_line
from paperlib.tasks.benchmarks import Example
from paperlib.tasks.charts import Chart, draw_chart
from paperlib.tasks.counterfactuals import counterfactual
from paperlib.tasks.questions import KINDS, Question, ask
from paperlib.tasks.scenes import Scene, draw_scene


def gallery(seed: int) -> tuple[list[Scene | Chart], list[str]]:
    """Eight pictures with their captions: four test scenes, a counterfactual pair, a scene with a held-out concept, and
    a chart. The captions of the last three but one say what they are.
    """
    scenes: list[Scene | Chart] = [draw_scene("test", seed, i) for i in range(4)]
    origin = draw_scene("test", seed, 4, n_things=3)
    other, attribute, _ = counterfactual(origin, np.random.default_rng(seed))
    unseen, chart = held_out_scene(seed), draw_chart("test", seed, 0)
    captions = [picture.caption for picture in (*scenes, origin)]
    captions += [f"Its counterfactual (another {attribute}). {other.caption}", f"Held out. {unseen.caption}"]
    return [*scenes, origin, other, unseen, chart], [*captions, chart.caption]


def held_out_scene(seed: int) -> Scene:
    """A scene that shows a concept which no tuning stage showed or named."""
    return draw_scene("held-out", seed, 5)


def one_of_each(pictures: Sequence[Scene], seed: int) -> list[tuple[Scene, Question]]:
    """A question of each kind, with the first of the pictures that allows it.

    Raises ValueError if no picture allows a kind.
    """
    found = []
    for i, kind in enumerate(KINDS):
        asked = ((scene, ask(scene, kind, np.random.default_rng([seed, i]))) for scene in pictures)
        pair = next(((scene, question) for scene, question in asked if question is not None), None)
        if pair is None:
            raise ValueError(f"No picture allows a question of kind {kind!r}: pass more pictures.")
        found.append(pair)
    return found


def own_example(picture: Scene, question: str, answer: str, choices: tuple[str, ...]) -> Example:
    """A question of one's own about a picture, as an example that can be scored. ``choices`` holds the answer."""
    return Example(
        f"own/{picture.key}/{question}", "own", "own", "own", question, answer, choices, picture, picture.key
    )


def picture_credit() -> str:
    """The credit line of the pictures of concepts, from the manifest of assets."""
    return credit_line("twemoji")
