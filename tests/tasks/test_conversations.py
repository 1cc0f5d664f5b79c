"""Training conversations are right and hold nothing held out; packed, no turn sees another."""

import dataclasses
import hashlib
import json
import re
from collections import Counter

import oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paperlib.models.vlm import load_vlm
from paperlib.tasks.charts import Chart
from paperlib.tasks.conversations import MIXTURES, Conversation, conversation
from paperlib.tasks.questions import DESCRIBE
from paperlib.tasks.scenes import Scene, compose
from paperlib.tuning.packing import embedded, pack, packed_loss

SEEDS = st.integers(0, 2**32)
HELD_OUT_NAMES = sorted(oracle.NAME[key] for key in oracle.HELD_OUT)
WHOLE_NAMES = re.compile(rf"\b({'|'.join(re.escape(name) for name in HELD_OUT_NAMES)})s?\b")
CHART_WORDS = re.compile(r"How tall is the \w+ bar\?|Which bar is the (tallest|shortest)\?")


def kind_of(text: str) -> str:
    for kind, pattern in {
        "name": r"What is (in the picture|at the [a-z ]+)\?",
        "category": r"What kind of thing",
        "shape": r"(What|Which) shape",
        "colour": r"What color",
        "count": r"How many",
        "existence": r"Is there",
        "position": r"Where is",
        "size": r"Is the .+ large or small\?",
        "relation": r"Is the .+ (left of|right of|above|below) the",
        "knowledge": "|".join(oracle.FACTS.values()),
    }.items():
        if re.match(pattern, text):
            return kind
    raise AssertionError(text)


# --- what they say


@pytest.fixture(scope="module")
def talks():
    return [conversation(1, i) for i in range(400)]


def test_turns_are_right_and_begin_with_the_caption(talks):
    for talk in talks:
        assert talk.turns[0] == (DESCRIBE, talk.picture.caption)
        questions = [question for question, _ in talk.turns[1:]]
        assert len(set(questions)) == len(questions) >= 2
        for question, answer in talk.turns[1:]:
            assert answer == oracle.answer(question, talk.picture), (question, talk.picture.caption)


def test_about_one_in_eight_is_a_chart_and_frequent_kinds_are_frequent(talks):
    charts = [talk for talk in talks if isinstance(talk.picture, Chart)]
    assert 0.08 < len(charts) / len(talks) < 0.17
    assert all(CHART_WORDS.fullmatch(question) for talk in charts for question, _ in talk.turns[1:])
    of_scenes = [talk for talk in talks if isinstance(talk.picture, Scene)]
    kinds = Counter(kind_of(question) for talk in of_scenes for question, _ in talk.turns[1:])
    assert set(kinds) == {
        "name",
        "category",
        "shape",
        "colour",
        "count",
        "existence",
        "relation",
        "position",
        "size",
        "knowledge",
    }
    assert kinds.most_common(1)[0][0] == "existence"


def test_the_matching_mixture_is_mostly_existence_and_relation_and_captions_are_rare():
    talks = [conversation(1, i, "matching") for i in range(400)]
    captioned = [talk for talk in talks if talk.turns[0][0] == DESCRIBE]
    assert 0.19 < len(captioned) / len(talks) < 0.31 and all(len(talk.turns) > 1 for talk in talks)
    turns = [
        (talk, *turn) for talk in talks if isinstance(talk.picture, Scene) for turn in talk.turns if turn[0] != DESCRIBE
    ]
    assert all(answer == oracle.answer(question, talk.picture) for talk, question, answer in turns)
    kinds = Counter(kind_of(question) for _, question, _ in turns)
    assert len(kinds) == 10 and 0.4 < (kinds["existence"] + kinds["relation"]) / len(turns) < 0.6
    said = Counter(answer for _, question, answer in turns if kind_of(question) == "existence")
    # Drawn half and half; but what is there is soon asked twice, and then counts once.
    assert 0.33 < said["yes"] / (said["yes"] + said["no"]) < 0.45


def test_an_unknown_mixture():
    with pytest.raises(ValueError, match="captions, reading, matching") as error:
        conversation(0, 0, "sweets")
    assert str(error.value).endswith(".") and len(MIXTURES) == 3


def test_captions_alone_and_dependence_on_seed_and_index():
    talk = conversation(1, 5)
    assert conversation(1, 5, "captions") == Conversation(talk.picture, talk.turns[:1])
    assert conversation(1, 5) == talk
    assert len({conversation(seed, i) for seed in (1, 2) for i in range(20)}) == 40


@settings(max_examples=15, deadline=None, derandomize=True)
@given(SEEDS, st.integers(0, 10**6))
def test_nothing_held_out_is_shown_or_named_whatever_the_seed(seed, first):
    for index in range(first, first + 12):
        talk = conversation(seed, index, ("reading", "matching")[index % 2])
        assert int(talk.picture.key, 16) % 10 < 8  # buckets 8 and 9 are for validation and test
        assert not {t.concept for t in getattr(talk.picture, "things", ())} & oracle.HELD_OUT
        for text in (text for turn in talk.turns for text in turn):
            assert not oracle.mentioned(text) & oracle.HELD_OUT, text
            assert not WHOLE_NAMES.search(text.lower()), text


def test_the_search_for_held_out_words_finds_them_and_nothing_else():
    assert all(WHOLE_NAMES.search(f"is there a {oracle.NAME[key]} here?") for key in oracle.HELD_OUT)
    for text in ("a large caterpillar", "a bowl of rice", "a hot dog", "the bathtub", "a pineapple", "a pie"):
        assert not WHOLE_NAMES.search(text) and not oracle.mentioned(text) & oracle.HELD_OUT
    assert oracle.mentioned("Is the hot dog left of the cat?") == {"hotdog", "cat2"}


def test_training_conversations_are_those_that_the_shipped_adapters_saw():
    """If this fails, training data changed: train the shipped adapters again, then put the digest here."""
    for mixture, digest in {"reading": "95846b757a145378", "matching": "ad4fa69e142bb1c1"}.items():
        text = json.dumps([conversation(0, i, mixture).turns for i in range(60)])
        assert hashlib.sha256(text.encode()).hexdigest()[:16] == digest, mixture


# --- packing


@pytest.fixture(scope="module")
def vlm():
    """The tiny VLM (a token is a byte), its weights larger so that what is seen matters."""
    vlm = load_vlm("tiny", device="cpu")
    with torch.no_grad():
        for weight in vlm.model.parameters():
            weight.mul_(5 if weight.ndim > 1 else 1)
    return vlm


def features_of(vlm, talks):
    images = [talk.picture.render() for talk in talks]
    pixels = vlm.processor.image_processor(images, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        return vlm.model.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-1][:, 1:]


def logprobs(vlm, packed, features):
    """Log-probability of every target, out of the loss that training uses: it is linear in the weights."""
    packed = dataclasses.replace(packed, weights=packed.weights.clone().requires_grad_())
    packed_loss(vlm.model, packed, embedded(vlm.model, packed, features)).backward()
    vlm.model.zero_grad()
    return -packed.weights.grad


def alone(vlm, talk):
    """(token ids, log-probabilities) of each turn's answer, nothing but picture and question before it."""
    found = []
    for question, answer in talk.turns:
        answer = answer + vlm.tokenizer.eos_token
        batch = vlm.batch([vlm.prompt(question)], [talk.picture.render()], [answer])
        where = vlm.spans(batch)[0].answer
        with torch.no_grad():
            logits = vlm.model(**batch).logits[0].float().log_softmax(-1)
        ids = batch["input_ids"][0, where]
        found.append((ids, logits[where - 1, ids]))
    return found


def short_talks():
    scene = compose({"top left": "large dog", "bottom right": "small red circle"})
    other = compose({"top right": "large blue star"}, seed=1)
    return [
        Conversation(
            scene,
            (
                (DESCRIBE, scene.caption),
                ("Where is the dog?", "top left"),
                ("What color is the circle?", "red"),
                ("How many objects are in the picture?", "two"),
            ),
        ),
        Conversation(other, ((DESCRIBE, other.caption), ("What shape is at the top right?", "star"))),
    ]


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_packed_turn_reads_as_it_does_alone(vlm, attention):
    talks = [*short_talks(), conversation(0, 0), conversation(0, 1)]
    vlm.model.set_attn_implementation(attention)
    packed = pack(vlm, talks, 1000)
    assert packed.input_ids.shape == (4, 1000)
    expected = [turn for talk in talks for turn in alone(vlm, talk)]
    assert torch.equal(packed.targets, torch.cat([ids for ids, _ in expected]))
    packed_values = logprobs(vlm, packed, features_of(vlm, talks))
    expected_values = torch.cat([values for _, values in expected])
    torch.testing.assert_close(packed_values, expected_values, atol=2e-4, rtol=0)
    assert packed_values.std() > 0.3  # the values differ enough for a wrong one to be seen


def test_with_a_plain_causal_mask_the_turns_would_see_each_other(vlm):
    """The test above has teeth."""
    talks = short_talks()
    packed, features = pack(vlm, talks, 400), features_of(vlm, talks)
    lowest = torch.finfo(torch.float32).min
    causal = torch.full((400, 400), lowest).triu(1)[None, None].expand_as(packed.mask)
    leaky = dataclasses.replace(packed, mask=causal)
    assert (logprobs(vlm, packed, features) - logprobs(vlm, leaky, features)).abs().max() > 0.1


@pytest.mark.parametrize(
    "caption", ["A large cat at the top left and a small red square at the bottom right.", "Nothing.", "Two dogs."]
)
def test_another_caption_leaves_the_questions_as_they_were(vlm, caption):
    talk = short_talks()[0]
    altered = Conversation(talk.picture, ((DESCRIBE, caption), *talk.turns[1:]))
    features = features_of(vlm, [talk])
    one, two = (logprobs(vlm, pack(vlm, [t], 400), features) for t in (talk, altered))
    n = sum(len(vlm.tokenizer(a + vlm.tokenizer.eos_token)["input_ids"]) for _, a in talk.turns[1:])
    assert n > 15
    torch.testing.assert_close(one[-n:], two[-n:], atol=2e-5, rtol=0)
    assert one[:-n].shape != two[:-n].shape or (one[:-n] - two[:-n]).abs().max() > 0.01


def test_neither_order_nor_neighbours_nor_padding_change_a_turn_and_the_picture_does(vlm):
    talk, other = short_talks()
    turned = Conversation(talk.picture, talk.turns[::-1])
    sizes = [len(vlm.tokenizer(a + vlm.tokenizer.eos_token)["input_ids"]) for _, a in talk.turns]
    features = features_of(vlm, [talk, other])
    plain = logprobs(vlm, pack(vlm, [talk], 400), features[:1]).split(sizes)
    backwards = logprobs(vlm, pack(vlm, [turned], 400), features[:1]).split(sizes[::-1])
    beside = logprobs(vlm, pack(vlm, [talk, other], 700), features)[: sum(sizes)].split(sizes)
    wrong_picture = logprobs(vlm, pack(vlm, [talk], 400), features[1:]).split(sizes)
    for a, b, c, d in zip(plain, backwards[::-1], beside, wrong_picture):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=0)
        torch.testing.assert_close(a, c, atol=2e-5, rtol=0)
        assert (a - d).abs().max() > 0.01


def test_the_mask_lets_a_token_see_the_picture_and_its_own_turn_alone(vlm):
    talk = short_talks()[0]
    packed = pack(vlm, [talk], 400)
    visible = packed.mask[0, 0] == 0
    assert set(packed.mask.unique().tolist()) == {0.0, torch.finfo(torch.float32).min}
    ids = packed.input_ids[0]
    head = int((ids == vlm.image_token_id).nonzero().max()) + 1
    assert (ids == vlm.image_token_id).sum() == vlm.model.config.image_seq_length
    tail = vlm.tokenizer(vlm.prompt("QUESTION").split("QUESTION")[1])["input_ids"]
    start = head
    for question, answer in talk.turns:
        end = start + len(vlm.tokenizer(question + answer)["input_ids"]) + len(tail) + 1
        assert vlm.tokenizer.decode(ids[start:end]).startswith(question)
        for row in range(start, end):
            seen = visible[row].nonzero().flatten().tolist()
            assert seen == [*range(head), *range(start, row + 1)]
        assert packed.position_ids[0, start:end].tolist() == list(range(head, head + end - start))
        start = end
    assert packed.position_ids[0, :head].tolist() == list(range(head))
    assert visible.any(dim=1).all()  # nobody, not even padding, looks at nothing: that would be NaN
    assert torch.equal(packed.branch[0] == -1, torch.arange(400) >= start)


def test_targets_are_what_comes_next_and_weights_sum_to_one(vlm):
    talks = short_talks()
    packed = pack(vlm, talks, 400)
    rows, columns = packed.where
    assert torch.equal(packed.input_ids[rows, columns + 1], packed.targets)
    assert packed.weights.sum().item() == pytest.approx(1)
    sizes = [len(answer) + 1 for talk in talks for _, answer in talk.turns]  # a token is a byte; one ends it
    shares = [size**-0.5 for size in sizes for _ in range(size)]
    torch.testing.assert_close(packed.weights, torch.tensor(shares) / sum(shares))
    text = "".join(a + vlm.tokenizer.eos_token for talk in talks for _, a in talk.turns)
    assert vlm.tokenizer.decode(packed.targets) == text


def test_a_turn_that_does_not_fit_is_left_out_and_shorter_ones_still_come(vlm):
    talk = short_talks()[0]
    ends = [turn for turn in talk.turns if turn[0] != DESCRIBE]
    caption_alone = pack(vlm, [Conversation(talk.picture, talk.turns[:1])], 400)
    room = int((caption_alone.branch[0] >= 0).sum()) - 1  # one token too short for the caption
    packed = pack(vlm, [Conversation(talk.picture, talk.turns[:2])], room)
    assert packed.input_ids.shape == (1, room)
    assert vlm.tokenizer.decode(packed.targets) == ends[0][1] + vlm.tokenizer.eos_token
    with pytest.raises(ValueError, match=r"fits into 30 tokens: pass a larger length\.$"):
        pack(vlm, [talk], 30)


def test_a_template_with_words_between_picture_and_question_is_refused(vlm):
    class Other(type(vlm)):
        def prompt(self, question, has_image=True):
            return f"USER: <image>\n{question} ASSISTANT:"

    with pytest.raises(ValueError, match=r"right before the question\.$"):
        pack(Other(vlm.name, vlm.model, vlm.processor), short_talks(), 400)
