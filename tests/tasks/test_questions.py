"""Questions against an oracle that reads their words and the picture's truth (tests/oracle.py)."""

from collections import Counter, defaultdict
from functools import cache

import numpy as np
import oracle
import pytest

from paperlib.tasks.charts import draw_chart
from paperlib.tasks.concepts import by_category, concepts
from paperlib.tasks.questions import CHART_KINDS, KINDS, NEGATIVES, TEXT_KINDS, ask, ask_chart, ask_text, hard_negative
from paperlib.tasks.scenes import CELLS, COLOURS, SHAPES, compose, draw_scene

NEGATIVE_CAPTIONS = ("swap", "replace", "add")


@cache
def drawn(split):
    return [draw_scene(split, 21, index) for index in range(150)]


def asked(kind, split="test", n=150, **kwargs):
    """(scene, question) pairs of a kind; beyond 150, scenes come again with other questions."""
    pairs = []
    for index in range(n):
        scene = drawn(split)[index % 150]
        question = ask(scene, kind, np.random.default_rng([1, index]), **kwargs)
        if question is not None:
            pairs.append((scene, question))
    return pairs


@pytest.mark.parametrize("split", ["train", "test", "held-out"])
@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_the_oracle(kind, split):
    pairs = asked(kind, split)
    assert len(pairs) > 40
    for scene, question in pairs:
        assert question.kind == kind
        assert question.answer == oracle.answer(question.text, scene), (question, scene.caption)
        assert question.answer in question.choices and len(set(question.choices)) == len(question.choices)


def test_answers_to_a_scene_by_hand():
    scene = compose({"top left": "large penguin", "top right": "small red star", "bottom right": "large red circle"})
    answers = defaultdict(set)
    for kind in KINDS:
        for seed in range(200):
            question = ask(scene, kind, np.random.default_rng(seed))
            if question:
                answers[question.text].add(question.answer)
    expected = {
        "What is at the top left?": "penguin",
        "What kind of thing is at the top left?": "animal",
        "What shape is at the top right?": "star",
        "What color is the shape at the bottom right?": "red",
        "What color is the star?": "red",
        "How many objects are in the picture?": "three",
        "Is there a penguin in the picture?": "yes",
        "Is there a red star in the picture?": "yes",
        "Is the penguin left of the red star?": "yes",
        "Is the red circle above the penguin?": "no",
        "Is the red circle below the red star?": "yes",
        "Where is the red star?": "top right",
        "Is the red star large or small?": "small",
        "Can the thing at the top left fly?": "no",
    }
    assert {text: answers[text] for text in expected} == {text: {answer} for text, answer in expected.items()}
    assert all(len(found) == 1 for found in answers.values())
    # Two shapes are red, penguin and star are level, star and circle in one column: not to be asked.
    assert not set(answers) & {
        "Which shape is red?",
        "Is the penguin above the red star?",
        "Is the red star left of the red circle?",
    }


@pytest.mark.parametrize("kind", ["name", "category"])
def test_no_other_choice_is_true_and_the_answer_stands_anywhere(kind):
    places = Counter()
    for scene, question in asked(kind, n=400):
        places[question.choices.index(question.answer)] += 1
        assert len(question.choices) == 4
        wrong = set(question.choices) - {question.answer}
        if kind == "name":
            assert not wrong & {oracle.NAME[t.concept] for t in scene.things if t.concept}
            assert {oracle.KEY[name] in oracle.HELD_OUT for name in question.choices} == {False}
        else:
            assert set(question.choices) <= set(by_category())
    assert set(places) == {0, 1, 2, 3} and min(places.values()) > 0.15 * sum(places.values())


@pytest.mark.parametrize("kind", ["existence", "relation", "knowledge"])
def test_yes_and_no_are_drawn_with_equal_chance(kind):
    """For knowledge: of concepts with a property that holds and one that does not."""
    answers = Counter()
    for scene, question in asked(kind, n=750):
        if kind == "knowledge":
            spot = next(cell for name, cell in oracle.CELLS.items() if name in question.text)
            key = next(t.concept for t in scene.things if oracle.place(t) == spot)
            if not {True, False} <= {oracle.fact(key, name) for name in oracle.FACTS}:
                continue
        answers[question.answer] += 1
    assert set(answers) == {"yes", "no"} and answers.total() > 200
    assert 0.4 < answers["yes"] / answers.total() < 0.6


def test_kinds_that_a_scene_does_not_allow_are_not_asked():
    rng = np.random.default_rng(0)
    shape, animal = compose({"top left": "large red circle"}), compose({"top left": "large dog"})
    assert all(ask(shape, kind, rng) is None for kind in ("name", "category", "knowledge", "relation"))
    assert all(ask(animal, kind, rng) is None for kind in ("shape", "colour", "relation"))
    assert ask(animal, "name", rng).text == "What is in the picture?"
    assert ask(animal, "name", rng, about="held-out") is None
    assert ask(animal, "name", rng, about="seen") is not None
    assert ask(shape, "count", rng, about="held-out") is None


def test_about_restricts_the_side_of_the_split():
    for kind in KINDS:
        for scene, question in asked(kind, "held-out", about="held-out"):
            named = oracle.mentioned(question.text + " " + question.answer)
            if kind in ("name", "existence", "position", "size"):
                assert named and named <= oracle.HELD_OUT
            elif kind == "relation":
                assert named & oracle.HELD_OUT
    for _, question in asked("name", "held-out", about="seen"):
        assert oracle.KEY[question.answer] not in oracle.HELD_OUT


@pytest.mark.parametrize("mode", NEGATIVES)
def test_absent_things_are_absent_in_the_way_that_is_asked_for(mode):
    small = sorted(by_category(False), key=lambda category: len(by_category(False)[category]))[:3]
    categories, n = set(), 0
    for scene, question in asked("existence", n=500, negatives=mode):
        if question.answer == "yes":
            continue
        n += 1
        identity = oracle.with_article(question.text[len("Is there ") : -len(" in the picture?")])
        concept, shape, colour = identity
        shown = {oracle.look(thing) for thing in scene.things}
        assert identity not in shown and concept not in oracle.HELD_OUT
        if concept:
            categories.add(oracle.CATEGORY[concept])
        if mode == "adversarial" and concept:
            assert oracle.CATEGORY[concept] in {oracle.CATEGORY[key] for key, _, _ in shown if key}
        elif mode == "adversarial":
            assert any(shape == s or colour == c for _, s, c in shown)
        elif mode == "popular" and concept:
            assert oracle.CATEGORY[concept] in small
    assert n > 150 and len(categories) == (3 if mode == "popular" else 13)


@pytest.mark.parametrize("kind", NEGATIVE_CAPTIONS)
@pytest.mark.parametrize("split", ["test", "held-out"])
def test_hard_negatives_are_never_true(kind, split):
    n = 0
    for index in range(150):
        scene = draw_scene(split, 4, index)
        wrong = hard_negative(scene, np.random.default_rng(index), kind)
        if wrong is None:
            continue
        n += 1
        told, truth = oracle.statements(wrong), oracle.shown(scene)
        assert set(told) - truth, (wrong, scene.caption)  # at least one statement is false
        lost, added = truth - set(told), set(told) - truth
        if kind == "swap":
            assert len(lost) == len(added) == 2
            assert {s[:2] for s in lost} == {s[:2] for s in added}
            assert {s[2] for s in lost} == {s[2] for s in added}
        elif kind == "replace":
            ((size, what, cell),), ((old_size, _, old_cell),) = added, lost
            assert (size, cell) == (old_size, old_cell) and what not in {s[1] for s in truth}
        else:
            ((_, what, cell),) = added
            assert not lost and cell not in {s[2] for s in truth} and what not in {s[1] for s in truth}
        # True captions go in reading order: if wrong ones did not, the words alone would tell them apart.
        order = [CELLS.index(s[2]) for s in told]
        assert order == sorted(set(order))
    assert n > 60


def test_hard_negatives_that_a_scene_does_not_allow():
    rng = np.random.default_rng(0)
    one = compose({"top left": "large dog"})
    full = compose({cell: f"large red {shape}" for cell, shape in zip(CELLS, SHAPES)})
    assert hard_negative(one, rng, "swap") is None and hard_negative(full, rng, "add") is None
    with pytest.raises(ValueError, match=r"'negate': use swap, replace or add\.$"):
        hard_negative(one, rng, "negate")


@pytest.mark.parametrize("kind", CHART_KINDS)
def test_chart_answers_are_those_of_the_oracle(kind):
    texts = set()
    for index in range(120):
        chart = draw_chart("test", 5, index)
        question = ask_chart(chart, kind, np.random.default_rng(index))
        texts.add(question.text)
        assert question.answer == oracle.answer(question.text, chart) and question.answer in question.choices
        colours = {colour for colour, _ in chart.bars}
        assert set(question.choices) == ({"1", "2", "3", "4", "5", "6"} if kind == "chart value" else colours)
    assert len(texts) == (len(COLOURS) if kind == "chart value" else 2)


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_text_answers_are_those_of_the_oracle(kind):
    answers = Counter()
    for number, concept in enumerate(concepts().values()):
        for seed in range(3):
            question = ask_text(concept, kind, np.random.default_rng([seed, number]))
            if question is not None:
                answers[question.answer] += 1
                assert question.answer == oracle.answer(question.text, None)
                assert question.answer in question.choices
                assert oracle.mentioned(question.text) == {concept.key} and concept.number != "plural"
    assert set(answers) == ({"yes", "no"} if kind == "text knowledge" else set(by_category()))


def test_a_text_question_never_names_its_answer():
    """'What kind of thing is a potted plant?' would; '... a toolbox?' too, for it holds "tool"."""
    for concept in concepts().values():
        question = ask_text(concept, "text category", np.random.default_rng(0))
        assert question is None or question.answer not in question.text, question
    for key in ("potted_plant", "toolbox"):
        assert ask_text(concepts()[key], "text category", np.random.default_rng(0)) is None
    assert ask_text(concepts()["cactus"], "text category", np.random.default_rng(0)).answer == "plant"


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda rng: ask(draw_scene("test", 0, 0), "mood", rng), ["'mood'", *KINDS]),
        (lambda rng: ask(draw_scene("test", 0, 0), "existence", rng, negatives="hard"), ["'hard'", *NEGATIVES]),
        (lambda rng: ask(draw_scene("test", 0, 0), "name", rng, about="unseen"), ["'unseen'", "held-out"]),
        (lambda rng: ask_chart(draw_chart("test", 0, 0), "chart mean", rng), ["'chart mean'", *CHART_KINDS]),
        (lambda rng: ask_text(concepts()["dog2"], "text name", rng), ["'text name'", *TEXT_KINDS]),
    ],
)
def test_unknown_words_are_refused_in_one_sentence(call, words):
    with pytest.raises(ValueError) as caught:
        call(np.random.default_rng(0))
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
