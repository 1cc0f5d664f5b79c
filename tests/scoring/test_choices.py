"""Sequences are shared between choices, and the other-picture control never shows a picture of the same group."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paperlib.scoring.choices import check_examples, other_pictures
from paperlib.scoring.records import choice_logprobs

from test_records import Picture, example, tiny  # isort: skip


@pytest.fixture(scope="module")
def vlm():
    return tiny()


answers = st.sampled_from(["red", "blue", "yes"])
groups = st.lists(st.tuples(st.integers(0, 5), answers, st.booleans()), min_size=2, max_size=25)


@pytest.mark.parametrize(
    "choices, sequences",
    [
        (("a", "b", "c", "d"), 1),  # one token each: the prompt alone
        (("abc", "abd", "abe"), 1),  # differ in their last token only
        (("abc", "ax", "b"), 1),  # prefixes of a needed sequence
        (("yes", "no"), 2),
        (("ab", "ba", "bb"), 2),
    ],
)
def test_runs_no_sequence_twice(vlm, choices, sequences):
    before = vlm.sequences
    choice_logprobs(vlm, [example(0, choices), example(1, choices)])
    assert vlm.sequences - before == 2 * sequences


@given(groups, st.integers(0, 9))
def test_no_example_is_shown_a_picture_of_its_group(data, seed):
    kinds = {"red": "colour", "blue": "colour", "yes": "existence"}
    examples = [
        example(i, tuple(kinds), a, group=str(g), kind=kinds[a], picture=Picture(g) if pictured else None)
        for i, (g, a, pictured) in enumerate(data)
    ]
    pictured = [ex for ex in examples if ex.picture]
    if len({ex.group for ex in pictured}) == 1:
        with pytest.raises(ValueError, match="at least two groups"):
            other_pictures(examples, seed)
        return
    source = other_pictures(examples, seed)
    assert source == other_pictures(examples, seed)
    for i, ex in enumerate(examples):
        other = examples[source[i]]
        if ex.picture is None:
            assert source[i] == i
            continue
        assert other.picture is not None and other.group != ex.group
        strangers = [x for x in pictured if x.group != ex.group and x.answer != ex.answer]
        if strangers:
            assert other.answer != ex.answer
        if any(x.kind == ex.kind for x in strangers):
            assert other.kind == ex.kind


def test_other_pictures_are_spread_and_depend_on_the_seed():
    examples = [example(i, ("red", "blue")) for i in range(200)]
    source = other_pictures(examples, 0)
    assert source != other_pictures(examples, 1)
    assert np.bincount(source, minlength=200).max() <= 12


def test_a_tokenizer_without_an_end_token_is_refused_only_where_it_matters():
    vlm = tiny()
    vlm.tokenizer.eos_token = None
    assert choice_logprobs(vlm, [example(0, ("red", "blue"))])
    with pytest.raises(ValueError, match="set tokenizer.eos_token"):
        choice_logprobs(vlm, [example(0, ("cat", "cat face"))])


def test_a_choice_that_merges_with_its_prompt_is_refused():
    class Merging:
        """A VLM whose tokenizer makes one token of any text."""

        def prompt(self, question, has_image):
            return question

        def tokenizer(self, text, **_):
            return SimpleNamespace(input_ids=[len(text)])

    with pytest.raises(ValueError, match="' red' of example '0' merges with its prompt"):
        choice_logprobs(Merging(), [example(0)])


def test_a_text_is_no_list_of_choices():
    """Its letters would be asked one by one."""
    asked = SimpleNamespace(id="a", choices="ab", answer="a")
    with pytest.raises(ValueError, match="must be a tuple of texts, got one text: 'ab'"):
        check_examples([asked])


def test_weights_in_half_precision_are_scored_in_float32():
    """As those of the hub's models on a GPU are."""
    from paperlib.models.vlm import load_vlm
    from paperlib.scoring.records import choice_logprobs
    from paperlib.tasks import examples

    asked = examples("pope", 2)
    whole = choice_logprobs(load_vlm("tiny", "cpu"), asked)
    half = load_vlm("tiny", "cpu")
    half.model.to(torch.bfloat16)
    for a, b in zip(whole, choice_logprobs(half, asked), strict=True):
        assert b.logprobs == pytest.approx(a.logprobs, abs=0.2) and b.logprobs != a.logprobs
