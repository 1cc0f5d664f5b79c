"""The models of a lineage in miniature: each stage is made of the parts that it says."""

import pytest
import torch

from paperlib.models.before_after import weight_changes
from paperlib.models.fetching import open_llm, open_tensors
from paperlib.models.grafting import LLAVA_KEYS
from paperlib.models.input_checks import VLMError
from paperlib.models.lineage_models import band_model, model_before, tuned_model, untrained_model, weights_dtype
from paperlib.models.lineages import Lineage, Source, shipped
from paperlib.models.parts import connector, vision_parameters
from paperlib.study.study import CODE_ROOT

ROWS, HEAD = "rows of the vocabulary", "tuning gave the head weights of its own"
# What is said of each pair in miniature, which has the true one's differences.
SAID = {
    "llava-1.5-7b": [ROWS],
    "onevision-0.5b": [ROWS, "tuning changed the word embeddings and the final norm"],
    "internvl3-1b": [ROWS, HEAD],
    "qwen2.5-vl-3b": [],
    "smolvlm-256m": [ROWS, HEAD],
    "paligemma-3b": [ROWS],
}


@pytest.mark.parametrize("name", SAID)
def test_before_tuning_is_the_llm_as_it_was_in_the_tuned_models_body(hub, name):
    lineage = shipped()[name]
    tuned = tuned_model(lineage, torch.float32)
    before, said = model_before(lineage, tuned, "before")
    llm = dict(open_llm(lineage.llm, torch.float32).get_decoder().named_parameters())
    for key, parameter in before.model.get_decoder().named_parameters():
        rows = min(len(parameter), len(llm[key]))
        assert torch.equal(parameter[:rows], llm[key][:rows])
    same = [
        a.data_ptr() == b.data_ptr() for (_, a), (_, b) in zip(*map(vision_parameters, (tuned.model, before.model)))
    ]
    assert same and all(same)
    own, theirs = connector(before.model).state_dict(), connector(tuned.model).state_dict()
    if lineage.connector is None:
        assert all(torch.equal(own[key], theirs[key]) for key in own)
    else:
        file = open_tensors(lineage.connector)
        for key, tensor in file.items():
            beginning = next(b for b in LLAVA_KEYS if key.startswith(b))
            assert torch.equal(own[LLAVA_KEYS[beginning] + key[len(beginning) :]], tensor)
    assert all(change > 0.1 for change in weight_changes(before, tuned))
    assert len(said) == len(SAID[name]) and all(part in sentence for part, sentence in zip(SAID[name], said))
    # What tuning left as it was lies in memory once.
    mine, theirs = dict(before.model.named_parameters()), dict(tuned.model.named_parameters())
    for key, parameter in mine.items():
        assert (parameter is theirs[key]) == torch.equal(parameter, theirs[key])


def test_an_untrained_model_and_a_band(hub):
    lineage = shipped()["llava-1.5-7b"]
    tuned = tuned_model(lineage, torch.float32, "eager")
    assert tuned.model.config._attn_implementation == "eager"
    assert untrained_model(lineage, tuned).model.get_decoder() is not tuned.model.get_decoder()
    before, _ = model_before(lineage, tuned, "before")
    moved = weight_changes(before, band_model(lineage, "26:32", tuned))
    assert [change > 0 for change in moved] == [False, False, False, True]
    alike = band_model(lineage, "26:32", tuned, (before,))
    assert all((a is b) == (i != 3) for i, (one, other) in enumerate(zip(alike.layers, before.layers))
               for a, b in zip(one.parameters(), other.parameters()) if a.ndim > 1)  # fmt: skip
    with pytest.raises(VLMError, match="has no band '1:2': those that are published: '0:2'"):
        band_model(lineage, "1:2", tuned)


def test_precision():
    assert weights_dtype(Lineage("x", Source("a/b")), "auto", "cuda:0") == torch.bfloat16
    assert weights_dtype(Lineage("mini", built="mini"), "auto", "cuda:0") == torch.float32


def test_a_folder_of_adapters_is_a_tuned_model(monkeypatch):
    """As any name that load_vlm takes; the mini model stands for its parts here."""
    monkeypatch.setattr("paperlib.models.loading.build_mini", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # it is assembled, and no hub is asked
        tuned_model(Lineage("x", Source(str(CODE_ROOT / "data" / "adapters" / "bands" / "mid"))), torch.float32)


def test_lineages_that_lack_a_part(hub):
    with pytest.raises(VLMError, match="names no tuned model"):
        tuned_model(Lineage("x"), torch.float32)
    tuned = tuned_model(shipped()["gemma-3-4b"], torch.float32)
    with pytest.raises(VLMError, match="names no LLM before tuning"):
        model_before(shipped()["gemma-3-4b"], tuned, "before")
