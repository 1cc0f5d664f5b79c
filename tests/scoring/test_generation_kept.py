"""Replies that are kept as they come: a kill, other settings, more examples. The file itself is in
test_kept_replies.py."""

import json
from dataclasses import replace

import pytest
from small_models import one_sentence, tiny_vlm

from paperlib.scoring import generation
from paperlib.scoring.choices import other_pictures
from paperlib.scoring.generation import Reply, generate
from paperlib.study.results import ResultError

from test_generation import closed, seven, silent  # isort: skip


@pytest.fixture
def vlm():
    return silent()


@pytest.fixture
def examples():
    return seven()


class Killed(Exception):
    """What ends a run in the middle."""


def killed_after(batches, make):
    """An intervention maker for that many batches; the next one kills the run."""
    made = []

    def under(batch):
        made.append(batch)
        if len(made) > batches:
            raise Killed
        return make(batch)

    return under


def asked(monkeypatch, vlm):
    """Counts the prompts that a model is asked from now on."""
    counted, real = [], type(vlm).batch
    monkeypatch.setattr(
        type(vlm), "batch", lambda self, prompts, *rest: counted.extend(prompts) or real(self, prompts, *rest)
    )
    return counted


@pytest.mark.parametrize("torn", [False, True])
def test_a_kill_loses_no_more_than_the_batch_under_way(vlm, examples, tmp_path, monkeypatch, torn):
    pictured, file = [e for e in examples if e.picture], tmp_path / "deep" / "replies.jsonl"
    options = dict(batch_size=2, max_new_tokens=4, kept=file, key={"closed": "image->answer"})
    expected = generate(vlm, pictured, batch_size=2, max_new_tokens=4, under=closed(vlm))
    with pytest.raises(Killed):
        generate(vlm, pictured, under=killed_after(2, closed(vlm)), **options)
    assert len(file.read_bytes().splitlines()) == 1 + 4
    if torn:  # the system may have written part of the last line only
        file.write_bytes(file.read_bytes()[:-9])
    counted = asked(monkeypatch, vlm)
    assert generate(vlm, pictured, under=closed(vlm), **options) == expected
    assert len(counted) == (2 if torn else 1)
    counted.clear()
    assert generate(vlm, pictured, under=closed(vlm), **options) == expected and not counted
    assert len(file.read_bytes().splitlines()) == 1 + 5
    assert all(json.loads(line) for line in file.read_text().splitlines())


def test_what_is_not_there_is_asked_and_no_more(vlm, examples, tmp_path, monkeypatch):
    file, counted = tmp_path / "replies.jsonl", asked(monkeypatch, vlm)
    some = generate(vlm, examples[:3], max_new_tokens=3, kept=file)
    counted.clear()
    every = generate(vlm, examples, max_new_tokens=3, kept=file)
    assert every[:3] == some and len(counted) == 4
    other_text = [replace(examples[0], question="Why?"), *examples[1:]]
    counted.clear()
    again = generate(vlm, other_text, max_new_tokens=3, kept=file)
    assert again[1:] == every[1:] and len(counted) == 1 and "Why?" in counted[0]
    counted.clear()
    assert generate(vlm, [], kept=file) == [] and not counted


def test_under_other_the_picture_that_was_shown_tells_replies_apart(vlm, examples, tmp_path, monkeypatch):
    file, counted = tmp_path / "replies.jsonl", asked(monkeypatch, vlm)
    pictured = [e for e in examples if e.picture]
    generate(vlm, pictured, "other", max_new_tokens=2, kept=file, seed=0)
    seed = next(s for s in range(1, 99) if other_pictures(pictured, s) != other_pictures(pictured, 0))
    moved = sum(
        pictured[a].group != pictured[b].group or a != b
        for a, b in zip(other_pictures(pictured, seed), other_pictures(pictured, 0))
    )
    counted.clear()
    found = generate(vlm, pictured, "other", max_new_tokens=2, kept=file, seed=seed)
    assert 0 < len(counted) <= moved
    assert found == generate(vlm, pictured, "other", max_new_tokens=2, seed=seed)


def test_a_file_of_other_settings_is_refused(vlm, examples, tmp_path, monkeypatch):
    file = tmp_path / "replies.jsonl"
    generate(vlm, examples[:2], max_new_tokens=3, kept=file)
    before = file.read_bytes()
    for change, word in (
        (dict(max_new_tokens=4), "max_new_tokens"),
        (dict(stop=["."]), "stop"),
        (dict(images="blank"), "images"),
        (dict(key={"of": "another kind"}), "key"),
        (dict(fast=True), "fast"),
    ):
        with pytest.raises(ValueError, match=f"another setting of '{word}'") as error:
            generate(vlm, examples[:2], **dict(max_new_tokens=3) | change, kept=file)
        one_sentence(error.value)
    with pytest.raises(ValueError, match="'weights'"):
        generate(tiny_vlm(1), examples[:2], max_new_tokens=3, kept=file)
    monkeypatch.setattr(generation, "code_digest", lambda name: "edited")
    with pytest.raises(ValueError, match="'code'"):
        generate(vlm, examples[:2], max_new_tokens=3, kept=file)
    assert file.read_bytes() == before
    file.write_text("something else")
    with pytest.raises(ResultError, match="no file of replies"):
        generate(vlm, examples[:2], max_new_tokens=3, kept=file)
    assert file.read_text() == "something else"


def test_a_reply_goes_into_json_and_back():
    reply = Reply("a", "Grüße\u2028\n", (3, 4), "end")
    assert Reply.from_dict(json.loads(json.dumps(reply.to_dict()))) == reply
