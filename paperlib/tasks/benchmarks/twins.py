"""The miniature benchmarks: questions about scenes and charts that are drawn from a seed.

    load("scenes", "test", 100)        # 100 questions of every kind about test scenes

Each asks what a benchmark of the paper asks:

    scenes      what a picture shows, eight kinds of question     (in-domain visual questions)
    pope        existence with random, popular and adversarial negatives    (POPE, arXiv 2305.10355)
    knowledge   what is known about what is seen                  (ScienceQA-IMG, MMMU)
    charts      bar charts                                        (ChartQA)
    captions    a caption against a hard negative                 (SugarCrepe, arXiv 2306.14610)
    describe    free captioning                                   (Flickr30K)
    text        the same knowledge without a picture              (MMLU-Pro)
    easyvqa     pictures and questions made by others (package easy-vqa), never trained on, balanced

Yes/no questions are half yes and half no. Splits: "test" has seen concepts in scenes that training cannot draw;
"held-out" asks about concepts that no tuning picture or text ever held.
"""

import json
from collections import Counter
from collections.abc import Iterator

import numpy as np

from paperlib.study.checks import whole
from paperlib.tasks.assets import asset_path
from paperlib.tasks.benchmarks.example import Example, PictureFile
from paperlib.tasks.charts import draw_chart
from paperlib.tasks.concepts import concepts
from paperlib.tasks.pictures import Picture
from paperlib.tasks.questions import (
    CHART_KINDS,
    DESCRIBE,
    KINDS,
    NEGATIVES,
    Question,
    ask,
    ask_chart,
    ask_text,
    hard_negative,
)
from paperlib.tasks.scenes import draw_scene

MOST = 10**5  # examples of a kind, as `Study` allows: streams of scenes end
EASY_ROOT = "easy_vqa/data/test"
KNOWLEDGE_KINDS = ("category", "knowledge")
POPE_KINDS = {f"existence {negatives}": negatives for negatives in NEGATIVES}
OF_SHAPES = ("shape", "colour")  # kinds that ask about no concept, so that nothing in them can be held out
EASY_COLOURS = ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow")
EASY_SHAPES = ("circle", "rectangle", "triangle")


def load(benchmark: str, split: str = "test", n: int = 100, seed: int = 0) -> list[Example]:
    """``n`` examples of every kind of a benchmark, the same on every machine for the same seed.

    There are fewer where the pool is smaller, as it is for text. Raises ValueError for an unknown benchmark, a split
    that it does not have, n outside 1 .. `MOST`, or a seed below 0.
    """
    if not isinstance(benchmark, str) or benchmark not in BENCHMARKS:
        raise ValueError(f"Unknown benchmark {benchmark!r}: use one of {', '.join(BENCHMARKS)}.")
    kinds, splits, draw = BENCHMARKS[benchmark]
    if split not in splits:
        raise ValueError(f"Benchmark {benchmark!r} has no split {split!r}: use one of {', '.join(splits)}.")
    n, seed = whole(n, "n", most=MOST), whole(seed, "seed", 0)
    examples = []
    for number, kind in enumerate(kinds):
        if split == "held-out" and kind in OF_SHAPES:
            continue
        examples += _balanced(draw(benchmark, kind, split, seed, number), n)
    return examples


def _balanced(stream: Iterator[Example], n: int) -> list[Example]:
    """The first n examples, with at most half of them yes and half no where those are the answers."""
    answers: Counter[str] = Counter()
    taken: list[Example] = []
    asked = set()
    for example in stream:
        half = (n + 1) // 2 if example.answer in ("yes", "no") else n
        if answers[example.answer] < half and (example.group, example.question) not in asked:
            answers[example.answer] += 1
            asked.add((example.group, example.question))
            taken.append(example)
        if len(taken) == n:
            return taken
    fewer = min(answers["yes"], answers["no"])  # the pool ended: as many of the one as of the other
    surplus = {"yes": answers["yes"] - fewer, "no": answers["no"] - fewer}
    for i in range(len(taken) - 1, -1, -1):
        if surplus.get(taken[i].answer, 0):
            surplus[taken.pop(i).answer] -= 1
    return taken


def _example(
    benchmark: str, split: str, seed: int, index: int, q: Question, picture: Picture | None, group: str, **info: object
) -> Example:
    identity = f"{benchmark}/{split}/{q.kind}/{seed}/{index}"
    return Example(identity, benchmark, q.kind, split, q.text, q.answer, q.choices, picture, group, info)


def _scenes(benchmark: str, kind: str, split: str, seed: int, number: int) -> Iterator[Example]:
    about = "held-out" if split == "held-out" else None
    for index in range(10**6):
        scene = draw_scene(split, seed, index)
        rng = np.random.default_rng([13, seed, index, number])
        question = ask(scene, kind, rng, about=about)
        if question is not None:
            yield _example(benchmark, split, seed, index, question, scene, scene.key)


def _pope(benchmark: str, kind: str, split: str, seed: int, number: int) -> Iterator[Example]:
    about = "held-out" if split == "held-out" else None
    for index in range(10**6):
        scene = draw_scene(split, seed, index)
        question = ask(scene, "existence", np.random.default_rng([17, seed, index, number]), POPE_KINDS[kind], about)
        if question is not None:
            question = Question(kind, question.text, question.answer, question.choices)
            yield _example(benchmark, split, seed, index, question, scene, scene.key)


def _charts(benchmark: str, kind: str, split: str, seed: int, number: int) -> Iterator[Example]:
    for index in range(10**6):
        chart = draw_chart(split, seed, index)
        question = ask_chart(chart, kind, np.random.default_rng([19, seed, index, number]))
        yield _example(benchmark, split, seed, index, question, chart, chart.key)


def _captions(benchmark: str, kind: str, split: str, seed: int, number: int) -> Iterator[Example]:
    for index in range(10**6):
        scene = draw_scene(split, seed, index)
        wrong = hard_negative(scene, np.random.default_rng([23, seed, index, number]), kind)
        if wrong is not None:
            question = Question(kind, DESCRIBE, scene.caption, (scene.caption, wrong))
            yield _example(benchmark, split, seed, index, question, scene, scene.key)


def _describe(benchmark: str, kind: str, split: str, seed: int, number: int) -> Iterator[Example]:
    for index in range(10**6):
        scene = draw_scene(split, seed, index)
        question = Question(kind, DESCRIBE, scene.caption, ())
        yield _example(
            benchmark,
            split,
            seed,
            index,
            question,
            scene,
            scene.key,
            objects=sorted(thing.name for thing in scene.things),
        )


def _text(benchmark: str, kind: str, split: str, seed: int, number: int) -> Iterator[Example]:
    pool = [c for c in concepts().values() if c.held_out == (split == "held-out")]
    for index in range(20 * len(pool)):  # the pool is finite: several facts each, then it ends
        rng = np.random.default_rng([29, seed, index, number])
        concept = pool[rng.integers(len(pool))]
        question = ask_text(concept, kind, rng)
        if question is not None:
            yield _example(benchmark, split, seed, index, question, None, concept.key)


def _easyvqa(benchmark: str, kind: str, split: str, seed: int, number: int) -> Iterator[Example]:
    rows = json.loads(asset_path("easyvqa", f"{EASY_ROOT}/questions.json").read_text(encoding="utf-8"))
    choices = {"easy yes/no": ("yes", "no"), "easy shape": EASY_SHAPES, "easy colour": EASY_COLOURS}[kind]
    order = [i for i in np.random.default_rng([31, seed, number]).permutation(len(rows)) if rows[i][1] in choices]
    if kind == "easy yes/no":
        # "Is there not a ..." is mostly answered yes, "is there a ..." mostly no, and less so for shapes than for
        # colours: without taking turns between these the words alone would be right five times in six.
        strata: dict[tuple, list[int]] = {}
        for i in order:
            words = set(rows[i][0].rstrip("?").split())
            strata.setdefault((bool(words & {"no", "not"}), bool(words & set(EASY_SHAPES)), rows[i][1]), []).append(i)
        order = [i for turn in zip(*(strata[key] for key in sorted(strata)), strict=False) for i in turn]
    for index in order:
        text, answer, image = rows[index]
        path = asset_path("easyvqa", f"{EASY_ROOT}/images/{image}.png")
        question = Question(kind, text[0].upper() + text[1:], answer, choices)
        yield _example(benchmark, split, seed, int(index), question, PictureFile(path), f"easyvqa-{image}")


_VISUAL = ("test", "validation", "held-out")
# name -> (kinds, splits, generator of examples of one kind)
BENCHMARKS = {
    "scenes": (tuple(kind for kind in KINDS if kind not in KNOWLEDGE_KINDS), _VISUAL, _scenes),
    "pope": (tuple(POPE_KINDS), _VISUAL, _pope),
    "knowledge": (KNOWLEDGE_KINDS, _VISUAL, _scenes),
    "charts": (CHART_KINDS, ("test", "validation"), _charts),
    "captions": (("swap", "replace", "add"), _VISUAL, _captions),
    "describe": (("caption",), _VISUAL, _describe),
    "text": (("text knowledge", "text category"), ("test", "held-out"), _text),
    "easyvqa": (("easy yes/no", "easy shape", "easy colour"), ("test",), _easyvqa),
}
