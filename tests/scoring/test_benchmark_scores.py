"""Each benchmark is scored by its own rule: choices by likelihood, replies by what the benchmark's file reads."""

from dataclasses import replace

import numpy as np
import pytest
from public_rows import FIXTURES

from paperlib.models.vlm import load_vlm
from paperlib.scoring import benchmark_scores
from paperlib.scoring.benchmark_scores import (
    REPLIES,
    by_replies,
    guessing,
    part_of,
    pictured,
    reply_scores,
    score_interval,
    scores,
    spread,
)
from paperlib.scoring.generation import Reply
from paperlib.scoring.records import choice_logprobs
from paperlib.study.study import Study
from paperlib.tasks.benchmarks import PUBLIC, load
from paperlib.tasks.benchmarks.asked import LIKE, asked_benchmarks


@pytest.fixture(scope="module")
def tiny():
    return load_vlm("tiny", "cpu")


def said(examples, texts):
    return [Reply(e.id, text, (), "end") for e, text in zip(examples, texts, strict=True)]


def test_choices_are_scored_by_the_likeliest(tiny, study):
    some = load("pope", "test", 2)
    wanted = [record.correct for record in choice_logprobs(tiny, some, batch_size=32, fast=True)]
    assert scores(tiny, study, some).tolist() == wanted


def test_replies_are_scored_by_the_benchmarks_own_rule():
    found, _ = asked_benchmarks(Study.make("smoke", benchmarks=str(FIXTURES / "json")), 4)
    pope = [next(e for e in found["POPE"] if e.answer == answer) for answer in ("yes", "no")]
    assert reply_scores(pope, said(pope, ["yes", "No, none."])).tolist() == [1, 0]  # lmms-eval's exact rule
    chart = replace(found["ChartQA"][0], answer="100")
    assert reply_scores([chart] * 2, said([chart] * 2, ["104", "106"])).tolist() == [1, 0]  # five percent
    things = load("describe", "test", 1)
    named = " and ".join(things[0].info["objects"])
    assert reply_scores(things * 2, said(things * 2, [named, "nothing"])).tolist() == [1, 0]
    easy = load("easyvqa", "test", 1)[:1]
    assert reply_scores(easy * 2, said(easy * 2, [f" {easy[0].answer.title()}.", "?"])).tolist() == [1, 0]


def test_writing_goes_through_the_model(tiny, study):
    some = load("describe", "test", 2)
    found = scores(tiny, replace(study, eval_batch=1), some)
    assert found.shape == (2,) and ((found >= 0) & (found <= 1)).all()


def test_every_benchmark_that_writes_is_one_and_guessing_is_known_for_the_others():
    names = {module.CARD.name for module in PUBLIC.values()} | set(LIKE)
    assert set(REPLIES) <= names
    assert guessing("pope", load("pope", "test", 2)) == 0.5
    assert guessing("describe", load("describe", "test", 2)) is None and by_replies("describe")


def test_intervals_and_parts():
    some = load("scenes", "test", 8)
    whole = score_interval("scenes", np.ones(len(some)), some)
    assert whole.value == whole.high == 1 and whole.low < 1
    few, kinds = part_of(some, 0.25), {e.kind for e in some}
    assert [sum(e.kind == kind for e in few) for kind in kinds] == [2] * len(kinds)
    assert {e.id for e in few} < {e.id for e in part_of(some, 0.5)} < {e.id for e in some}
    assert [e.kind for e in spread(some, len(kinds))] == list(dict.fromkeys(e.kind for e in some))
    assert len(spread(some, 5)) == 5 and len(spread(some, 1000)) == len(some)
    assert len({e.group for e in spread(some, 8)}) == 8  # each about a picture of its own
    assert set(pictured({"a": some, "text": load("text", "test", 1)})) == {"a"}


def test_cider_has_a_scale_of_its_own():
    pytest.importorskip("pycocoevalcap")
    captions = PUBLIC["flickr30k"].load(FIXTURES / "json" / "flickr30k")
    found = reply_scores(captions, said(captions, [e.info["captions"][0] for e in captions]))
    assert found.max() > 1 and score_interval("Flickr30K", found, captions).high <= benchmark_scores.MOST["Flickr30K"]
