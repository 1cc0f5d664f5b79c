"""Choice log-probabilities against a naive forward pass per choice, and the controls' pictures."""

import contextlib
import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from paperlib.models.vlm import load_vlm
from paperlib.scoring import choices
from paperlib.scoring import records as scoring
from paperlib.scoring.choices import other_pictures
from paperlib.scoring.records import Record, choice_logprobs
from paperlib.tasks import benchmarks
from paperlib.tasks.benchmarks import BENCHMARKS, Example


def tiny(strip_prompt=False):
    """The tiny VLM (a token is a byte: most choices have several), its weights larger so that inputs matter.

    `strip_prompt` ends the prompt without the line break, as LLaVA-1.5's "ASSISTANT:" does. `vlm.sequences`
    counts what went through the model.
    """
    vlm = load_vlm("tiny", device="cpu")
    with torch.no_grad():
        for weight in vlm.model.parameters():
            weight.mul_(5 if weight.ndim > 1 else 1)
    if strip_prompt:
        prompt = vlm.prompt
        vlm.prompt = lambda question, has_image=True: prompt(question, has_image).rstrip()
    vlm.sequences = 0

    def count(module, args, kwargs):
        vlm.sequences += len(kwargs["input_ids"])

    vlm.model.model.register_forward_pre_hook(count, with_kwargs=True)
    return vlm


@dataclass(frozen=True)
class Picture:
    seed: int

    def render(self):
        pixels = np.random.default_rng(self.seed).integers(0, 256, (24, 40, 3), dtype=np.uint8)
        return Image.fromarray(pixels)


def example(i, choices=("red", "green", "grey", "blue"), answer=None, question="What colour?", **more):
    usual = {"picture": Picture(i), "group": str(i), "benchmark": "twin", "kind": "colour", "split": "test"}
    answer = choices[i % len(choices)] if answer is None else answer
    return Example(id=str(i), question=question, choices=tuple(choices), answer=answer, **usual | more)


def naive(vlm, ex, image, end=False):
    """Log-probabilities by the book: one choice at a time, unpadded, all logits, log_softmax, a loop."""
    values = []
    for choice in ex.choices:
        prompt = vlm.prompt(ex.question, image is not None)
        tail = ("" if prompt.endswith("\n") else " ") + choice + "<|im_end|>" * end
        images = {} if image is None else {"images": [image]}
        inputs = vlm.processor(text=[prompt + tail], return_tensors="pt", **images)
        with torch.no_grad():
            logits = vlm.model(**inputs).logits[0]
        ids, n = inputs["input_ids"][0], len(tail.encode()) - (len("<|im_end|>") - 1) * end
        total = 0.0
        for position in range(len(ids) - n, len(ids)):
            total += torch.log_softmax(logits[position - 1].double(), -1)[ids[position]].item()
        values.append(total)
    return values


@pytest.fixture(scope="module")
def vlm():
    return tiny()


@pytest.fixture
def examples():
    return [
        example(0),
        example(1, question="What colour is the small circle on the left?"),
        example(2, ("yes", "no"), question="Is there an animal?", kind="existence"),
        example(3, ("a", "b", "c", "d"), question="Which?"),
        example(4, ("four", "two", "fourteen"), question="How many?", kind="count"),
        example(5, ("1", "12", "2", "21"), question="How many?", kind="count"),
        example(6, ("A red dog.", "A dog that is red."), question="Describe it.", benchmark="captions"),
        example(7, ("yes", "no"), picture=None, question="Can a bird fly?", kind="text"),
    ]


@pytest.mark.parametrize("strip_prompt", [False, True])
@pytest.mark.parametrize("images", choices.IMAGES)
@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_against_one_naive_forward_per_choice(examples, images, batch_size, strip_prompt):
    vlm = tiny(strip_prompt)
    records = choice_logprobs(vlm, examples, images, batch_size, seed=5)
    source = other_pictures(examples, seed=5)
    for i, (ex, record) in enumerate(zip(examples, records)):
        image = None
        if ex.picture is not None and images != "none":
            image = examples[source[i] if images == "other" else i].picture.render()
            if images == "blank":
                image = Image.new("RGB", image.size, (128, 128, 128))
        end = ex.id in ("4", "5")  # here one choice begins another
        expected = naive(vlm, ex, image, end)
        assert record.logprobs == pytest.approx(expected, abs=2e-4)
        assert record.tokens == tuple(len(c) + strip_prompt + end for c in ex.choices)
        by_mean = [lp / n for lp, n in zip(expected, record.tokens)]
        best = ex.choices[int(np.argmax(by_mean if ex.benchmark == "captions" else expected))]
        assert (record.id, record.kind, record.group, record.answer) == (ex.id, ex.kind, ex.group, ex.answer)
        assert record.prediction == best and record.correct is (best == ex.answer)


def test_pictures_change_the_answer(vlm, examples):
    by = {images: choice_logprobs(vlm, examples[:4], images) for images in choices.IMAGES}
    for i in range(4):
        assert len({round(by[images][i].logprobs[0], 4) for images in choices.IMAGES}) == 4


def test_equals_full_logits_in_the_middle_of_a_batch(vlm):
    """Padding of shorter neighbours changes nothing: each example alone gives the same numbers."""
    examples = [example(i, question="What " + "very " * i + "colour?") for i in range(6)]
    together = choice_logprobs(vlm, examples)
    for ex, record in zip(examples, together):
        assert choice_logprobs(vlm, [ex])[0].logprobs == pytest.approx(record.logprobs, abs=2e-4)


def test_caption_pairs_go_by_mean_per_token(vlm):
    """The longer caption loses by the sum and wins by the mean, so the benchmark decides the prediction."""
    long = "A red dog" + " and a red dog" * 6
    choices = ("qqq", long)
    for benchmark in ("captions", "twin"):
        record = choice_logprobs(vlm, [example(0, choices, benchmark=benchmark)])[0]
        total = dict(zip(choices, record.logprobs))
        score = {c: lp / len(c) for c, lp in total.items()} if benchmark == "captions" else total
        assert record.prediction == max(score, key=score.get)
    assert "captions" in BENCHMARKS and scoring.MEAN_PER_TOKEN & BENCHMARKS.keys() == {"captions", "describe"}
    assert total["qqq"] > total[long]


class Constant(torch.nn.Module):
    """A language-model head that finds every token equally likely, or none at all."""

    def __init__(self, size, value):
        super().__init__()
        self.size, self.value = size, value

    def forward(self, hidden):
        return torch.full((*hidden.shape[:-1], self.size), self.value)


def test_a_tie_counts_against_the_model(vlm, monkeypatch):
    monkeypatch.setattr(vlm.model, "get_output_embeddings", lambda: Constant(len(vlm.tokenizer), 0.0))
    records = choice_logprobs(vlm, [example(i, ("a", "b"), answer=a) for i, a in enumerate("ab")])
    assert [r.correct for r in records] == [False, False]
    assert records[0].logprobs == pytest.approx([-np.log(len(vlm.tokenizer))] * 2)


def test_not_finite_is_refused(vlm, monkeypatch):
    head = Constant(len(vlm.tokenizer), float("nan"))
    monkeypatch.setattr(vlm.model, "get_output_embeddings", lambda: head)
    with pytest.raises(FloatingPointError, match="example '3' are not finite"):
        choice_logprobs(vlm, [example(3)])


def test_leaves_the_model_as_it_was(vlm):
    vlm.model.train()
    vlm.model.model.vision_tower.eval()
    before = [m.training for m in vlm.model.modules()]
    choice_logprobs(vlm, [example(0)])
    assert [m.training for m in vlm.model.modules()] == before and not all(before)
    assert all(p.grad is None for p in vlm.model.parameters())
    vlm.model.eval()


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
def test_works_inside_peft(examples):
    """While tuning, the model is wrapped: a fresh adapter changes nothing, a trained one does."""
    peft = pytest.importorskip("peft")
    vlm = tiny()
    plain = choice_logprobs(vlm, examples)
    config = peft.LoraConfig(r=2, target_modules=r".*language_model.*q_proj", lora_dropout=0.5)
    vlm.model = peft.get_peft_model(vlm.model, config).train()
    for a, b in zip(plain, choice_logprobs(vlm, examples)):
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-5)
    for name, parameter in vlm.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    assert choice_logprobs(vlm, examples)[0].logprobs != pytest.approx(plain[0].logprobs, abs=1e-3)


def test_record_round_trip(vlm, examples):
    for record in choice_logprobs(vlm, examples[:2]):
        assert Record.from_dict(json.loads(json.dumps(record.to_dict()))) == record


def test_bad_input_is_refused_in_one_sentence(vlm):
    good = example(0)
    cases = [
        ({"examples": []}, "no examples"),
        ({"examples": [good], "images": "grey"}, "must be one of own, blank, other, none, got 'grey'"),
        ({"examples": [good], "images": "other"}, "at least two groups"),
        ({"examples": [good], "batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ({"examples": [good, example(1, ("red",), "red")]}, "'1' has 1 choices"),
        ({"examples": [example(1, answer="pink")]}, "'1', 'pink', is not among"),
        ({"examples": [example(1, ("red", "red", "blue"), "red")]}, "empty or repeated choices"),
        ({"examples": [example(1, ("red", ""), "red")]}, "empty or repeated choices"),
    ]
    before = vlm.sequences
    for arguments, words in cases:
        with pytest.raises(ValueError, match=words) as caught:
            choice_logprobs(vlm, **arguments)
        assert "\n" not in str(caught.value) and str(caught.value).count(". ") == 0
    assert vlm.sequences == before


def test_free_captioning_has_no_choices_to_score(vlm):
    with pytest.raises(ValueError, match="0 choices"):
        choice_logprobs(vlm, [example(0, (), "A dog.", question="Describe it.", benchmark="describe")])


def test_each_picture_is_encoded_once_and_nothing_else_changes(monkeypatch):
    vlm = load_vlm("tiny")
    examples = benchmarks.load("scenes", "test", 3)
    tower, seen = vlm.model.model.vision_tower, []
    hook = tower.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    once = choice_logprobs(vlm, examples, batch_size=4)
    encoded, pictures = sum(seen), len({e.group for e in examples})
    assert encoded == pictures and "get_image_features" not in vars(vlm.model.model)
    monkeypatch.setattr(type(vlm), "cached_features", lambda self: contextlib.nullcontext())
    plain = choice_logprobs(vlm, examples, batch_size=4)
    hook.remove()
    assert sum(seen) - encoded > pictures
    for a, b in zip(once, plain):
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-5)
