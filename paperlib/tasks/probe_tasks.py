"""What probes read: scenes with a question each, the label that answers it, and the caption version.

In the caption version the caption stands in the place of the picture, before the same question. Nothing but the
modality differs, so a probe trained on captions can be tested on pictures, position by position.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from paperlib.study.checks import whole
from paperlib.tasks.concepts import Concept, concepts
from paperlib.tasks.questions import NUMBERS, Question, ask
from paperlib.tasks.scenes import Scene, draw_scene

N_CONCEPTS = 16  # that "concept" tells apart


@dataclass(frozen=True)
class ProbeTask:
    """N scenes, a question about each, and its label.

    ``types`` decide the label in the control task; ``held_out`` marks scenes with a held-out concept.
    """

    name: str
    scenes: tuple[Scene, ...]
    questions: tuple[str, ...]
    labels: np.ndarray  # [N]
    types: np.ndarray  # [N]
    held_out: np.ndarray  # [N] bool

    @property
    def groups(self) -> np.ndarray:
        """[N], the scene's key: one scene is never on both sides of a split."""
        return np.array([scene.key for scene in self.scenes])

    @property
    def caption_questions(self) -> tuple[str, ...]:
        """The questions of the caption version: caption first."""
        pairs = zip(self.scenes, self.questions, strict=True)
        return tuple(f"{scene.caption} {question}" for scene, question in pairs)


def probe_tasks(n: int, seed: int = 0) -> dict[str, ProbeTask]:
    """The five tasks, n test scenes each: which concept, which category (with n / 2 more of held-out concepts), which
    colour, how many things, and whether something is there (half yes, half no).

    Concept is asked of scenes with two emoji, colour of scenes with two shapes, category of one emoji. Raises
    ValueError for n < 4.
    """
    n = whole(n, "n of a probing task", 4, 10**5)
    return {
        task.name: task
        for task in (_concept(n, seed), _category(n, seed), _colour(n, seed), _count(n, seed), _existence(n, seed))
    }


def _drawn(n: int, split: str, seed: int, style: str, n_things: int | None) -> list[Scene]:
    return [draw_scene(split, seed, index, style, n_things) for index in range(n)]


def _of(scene: Scene) -> Concept:
    return concepts()[scene.things[0].concept]


def _concept(n: int, seed: int) -> ProbeTask:
    """As many scenes of each of those concepts that come first most often; a second thing makes every scene another."""
    shown: dict[str, dict[str, Scene]] = {}
    for scene in _drawn(6 * n, "test", seed, "emoji", 2):
        shown.setdefault(_of(scene).name, {})[scene.key] = scene
    most = sorted(shown, key=lambda name: (-len(shown[name]), name))[: min(N_CONCEPTS, n // 2)]
    scenes = [scene for turn in zip(*(shown[name].values() for name in most), strict=False) for scene in turn][:n]
    names = [_of(scene).name for scene in scenes]
    return _task("concept", scenes, [f"What is at the {scene.things[0].cell}?" for scene in scenes], names, names)


def _category(n: int, seed: int) -> ProbeTask:
    """Types are the concepts: a probe that knew each by heart would do as well on the control task."""
    shown: dict[str, list[Scene]] = {}
    for scene in _drawn(3 * n, "test", seed, "emoji", 1):
        shown.setdefault(_of(scene).category, []).append(scene)
    scenes = [scene for turn in zip_longest(*shown.values()) for scene in turn if scene is not None][:n]
    scenes += _drawn(n // 2, "held-out", seed, "emoji", 1)
    asked = [f"What kind of thing is at the {scene.things[0].cell}?" for scene in scenes]
    return _task(
        "category",
        scenes,
        asked,
        [_of(s).category for s in scenes],
        [s.things[0].concept for s in scenes],
        [_of(s).held_out for s in scenes],
    )


def _colour(n: int, seed: int) -> ProbeTask:
    scenes = _drawn(n, "test", seed, "shapes", 2)
    asked = [f"What color is the shape at the {scene.things[0].cell}?" for scene in scenes]
    colours = [scene.things[0].colour for scene in scenes]
    return _task("colour", scenes, asked, colours, colours)


def _count(n: int, seed: int) -> ProbeTask:
    streams = [iter(_drawn(-(-n // 4), "test", seed, "mixed", k)) for k in range(1, 5)]
    scenes = [next(streams[i % 4]) for i in range(n)]
    numbers = [NUMBERS[len(scene.things) - 1] for scene in scenes]
    return _task("count", scenes, ["How many objects are in the picture?"] * n, numbers, numbers)


def _existence(n: int, seed: int) -> ProbeTask:
    taken: dict[str, list[tuple[Scene, Question]]] = {"yes": [], "no": []}
    for index, scene in enumerate(_drawn(2 * n, "test", seed, "mixed", None)):
        question = ask(scene, "existence", np.random.default_rng([43, seed, index]))
        if question is not None:
            taken[question.answer].append((scene, question))
    both = [pair for turn in zip(*taken.values(), strict=False) for pair in turn][:n]
    answers = [question.answer for _, question in both]
    return _task("existence", [scene for scene, _ in both], [question.text for _, question in both], answers, answers)


def _task(
    name: str,
    scenes: Sequence[Scene],
    questions: Sequence[str],
    labels: Sequence[str],
    types: Sequence[str],
    held_out: Sequence[bool] | None = None,
) -> ProbeTask:
    hidden = np.zeros(len(scenes), bool) if held_out is None else np.array(held_out)
    return ProbeTask(name, tuple(scenes), tuple(questions), np.array(labels), np.array(types), hidden)
