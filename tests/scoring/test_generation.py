"""Replies against questions asked one by one; stop strings; bad input. All families are in models/test_greedy.py."""

from dataclasses import replace
from functools import lru_cache

import pytest
import torch
from miniature_hub import LINEAGES
from PIL import Image
from small_models import one_sentence, tiny_vlm

from paperlib.interventions.edits import knockout, transplant
from paperlib.models import late_entry
from paperlib.models.input_checks import VLMError
from paperlib.models.token_sets import edge
from paperlib.models.vlm import VLM, load_vlm
from paperlib.scoring import generation
from paperlib.scoring.choices import GREY, IMAGES, other_pictures
from paperlib.scoring.generation import generate
from paperlib.tasks.benchmarks import examples as suite_of

SILENT = [0, 1]


@lru_cache
def silent() -> VLM:
    """A random model that does not end what it writes: look at it, don't change it."""
    vlm = tiny_vlm()
    vlm.model.generation_config.suppress_tokens = [*SILENT, vlm.image_token_id]
    return vlm


@lru_cache
def seven() -> list:
    """Seven questions of different lengths: five with pictures, two without."""
    pictured = suite_of("pope", 3)
    chosen = [next(e for e in pictured if e.group == group) for group in dict.fromkeys(e.group for e in pictured)]
    texts = ["Hm?", "Is it a dog?", "What is at the top left of the picture?", "Who?", "What color is it?"]
    asked = [replace(e, id=f"a{i}", question=text) for i, (e, text) in enumerate(zip(chosen * 5, texts))]
    bare = [replace(e, id=f"b{i}") for i, e in enumerate(suite_of("text", 2)[:2])]
    return [asked[0], bare[0], *asked[1:], bare[1]]


@pytest.fixture
def vlm():
    return silent()


@pytest.fixture
def examples():
    return seven()


def closed(vlm, blocks=range(4)):
    return lambda batch: knockout(vlm, blocks, *edge(vlm, batch, "image->answer"))


def texts(replies):
    return [reply.text for reply in replies]


# ---------------------------------------------------------------- what is asked


def test_a_batch_is_each_question_alone_in_their_order(vlm, examples):
    found = generate(vlm, examples, batch_size=7, max_new_tokens=6)
    assert [reply.id for reply in found] == [e.id for e in examples]
    for example, reply in zip(examples, found):
        image = example.picture and example.picture.render()
        assert reply.text == vlm.answer(image, example.question, 6)
        assert len(reply.tokens) == 6 and reply.ended == "length"
    for size in (1, 2, 16):
        assert generate(vlm, examples, batch_size=size, max_new_tokens=6) == found
    assert len(set(texts(found))) > 3


@pytest.mark.parametrize("images", IMAGES)
def test_pictures_are_those_of_choice_scoring(vlm, examples, images):
    found = generate(vlm, examples, images, max_new_tokens=4, seed=3)
    source = other_pictures(examples, 3)
    for i, (example, reply) in enumerate(zip(examples, found)):
        picture = examples[source[i]].picture if images == "other" else example.picture
        image = None if picture is None or images == "none" else picture.render()
        if images == "blank" and image is not None:
            image = Image.new("RGB", image.size, GREY)
        assert reply.text == vlm.answer(image, example.question, 4)


@pytest.mark.parametrize("name", LINEAGES)
def test_every_familys_processor_with_pictures_and_without(hub, name, examples):
    vlm = load_vlm(name, device="cpu")
    vlm.model.generation_config.suppress_tokens = sorted({*vlm.tokenizer.all_special_ids, vlm.image_token_id})
    found = generate(vlm, examples[:4], batch_size=4, max_new_tokens=3)
    assert found == generate(vlm, examples[:4], batch_size=1, max_new_tokens=3)
    for example, reply in zip(examples[:4], found):
        assert reply.text == vlm.answer(example.picture and example.picture.render(), example.question, 3)


def test_a_late_entry_and_a_padded_batch(examples):
    vlm = tiny_vlm()
    vlm.model.generation_config.suppress_tokens = [*SILENT, vlm.image_token_id]
    plain = generate(vlm, examples, max_new_tokens=5)
    late_entry.install(vlm.model, 2, 1.5)
    found = generate(vlm, examples, max_new_tokens=5)
    assert found == generate(vlm, examples, batch_size=1, max_new_tokens=5) != plain


def test_dropout_is_off_and_comes_back(vlm, examples):
    expected = generate(vlm, examples[:1], max_new_tokens=3)
    vlm.model.train()
    try:
        assert generate(vlm, examples[:1], max_new_tokens=3) == expected and vlm.model.training
    finally:
        vlm.model.eval()


def test_a_batch_that_does_not_fit_into_memory_is_run_in_halves(vlm, examples, monkeypatch):
    expected, sizes, real = generate(vlm, examples, max_new_tokens=3), [], generation.greedy

    def scarce(model, batch, *rest):
        sizes.append(len(batch["input_ids"]))
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError("not enough memory")
        return real(model, batch, *rest)

    monkeypatch.setattr(generation, "greedy", scarce)
    assert generate(vlm, examples, max_new_tokens=3) == expected and max(sizes) == 5


# ---------------------------------------------------------------- interventions


def test_interventions_are_made_for_each_batch(vlm, examples):
    pictured = [e for e in examples if e.picture]
    clean = generate(vlm, pictured, max_new_tokens=5)
    found = generate(vlm, pictured, max_new_tokens=5, batch_size=2, under=closed(vlm))
    assert found == generate(vlm, pictured, max_new_tokens=5, batch_size=1, under=closed(vlm)) != clean
    assert generate(vlm, pictured, max_new_tokens=5) == clean
    donor = tiny_vlm(1)
    within = generate(vlm, examples, max_new_tokens=5, under=lambda batch: transplant(vlm, donor, [1, 2]))
    with transplant(vlm, donor, [1, 2]):
        assert generate(vlm, examples, max_new_tokens=5) == within


# ---------------------------------------------------------------- where replies end


def test_a_reply_ends_before_the_first_stop_string(vlm, examples):
    whole = generate(vlm, examples, max_new_tokens=12)
    stop = [whole[0].text[4:6], whole[3].text[7:8]]
    found = generate(vlm, examples, max_new_tokens=12, stop=stop)
    for long, reply in zip(whole, found):
        raw = vlm.tokenizer.decode(long.tokens, skip_special_tokens=True)
        ends = [raw.find(text) for text in stop if text in raw]
        assert reply.ended == ("stop" if ends else "length")
        assert reply.text == raw[: min(ends)].strip() if ends else reply == long
        assert reply.tokens == long.tokens[: len(reply.tokens)]  # the stop string's are the last ones
        written = vlm.tokenizer.decode(reply.tokens, skip_special_tokens=True)
        assert not ends or any(text in written for text in stop)
        assert not any(text in vlm.tokenizer.decode(reply.tokens[:-1], skip_special_tokens=True) for text in stop)
    assert found[0].ended == found[3].ended == "stop" and len({len(r.tokens) for r in found}) > 1
    assert generate(vlm, examples, batch_size=1, max_new_tokens=12, stop=stop) == found


def test_an_end_token_is_no_part_of_a_reply(examples):
    vlm = tiny_vlm()
    vlm.model.generation_config.suppress_tokens = [*SILENT, vlm.image_token_id]
    whole = generate(vlm, examples, max_new_tokens=6)
    end = vlm.model.generation_config.eos_token_id = whole[2].tokens[3]
    for long, reply in zip(whole, generate(vlm, examples, max_new_tokens=6)):
        cut = long.tokens.index(end) if end in long.tokens else None
        assert reply.tokens == long.tokens[:cut] and reply.ended == ("length" if cut is None else "end")


# ---------------------------------------------------------------- the bar, and bad input


def test_the_bar_counts_replies_those_that_were_kept_too(vlm, examples, tmp_path, capsys):
    generate(vlm, examples[:3], max_new_tokens=1, kept=tmp_path / "a")
    assert capsys.readouterr().err == ""
    generate(vlm, examples, max_new_tokens=1, kept=tmp_path / "a", progress=True)
    shown = capsys.readouterr().err
    assert "replies" in shown and "3/7" in shown and "7/7" in shown


def test_bad_input(vlm, examples, tmp_path):
    def refused(error=ValueError, **options):
        with pytest.raises(error) as caught:
            generate(vlm, options.pop("asked", examples), **options)
        return one_sentence(caught.value)

    assert "images must be one of own, blank, other, none" in refused(images="grey")
    for bad in (0, -1, 1.5, True, "3"):
        assert "max_new_tokens must be a whole number" in refused(max_new_tokens=bad)
        assert "batch_size must be a whole number" in refused(batch_size=bad)
    assert "A stop string is empty" in refused(stop=["a", ""])
    assert "put a single one in brackets" in refused(stop=".")
    assert "stop string must be text" in refused(VLMError, stop=[3])
    assert "<|im_end|>" in refused(VLMError, stop=["<|im_end|>"])
    assert "repeat an id" in refused(asked=[examples[0], examples[0]])
    assert "with a key that names it" in refused(under=closed(vlm), kept=tmp_path / "a")
    with transplant(vlm, vlm, [1]):
        assert "with a key that names it" in refused(kept=tmp_path / "a")
    assert "context" in refused(VLMError, max_new_tokens=10**6)
    assert "special token" in refused(VLMError, asked=[replace(examples[0], question="<image>")])
    assert "at least two groups" in refused(asked=examples[:1], images="other")
    assert not (tmp_path / "a").exists()
    assert generate(vlm, []) == []
    with pytest.raises(ValueError, match="images must be one of"):
        generate(vlm, [], images="grey")


@pytest.mark.assets
def test_the_mini_model_replies_in_a_batch_as_alone():
    vlm = load_vlm("mini", device="cpu")
    asked = suite_of("pictures", 1)[:6]
    found = generate(vlm, asked, max_new_tokens=6)
    assert found == generate(vlm, asked, batch_size=1, max_new_tokens=6)
    assert "end" in {reply.ended for reply in found} and sum(r.text == e.answer for r, e in zip(found, asked)) >= 2
