"""SugarCrepe: by likelihood, by letter in both orders, by length; seven sets."""

import pytest
from public_rows import FIXTURES, rows_of, written
from small_models import one_sentence

from paperlib.tasks.benchmarks import SourceError, sugarcrepe
from paperlib.tasks.benchmarks.sugarcrepe import by_length, by_letters, by_likelihood

FOLDER = FIXTURES / "json" / "sugarcrepe"


@pytest.mark.parametrize(
    "logprobs, tokens, found",
    [
        ((-5.0, -6.0), (5, 5), {"sum": 1.0, "mean": 1.0}),
        ((-5.0, -6.0), (5, 10), {"sum": 1.0, "mean": 0.0}),  # words added are unlikely by the sum alone
        ((-5.0, -5.0), (5, 5), {"sum": 0.0, "mean": 0.0}),  # a tie counts against the model
        ((-7.0, -6.0), (10, 5), {"sum": 0.0, "mean": 1.0}),
    ],
)
def test_by_likelihood(logprobs, tokens, found):
    assert by_likelihood(logprobs, tokens) == found


@pytest.mark.parametrize("logprobs, tokens", [((-1.0,), (1, 1)), ((-1.0, -2.0), (0, 1)), ((-1.0, -2.0), (1,))])
def test_two_captions_need_two_numbers(logprobs, tokens):
    with pytest.raises(ValueError, match="Two captions need two sums") as error:
        by_likelihood(logprobs, tokens)
    one_sentence(error.value)


@pytest.mark.parametrize(
    "said, correct, both, a, unreadable",
    [
        (("A", "B"), 1.0, 1.0, 0.5, 0.0),
        (("A", "A"), 0.5, 0.0, 1.0, 0.0),  # A whatever is there
        (("B", "A"), 0.0, 0.0, 0.5, 0.0),
        ((None, "B"), 0.5, 0.0, 0.0, 0.5),
    ],
)
def test_by_letters(said, correct, both, a, unreadable):
    assert by_letters(*said) == {"correct": correct, "both": both, "said_a": a, "unreadable": unreadable}


def test_by_length():
    assert [by_length("ab", "abc"), by_length("abc", "ab"), by_length("ab", "cd")] == [1.0, 0.0, 0.5]


def test_examples_are_the_rows_whatever_the_order_of_the_labels():
    first, second, swapped = sugarcrepe.load(FOLDER)
    assert [ex.kind for ex in (first, second, swapped)] == ["add_obj", "add_obj", "swap_att"]
    assert rows_of("sugarcrepe/add_obj")[1]["tested_labels"][0] != second.answer  # the wrong one stands first there
    assert second.choices == ("A green square at the right.", "A green square and a cat at the right.")
    assert sugarcrepe.score(second.answer, second) == {"correct": 1.0, "letter": None, "by_length": 1.0}
    assert sugarcrepe.score(second.choices[1], second)["correct"] == 0.0
    assert sugarcrepe.score(swapped.answer, swapped)["by_length"] == 0.5


@pytest.mark.parametrize("variant, right", [("letters", "A"), ("letters swapped", "B")])
def test_letters_in_both_orders(variant, right):
    first, *_ = sugarcrepe.load(FOLDER, variant=variant)
    assert (first.answer, first.choices) == (right, ("A", "B"))
    assert f"({right}) A red square on white.\n" in first.question
    for reply, letter in [
        ("A", "A"),
        ("(B)", "B"),
        ("B.", "B"),
        ("(A) A red square on white.", "A"),
        ("neither", None),
    ]:
        scored = sugarcrepe.score(reply, first)
        assert scored["letter"] == letter and scored["correct"] == float(letter == right)


def test_one_set_may_be_read():
    assert [ex.id for ex in sugarcrepe.load(FOLDER / "add_obj")] == [
        "SugarCrepe/test/add_obj/0",
        "SugarCrepe/test/add_obj/1",
    ]
    assert len(sugarcrepe.load(FOLDER, n=1)) == 2  # of each set


def test_sets_of_the_hub_and_their_revision():
    sets = sugarcrepe._sets(None)
    assert len(sets) == 7 and ("swap_obj", "HuggingFaceM4/SugarCrepe_swap_obj") in sets
    assert sugarcrepe._sets("me/SugarCrepe_add_att@abc") == [("add_att", "me/SugarCrepe_add_att@abc")]
    assert sugarcrepe._sets("me/set-{kind}@abc")[0] == ("add_att", "me/set-add_att@abc")


def test_the_cards_own_revision_is_read(monkeypatch):
    asked = []
    monkeypatch.setattr(sugarcrepe, "draw", lambda card, source, *rest: asked.append(source) or [])
    sugarcrepe.load()
    assert asked[0] == "HuggingFaceM4/SugarCrepe_add_att@refs/convert/parquet" and len(asked) == 7


def test_a_source_without_a_kind_is_refused(tmp_path):
    for source in ("me/captions", tmp_path):
        with pytest.raises(
            SourceError, match="names no set of SugarCrepe: give one whose name ends with one of add_att"
        ) as e:
            sugarcrepe.load(source)
        one_sentence(e.value)


@pytest.mark.parametrize(
    "labels", [["A red square on white."] * 2, ["one", "two"], ["A red square on white.", "b", "c"]]
)
def test_labels_that_cannot_be_used(tmp_path, labels):
    row = rows_of("sugarcrepe/add_obj")[0] | {"tested_labels": labels}
    with pytest.raises(SourceError, match="must hold two captions, with the true label among them") as error:
        sugarcrepe.load(written(tmp_path / "add_obj", [row]))
    one_sentence(error.value)
