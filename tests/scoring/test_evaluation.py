"""Suites, cached records and captions, on the tiny model; the shipped model on the questions that it must answer."""

import dataclasses
from dataclasses import replace

import pytest
import torch

from paperlib.models.late_entry import install, remove
from paperlib.models.vlm import fingerprint, load_vlm
from paperlib.scoring import evaluation
from paperlib.scoring.evaluation import describe, evaluate
from paperlib.stats.accuracy import summarize
from paperlib.study.study import Study
from paperlib.tasks.benchmarks import SUITES, examples


@pytest.fixture(scope="module")
def tiny():
    return load_vlm("tiny")


@pytest.mark.parametrize("suite", SUITES)
def test_suites_hold_what_they_say_and_kinds_are_told_apart(suite):
    found = examples(suite, 4)
    assert {(e.benchmark, e.split) for e in found} == set(SUITES[suite])
    assert len({e.id for e in found}) == len(found)
    # A kind belongs to one benchmark, or a summary by kind would mix two.
    assert len({(e.benchmark, e.kind) for e in found}) == len({e.kind for e in found})


def test_an_unknown_suite_is_refused():
    with pytest.raises(ValueError, match="Unknown suite 'all': use one of pictures"):
        examples("all", 4)


def test_records_are_computed_once_and_read_back_alike(study, tiny, monkeypatch):
    first = evaluate(tiny, study, "outside")
    monkeypatch.setattr(evaluation, "choice_logprobs", lambda *a, **k: pytest.fail("computed again"))
    assert evaluate(tiny, study, "outside") == first


@pytest.mark.parametrize("eval_batch, asked_at_once", [(4, 4), (1000, evaluation.BATCH)])
def test_no_more_is_asked_at_once_than_the_study_allows(study, tiny, monkeypatch, eval_batch, asked_at_once):
    sizes, score = [], evaluation.choice_logprobs

    def noted(vlm, asked, images, batch_size, *args, **settings):
        sizes.append(batch_size)
        return score(vlm, asked, images, batch_size, *args, **settings)

    monkeypatch.setattr(evaluation, "choice_logprobs", noted)
    evaluate(tiny, dataclasses.replace(study, eval_batch=eval_batch), "outside")
    assert sizes == [asked_at_once]


def test_other_weights_pictures_or_kinds_are_other_records(study, tiny):
    own = evaluate(tiny, study, "outside")
    blank = evaluate(tiny, study, "outside", images="blank")
    assert [r.logprobs for r in own] != [r.logprobs for r in blank]
    assert {r.kind for r in evaluate(tiny, study, "outside", kinds=["easy shape"])} == {"easy shape"}
    assert len(evaluate(tiny, study, "outside", n=1)) == 3  # one of each kind in place of the study's two
    other = load_vlm("tiny", seed=1)
    assert [r.logprobs for r in evaluate(other, study, "outside")] != [r.logprobs for r in own]


@pytest.mark.parametrize("suite", ["pictures", "held-out concepts", "pope", "outside"])
def test_fewer_questions_are_some_of_the_more(suite):
    """So that a control on half of the questions asks what the model was asked."""
    more, fewer = ({e.id for e in examples(suite, n)} for n in (8, 4))
    assert fewer < more and len(fewer) == len(more) / 2


def test_fingerprint_is_of_the_weights_alone(tiny):
    again = load_vlm("tiny")
    assert fingerprint(again) == fingerprint(tiny)
    with torch.no_grad():
        next(again.model.parameters())[0] += 1e-6
    assert fingerprint(again) != fingerprint(tiny)


def test_describe_scores_the_objects_that_captions_name(study, tiny, monkeypatch):
    said = describe(tiny, study, n=3)
    assert len(said["captions"]) == 3 and said["f1"] == 0.0  # random weights name nothing
    monkeypatch.setattr(tiny, "answers", lambda pictures, questions, **_: [true for _, true in said["captions"]])
    monkeypatch.setattr(evaluation, "fingerprint", lambda vlm: "one that repeats the truth")
    assert describe(tiny, study, n=3)["f1"] == 1.0


def test_describe_asks_for_no_more_captions_at_once_than_the_study_allows(study, tiny, monkeypatch):
    asked, whole = [], describe(tiny, study, n=5)

    def answers(pictures, questions, **_):
        asked.append(len(pictures))
        first = sum(asked[:-1])
        return [said for said, _ in whole["captions"][first : first + len(pictures)]]

    monkeypatch.setattr(tiny, "answers", answers)
    monkeypatch.setattr(evaluation, "fingerprint", lambda vlm: "asked anew")
    assert describe(tiny, replace(study, eval_batch=2), n=5) == whole
    assert asked == [2, 2, 1]


def test_the_shipped_model_sees():
    """Far above chance and above the same questions with a blank picture, on few questions of each kind."""
    study, vlm, asked = Study.make("mini"), load_vlm("mini"), ["colour", "name", "count"]
    seen, blind = (summarize(evaluate(vlm, study, "pictures", images, asked, n=8)) for images in ("own", "blank"))
    for kind in asked:
        assert seen[kind].value >= 0.7 and seen[kind].value >= blind[kind].value + 0.2, (kind, seen, blind)


def test_a_model_that_image_tokens_enter_later_has_a_fingerprint_of_its_own(tiny):
    before = fingerprint(tiny)
    prints = set()
    for block, scale in ((1, 1.0), (2, 1.0), (2, 2.0)):
        install(tiny.model, block, scale)
        prints.add(fingerprint(tiny))
        remove(tiny.model)
    assert len(prints | {before}) == 4 and fingerprint(tiny) == before
