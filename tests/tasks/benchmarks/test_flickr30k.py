"""Flickr30K: captions of rows, and CIDEr among the pictures that were loaded together."""

import pytest
from public_rows import FIXTURES, rows_of, written
from small_models import one_sentence

from paperlib.tasks.benchmarks import SourceError, flickr30k
from paperlib.tasks.benchmarks.hub_rows import HUB_ID

FOLDER = FIXTURES / "json" / "flickr30k"
SAID = ["A red square on white.", "a green square at the left", "a cat"]


def test_examples_are_the_rows():
    examples = flickr30k.load(FOLDER)
    assert [ex.id for ex in examples] == [f"Flickr30K/test/{i}" for i in range(3)]
    assert examples[0].choices == () and len(examples[0].info["captions"]) == 5
    assert examples[0].question == "Provide a one-sentence caption for the provided image."
    assert flickr30k.prompt(examples[0], "qwen-vl") == "Describe the image in English:"
    assert set(examples[0].info["all_captions"]) == {ex.id for ex in examples}
    assert HUB_ID.fullmatch(flickr30k.KARPATHY)


def test_one_caption_scores_as_among_all():
    pytest.importorskip("pycocoevalcap", reason="CIDEr is computed by pycocoevalcap, of the extra benchmarks")
    examples = flickr30k.load(FOLDER)
    found = flickr30k.report(SAID, examples, "simple")
    single = [flickr30k.score(said, ex, "simple") for said, ex in zip(SAID, examples, strict=True)]
    assert [s["correct"] for s in single] == pytest.approx(found["scores"]) and single[0]["tokenizer"] == "simple"
    assert found["scores"][0] > found["scores"][1] > found["scores"][2] == 0 and found["scores"][0] > 1


def test_a_report_needs_all_that_were_loaded_together():
    examples = flickr30k.load(FOLDER)
    for some in ([], examples[:2], examples[::-1]):
        with pytest.raises(ValueError, match="give all examples that were loaded together") as error:
            flickr30k.report(SAID[: len(some)], some)
        one_sentence(error.value)


def test_captions_must_be_a_list(tmp_path):
    row = rows_of("flickr30k")[0] | {"caption": "one"}
    with pytest.raises(
        SourceError, match="'caption' of row Flickr30K/test/0 must hold a list of at least 1 texts"
    ) as error:
        flickr30k.load(written(tmp_path, [row]))
    one_sentence(error.value)
