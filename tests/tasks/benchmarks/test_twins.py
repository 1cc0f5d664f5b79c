"""Every miniature benchmark: right answers, balance, no leak from training, no answer in the question, refusals."""

import json
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from functools import cache

import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paperlib.study.study import CODE_ROOT
from paperlib.tasks.assets import asset_path
from paperlib.tasks.benchmarks import BENCHMARKS, EASY_COLOURS, EASY_SHAPES, Example, load, twins
from paperlib.tasks.charts import draw_chart
from paperlib.tasks.conversations import conversation
from paperlib.tasks.questions import DESCRIBE
from paperlib.tasks.scenes import draw_scene

ALL = [(name, split) for name, (_, splits, _) in BENCHMARKS.items() for split in splits]
HELD_OUT = [name for name, split in ALL if split == "held-out"]
SEEDS = st.integers(0, 2**32)


@pytest.fixture(scope="module", autouse=True)
def scenes_drawn_once():
    """Kinds and tests ask about the same scenes, and drawing them is most of the work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(twins, "draw_scene", cache(draw_scene))
        patch.setattr(twins, "draw_chart", cache(draw_chart))
        yield


@cache
def examples(benchmark, split):
    return load(benchmark, split, 24, seed=3)


def by_kind(found):
    groups = defaultdict(list)
    for ex in found:
        groups[ex.kind].append(ex)
    return groups


@pytest.mark.parametrize("name, split", ALL)
def test_every_kind_has_its_number_and_every_example_its_answer_among_the_choices(name, split):
    found, kinds = examples(name, split), BENCHMARKS[name][0]
    wanted = [kind for kind in kinds if split != "held-out" or kind not in ("shape", "colour")]
    assert {kind: len(group) for kind, group in by_kind(found).items()} == dict.fromkeys(wanted, 24)
    assert len({ex.id for ex in found}) == len(found)
    for kind, group in by_kind(found).items():
        assert len({(ex.group, ex.question) for ex in group}) == len(group) or name == "captions"
    for ex in found:
        assert (ex.benchmark, ex.split) == (name, split) and ex.answer and ex.question
        assert ex.answer in ex.choices if name != "describe" else ex.choices == ()
        assert len(set(ex.choices)) == len(ex.choices) != 1


@pytest.mark.parametrize("name, split", [pair for pair in ALL if pair[0] != "easyvqa"])
def test_answers_are_those_of_the_oracle(name, split):
    for ex in examples(name, split):
        if name in ("captions", "describe"):
            assert ex.question == DESCRIBE
            assert set(oracle.statements(ex.answer)) == oracle.shown(ex.picture)
            for wrong in set(ex.choices) - {ex.answer}:
                assert set(oracle.statements(wrong)) - oracle.shown(ex.picture)
        else:
            assert ex.answer == oracle.answer(ex.question, ex.picture), ex
        if name == "describe":
            names = [oracle.NAME.get(t.concept) or f"{t.colour} {t.shape}" for t in ex.picture.things]
            assert ex.info["objects"] == sorted(names)


@pytest.mark.parametrize("name, split", ALL)
@pytest.mark.parametrize("n", [1, 7, 40])
def test_yes_and_no_are_as_many(name, split, n):
    for kind, group in by_kind(load(name, split, n)).items():
        answers = Counter(ex.answer for ex in group)
        if set(answers) & {"yes", "no"}:
            assert set(answers) <= {"yes", "no"} and abs(answers["yes"] - answers["no"]) <= n % 2, kind


def test_a_pool_that_ends_stays_balanced():
    """Of the facts about held-out concepts some 16 are true, so that only as many false ones are asked."""
    for split in ("test", "held-out"):
        group = by_kind(load("text", split, 900))["text knowledge"]
        answers = Counter(ex.answer for ex in group)
        assert answers["yes"] == answers["no"] >= 12 and len(group) < 900
    # Those that stay are the first of their answer, in the order of the shorter list.
    short, long = (by_kind(load("text", "test", n))["text knowledge"] for n in (20, 900))
    assert [ex for ex in long if ex.id in {s.id for s in short}] == short


@pytest.mark.parametrize("name, split", ALL)
def test_no_question_holds_its_answer(name, split):
    """Except where the question offers the choice itself: large or small, and yes or no."""
    for ex in load(name, split, 60):
        if ex.kind == "size":
            assert all(size in ex.question for size in ("large", "small"))
        elif ex.answer not in ("yes", "no"):
            assert ex.answer.lower() not in ex.question.lower(), ex
        else:
            assert not re.search(r"\b(yes|no)\b", ex.question.lower()) or ex.benchmark == "easyvqa"
        if ex.kind == "category":  # nor is the thing named, which would make a picture needless
            assert not oracle.mentioned(ex.question)


def test_the_place_of_the_answer_among_drawn_choices_says_nothing():
    for benchmark, kind in (("scenes", "name"), ("knowledge", "category"), ("text", "text category")):
        places = Counter(ex.choices.index(ex.answer) for ex in by_kind(load(benchmark, "test", 80))[kind])
        assert set(places) == {0, 1, 2, 3} and max(places.values()) < 40


# --- what is held out, and what is kept from training


@pytest.mark.parametrize("name, split", ALL)
def test_held_out_concepts_are_in_held_out_examples_alone(name, split):
    for ex in examples(name, split):
        shown = {thing.concept for thing in getattr(ex.picture, "things", ())} & oracle.HELD_OUT
        named = oracle.mentioned(" ".join((ex.question, ex.answer, *ex.choices))) & oracle.HELD_OUT
        if split != "held-out":
            assert not shown and not named, ex
        elif name == "text":
            assert named == {ex.group} and ex.picture is None
        else:
            assert shown
            if ex.kind == "name":
                assert {oracle.KEY[choice] for choice in ex.choices} <= oracle.HELD_OUT
            elif ex.kind in ("category", "knowledge"):
                cell = next(cell for cell in oracle.CELLS if cell in ex.question)
                there = [t.concept for t in ex.picture.things if oracle.place(t) == oracle.CELLS[cell]]
                assert len(there) == 1 and there[0] in oracle.HELD_OUT
            elif ex.kind in ("position", "size", "relation", "caption") or ex.kind.startswith("existence"):
                assert named


@settings(max_examples=8, deadline=None, derandomize=True)
@given(SEEDS, SEEDS, st.sampled_from([name for name, split in ALL if split == "validation"]))
def test_no_evaluated_picture_is_trained_on_whatever_the_seeds(train, seed, name):
    trained = {conversation(train, i).picture.key for i in range(40)}
    for split in ("test", "validation"):
        evaluated = load(name, split, 3, seed=seed)
        assert {ex.group for ex in evaluated} == {ex.picture.key for ex in evaluated}
        assert not trained & {ex.group for ex in evaluated}
        # Whoever draws it: the bucket of its content belongs to the split.
        assert {int(ex.group, 16) % 10 for ex in evaluated} == {9 if split == "test" else 8}


def test_pope_asks_its_negatives_in_three_ways():
    for kind, group in by_kind(load("pope", "test", 60)).items():
        assert kind.startswith("existence ") and {ex.answer for ex in group} == {"yes", "no"}
        for ex in group:
            phrase = ex.question[len("Is there ") : -len(" in the picture?")]
            concept, shape, colour = oracle.with_article(phrase)
            shown = {oracle.look(thing) for thing in ex.picture.things}
            if kind == "existence adversarial" and concept:
                assert oracle.CATEGORY[concept] in {oracle.CATEGORY[key] for key, _, _ in shown if key}
            elif kind == "existence adversarial":
                assert any(shape == s or colour == c for _, s, c in shown)
            elif kind == "existence popular" and concept and ex.answer == "no":
                assert oracle.CATEGORY[concept] in ("drink", "instrument", "sports gear")


# --- easy-VQA


@cache
def easy_rows():
    path = asset_path("easyvqa", "easy_vqa/data/test/questions.json")
    return json.loads(path.read_text(encoding="utf-8"))


def test_easy_vqa_is_as_the_package_has_it():
    for ex in load("easyvqa", "test", 120):
        text, answer, image = easy_rows()[int(ex.id.rsplit("/", 1)[1])]
        assert ex.question.lower() == text and ex.question[0].isupper() and ex.answer == answer
        assert ex.group == f"easyvqa-{image}"
        assert ex.picture.path == asset_path("easyvqa", f"easy_vqa/data/test/images/{image}.png")
    answers = set(asset_path("easyvqa", "easy_vqa/data/answers.txt").read_text(encoding="utf-8").split())
    assert answers == {*EASY_COLOURS, *EASY_SHAPES, "yes", "no"}
    assert all(answer in answers for _, answer, _ in easy_rows())


def test_easy_vqa_cannot_be_answered_from_the_words():
    """As they come, 'not means yes' is right five times in six; here every form has both answers as often."""
    answers = defaultdict(Counter)
    for ex in by_kind(load("easyvqa", "test", 160))["easy yes/no"]:
        words = ex.question.lower().rstrip("?").split()
        form = ("not" in words or "no" in words, any(shape in words for shape in EASY_SHAPES))
        answers[form][ex.answer] += 1
    assert len(answers) == 4
    assert all(abs(c["yes"] - c["no"]) <= 2 and c.total() >= 36 for c in answers.values())


# --- pictures


@pytest.mark.parametrize("name, split", ALL)
def test_pictures_are_rendered_as_rgb(name, split):
    for ex in list({ex.kind: ex for ex in examples(name, split)}.values()):
        if name == "text":
            assert ex.picture is None
        else:
            image = ex.picture.render()
            assert image.mode == "RGB" and image.size == ((64, 64) if name == "easyvqa" else (128, 128))


# --- refusals, and the same everywhere


@pytest.mark.parametrize(
    "args, words",
    [
        (("vqa",), ["'vqa'", *BENCHMARKS]),
        (("scenes", "train"), ["'scenes'", "'train'", "test, validation, held-out"]),
        (("charts", "held-out"), ["'charts'", "'held-out'", "test, validation"]),
        (("easyvqa", "validation"), ["'easyvqa'", "'validation'", "test"]),
        (("text", "dev"), ["'text'", "'dev'"]),
        (("scenes", "test", 0), ["from 1 to 100,000", "got 0"]),
        (("pope", "test", -3), ["from 1 to 100,000", "got -3"]),
    ],
)
def test_what_cannot_be_loaded_is_refused_in_one_sentence(args, words):
    with pytest.raises(ValueError) as caught:
        load(*args)
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_no_benchmark_has_a_training_split():
    assert all("train" not in splits for _, splits, _ in BENCHMARKS.values())
    assert set(HELD_OUT) == {"scenes", "pope", "knowledge", "captions", "describe", "text"}


def test_seeds_give_other_examples_and_the_same_seed_the_same():
    for benchmark, split in ALL:
        assert load(benchmark, split, 2, seed=5) == load(benchmark, split, 2, seed=5)
        one, two = ([(ex.group, ex.question) for ex in load(benchmark, split, 2, seed=s)] for s in (5, 6))
        assert one != two


DIGEST = """
import hashlib
from paperlib.tasks.benchmarks import BENCHMARKS, load
from paperlib.tasks.conversations import conversation

h = hashlib.sha256()
for name, (_, splits, _) in BENCHMARKS.items():
    for split in splits:
        for ex in load(name, split, 1):
            h.update(repr((ex.id, ex.question, ex.answer, ex.choices, ex.group, ex.info)).encode())
for i in range(20):
    h.update(repr(conversation(0, i)).encode())
digest = h.hexdigest()
"""


def test_examples_are_the_same_in_every_process():
    """One example of every kind and twenty training conversations."""
    here = {}
    exec(DIGEST, here)
    code = DIGEST + "print(digest)"
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CODE_ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == here["digest"]


def test_balancing_takes_the_first_and_never_the_same_twice():
    def example(answer, group):
        return Example(group, "b", "k", "test", "Q?", answer, ("yes", "no"), None, group)

    pairs = [("yes", "a"), ("yes", "a"), ("yes", "b"), ("yes", "c"), ("no", "d")]
    stream = [example(*pair) for pair in pairs]
    assert [ex.group for ex in twins._balanced(iter(stream), 3)] == ["a", "b", "d"]
    assert [ex.group for ex in twins._balanced(iter(stream), 4)] == ["a", "d"]  # only one no can be had
    assert [ex.group for ex in twins._balanced(iter(stream), 1)] == ["a"]
