"""CIDEr: the numbers of pycocoevalcap, by either tokenizer, which the result names."""

import shutil
import sys

import numpy as np
import pytest
from public_rows import replies
from small_models import one_sentence

from paperlib.tasks.benchmarks import SourceError
from paperlib.tasks.benchmarks import cider as module
from paperlib.tasks.benchmarks.cider import cider, simple_words

CASES = replies("cider")
SAID, THERE = [case["reply"] for case in CASES], [case["references"] for case in CASES]


def needs_package():
    pytest.importorskip("pycocoevalcap", reason="CIDEr is computed by pycocoevalcap, of the extra benchmarks")


def needs_java():
    if not shutil.which("java"):
        pytest.skip("the tokenizer ptb needs Java")


def test_scores_are_those_of_the_package_with_its_tokenizer():
    needs_package()
    needs_java()
    found = cider(SAID, THERE, "ptb")
    np.testing.assert_allclose(found["scores"], [case["ptb"] for case in CASES], rtol=1e-9)
    assert found["tokenizer"] == "ptb" and found["n"] == 4 and found["cider"] == pytest.approx(np.mean(found["scores"]))
    assert cider(SAID, THERE) == found  # with Java there, it is the default


def test_the_simple_tokenizer_gives_the_same_on_plain_sentences(monkeypatch):
    needs_package()
    monkeypatch.setattr(module.shutil, "which", lambda program: None)
    found = cider(SAID[:1] + SAID[2:3], THERE[:1] + THERE[2:3])
    assert found["tokenizer"] == "simple" and found["scores"][0] > 1 and found["scores"][1] == 0
    assert cider(["a b c d e", "x"], [["a b c d e"], ["y z"]])["scores"][0] == pytest.approx(10)


@pytest.mark.parametrize(
    "text, words",
    [
        ("The dog's red T-shirt, isn't it?", "the dog 's red t-shirt is n't it"),
        ("A woman can’t see 1,200 people...", "a woman ca n't see 1,200 people"),
        ("3.5 apples & a black-and-white photo", "3.5 apples a black-and-white photo"),
        ("“Two” men\nplay; they're in\ta hat!", "two men play they 're in a hat"),
        ("", ""),
        (" ... ", ""),
    ],
)
def test_simple_words(text, words):
    assert simple_words(text) == words


def test_simple_words_are_those_of_the_treebank_on_plain_sentences():
    needs_package()
    needs_java()
    texts = [
        "The dog's red T-shirt, isn't it?",
        "Two men play chess; it's late!",
        "A black-and-white photo.",
        "She can't see 1,200 people",
    ]
    assert module._ptb([[text] for text in texts]) == module._simple([[text] for text in texts])


@pytest.mark.parametrize(
    "said, there, tokenizer, says",
    [
        ([], [], None, "as many captions as references, got 0 and 0"),
        (["a"], [["a"], ["b"]], None, "as many captions as references, got 1 and 2"),
        (["a"], [[]], None, "Every picture needs a list"),
        (["a"], ["a"], None, "Every picture needs a list"),
        (["a"], [["a"]], "spacy", "Unknown tokenizer 'spacy': use ptb or simple"),
    ],
)
def test_what_cannot_be_scored(said, there, tokenizer, says):
    with pytest.raises(ValueError, match=says) as error:
        cider(said, there, tokenizer)
    one_sentence(error.value)


def test_what_is_missing_is_told(monkeypatch):
    monkeypatch.setattr(module.shutil, "which", lambda program: None)
    with pytest.raises(SourceError, match="'ptb' needs Java") as error:
        cider(["a"], [["a"]], "ptb")
    one_sentence(error.value)
    monkeypatch.setitem(sys.modules, "pycocoevalcap.cider.cider", None)
    with pytest.raises(SourceError, match="CIDEr needs a package: pip install") as error:
        cider(["a"], [["a"]])
    one_sentence(error.value)
