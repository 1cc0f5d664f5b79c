"""What the explorer shows of answers: the probability of each choice, under each intervention and in each window.

A *window* is a range of blocks. An empty one is a no-op: nothing is changed in it. For patching it is the range that
begins at the patched layer and is empty, since patching acts between two blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch

from paperlib.interventions.closed_edge import choice_probabilities
from paperlib.interventions.edits import bypass, knockout, patch, transplant
from paperlib.interventions.sweep_scores import image_tokens
from paperlib.interventions.sweeps import Sweep, windows
from paperlib.models.capture import set_states
from paperlib.models.token_sets import EDGES, edge
from paperlib.models.vlm import VLM
from paperlib.scoring.choices import Chunk
from paperlib.tasks.benchmarks import Example
from paperlib.tasks.concepts import by_category, concepts
from paperlib.tasks.counterfactuals import ASKED, counterfactual, possible_changes
from paperlib.tasks.questions import ask
from paperlib.tasks.scenes import COLOURS, SHAPES, SPLITS, Scene, bucket

# What each intervention does, in one sentence for a reader.
ENTER, LEAVE, PATCH, TRANSPLANT = "enter late", "leave early", "patch", "transplant"
INTERVENTIONS = {
    "image->question": "In the blocks of the window, question tokens may not attend to image tokens.",
    "image->answer": "In the blocks of the window, the answer position may not attend to image tokens.",
    "question->answer": "In the blocks of the window, the answer position may not attend to question tokens.",
    ENTER: "Image tokens skip the blocks of the window: they keep the state in which they entered the LLM.",
    LEAVE: "Image tokens skip the blocks of the window: from its first block on, their state is no longer updated.",
    PATCH: "At one layer, image tokens get the states that they have when the counterfactual picture is shown.",
    TRANSPLANT: "The blocks of the window get the weights that they had before tuning.",
}
KINDS = ("count", "position", "existence", "name", "relation", "category")  # of the further questions, in turn


@dataclass(frozen=True)
class Shown:
    """A scene of the explorer, its counterfactual, and questions that all have the scene's answers.

    examples: of the scene. others: the same questions about the counterfactual, under the same answers and choices.
    turned: what the counterfactual's answer is, for each question; None where the two have the same, or where it is
    not known.
    """

    scene: Scene
    other: Scene
    examples: list[Example]
    others: list[Example]
    turned: list[str | None]


def chosen_scenes(scenes: Sequence[Scene], n: int, split: str = "test", seed: int = 0) -> list[Shown]:
    """The first n scenes with two to four things that have a counterfactual of the same split, with three questions.

    No answer of a model is looked at. The first question asks for the attribute in which the two scenes differ, and
    attributes take turns. Raises ValueError if there are fewer than n such scenes.
    """
    found: list[Shown] = []
    for number, scene in enumerate(scenes):
        if len(found) == n:
            break
        attribute, rng = list(ASKED)[len(found) % len(ASKED)], np.random.default_rng([41, seed, number])
        if len(scene.things) < 2 or attribute not in {a for a, _ in possible_changes(scene)}:
            continue
        other, _, i = counterfactual(scene, rng, attribute)
        if bucket(other) in SPLITS[split]:
            found.append(_shown(scene, other, attribute, i, split, len(found), rng))
    if len(found) < n:
        raise ValueError(f"Only {len(found)} of {len(scenes)} scenes can be shown and {n} are needed: draw more.")
    return found


def _shown(
    scene: Scene, other: Scene, attribute: str, i: int, split: str, place: int, rng: np.random.Generator
) -> Shown:
    thing, turned = scene.things[i], other.things[i]
    if attribute == "concept":
        mine, theirs = thing.name, turned.name
        known = concepts()[thing.concept]
        present = {t.name for t in (*scene.things, *other.things)}
        group = [c.name for c in by_category(known.held_out)[known.category] if c.name not in present]
        choices = [mine, theirs, *rng.permutation(group)[:2].tolist()]
        choices = [choices[j] for j in rng.permutation(len(choices))]
    else:
        mine, theirs = getattr(thing, attribute), getattr(turned, attribute)
        choices = list(COLOURS if attribute == "colour" else SHAPES)
    asked = [(attribute, ASKED[attribute].format(cell=thing.cell), mine, tuple(choices))]
    for kind in np.roll(KINDS, -2 * place).tolist():
        question = ask(scene, kind, rng) if len(asked) < 3 else None
        if question and question.text not in {text for _, text, _, _ in asked}:
            asked.append((kind, question.text, question.answer, question.choices))
    examples = [
        Example(f"explorer/{place}/{j}", "explorer", kind, split, text, answer, options, scene, scene.key)
        for j, (kind, text, answer, options) in enumerate(asked)
    ]
    return Shown(
        scene, other, examples, [replace(e, picture=other) for e in examples], [theirs, *([None] * (len(examples) - 1))]
    )


def windows_of(name: str, depth: int) -> list[range]:
    """The windows of an intervention of `INTERVENTIONS` in an LLM of so many blocks, from early to late.

    Raises ValueError for another name.
    """
    if name not in INTERVENTIONS:
        raise ValueError(f"There is no intervention {name!r}: use one of {', '.join(INTERVENTIONS)}.")
    stride = max(1, depth // 15)
    if name == ENTER:
        return [range(k) for k in range(stride, depth + 1, stride)]
    if name == LEAVE:
        return [range(k, depth) for k in range(0, depth, stride)]
    if name == PATCH:
        return [range(layer, layer) for layer in range(0, depth, stride)]
    return windows(depth, max(1, depth // 5), stride)


class Answers:
    """Questions traced once, and what the model answers to them under each intervention.

    examples, others: as in `Shown`, of any number of scenes. before: the model before tuning, for transplants. All is
    computed in float32, so that another machine gives the same up to rounding.
    """

    def __init__(self, vlm: VLM, before: VLM, examples: Sequence[Example], others: Sequence[Example]):
        self.vlm, self.before, self.depth = vlm, before, len(vlm.layers)
        self.sweep = Sweep(vlm, examples, at=range(self.depth), fast=False)
        self.source = Sweep(vlm, others, at=[0], fast=False)
        mine, theirs = (
            [[(r.example, r.prompt, r.text) for r in c.rows] for c in s.chunks] for s in (self.sweep, self.source)
        )
        if mine != theirs:
            raise ValueError("Each example needs its counterfactual: give the same questions and choices in one order.")
        with vlm.cached_features():
            self._states = {
                id(chunk): set_states(vlm, source.inputs, range(self.depth), ["image"])["image"]
                for chunk, source in zip(self.sweep.chunks, self.source.chunks, strict=True)
            }

    def clean(self) -> list[list[float]]:
        """Probabilities of each example's choices, in their order, without an intervention."""
        return [choice_probabilities(*both) for both in zip(self.sweep.examples, self.sweep.clean(), strict=True)]

    def counterfactual(self) -> list[list[float]]:
        """The same where the counterfactual picture is shown."""
        return [choice_probabilities(*both) for both in zip(self.source.examples, self.source.clean(), strict=True)]

    def under(self, name: str, window: range) -> list[list[float]]:
        """The same under an intervention of `INTERVENTIONS` in one window.

        Raises ValueError for another name, and as the interventions do.
        """
        windows_of(name, self.depth)
        whole = transplant(self.vlm, self.before, window) if name == TRANSPLANT else nullcontext()
        with whole:
            start = 0 if name == ENTER else min(window.start, self.depth - 1)
            records = self.sweep.under(start, lambda chunk: self._edit(name, window, chunk))
        return [choice_probabilities(*both) for both in zip(self.sweep.examples, records, strict=True)]

    def _edit(self, name: str, window: range, chunk: Chunk) -> AbstractContextManager:
        if name in EDGES:
            return knockout(self.vlm, window, *edge(self.vlm, chunk.inputs, name))
        if name == ENTER:
            return bypass(self.vlm, image_tokens(chunk), enter=window.stop)
        if name == LEAVE:
            return bypass(self.vlm, image_tokens(chunk), leave=window.start)
        if name == PATCH:
            states: list[torch.Tensor] = [row[window.start] for row in self._states[id(chunk)]]
            return patch(self.vlm, window.start, image_tokens(chunk), states)
        return nullcontext()  # a transplant is in force for all chunks
