"""A model and its processor behind a name. Names that stand for nothing are in test_vlm.py and test_names.py."""

import pytest
import torch
from miniature_hub import REVISION
from small_models import changed, logits, one_sentence, picture, tiny_vlm, weights

from paperlib.models import late_entry as entry
from paperlib.models.input_checks import VLMError
from paperlib.models.loading import load_model
from paperlib.models.vlm import load_vlm


def batch_of(vlm):
    return vlm.batch(["ab<image>what is it?", "<image>who?"], [picture(0), picture(1)])


def test_a_folder_gives_what_was_saved_and_tiny_what_the_seed_says(tmp_path):
    vlm = tiny_vlm(3)
    vlm.model.save_pretrained(tmp_path)
    vlm.processor.save_pretrained(tmp_path)
    model, processor = load_model(str(tmp_path))
    assert all(torch.equal(value, weights(vlm.model)[name]) for name, value in weights(model).items())
    assert processor.tokenizer("a dog").input_ids == vlm.tokenizer("a dog").input_ids
    first, second = (load_model("tiny", seed)[0].lm_head.weight for seed in (1, 2))
    assert torch.equal(first, load_model("tiny", 1)[0].lm_head.weight) and not torch.equal(first, second)


def test_a_whole_model_keeps_its_entry_when_it_is_saved_and_loaded(tmp_path):
    vlm = tiny_vlm()
    plain = logits(vlm.model, batch_of(vlm))
    entry.install(vlm.model, 2, 1.7)
    expected, said = logits(vlm.model, batch_of(vlm)), vlm.answer(picture(0), "Who?", 3)
    vlm.model.save_pretrained(tmp_path)
    vlm.processor.save_pretrained(tmp_path)
    entry.remove(vlm.model)
    assert not hasattr(vlm.model.config, "image_entry")
    again = load_vlm(str(tmp_path), device="cpu")
    assert (entry.entry_of(again.model).block, entry.entry_of(again.model).scale) == (2, 1.7)
    torch.testing.assert_close(logits(again.model, batch_of(again)), expected)
    assert again.answer(picture(0), "Who?", 3) == said
    assert (expected - plain).abs().max() > 1e-3
    entry.remove(again.model)
    again.model.save_pretrained(tmp_path)
    assert entry.entry_of(load_vlm(str(tmp_path), device="cpu").model) is None


def test_a_lineages_tuned_model_by_its_name_or_file(hub, tmp_path):
    place = hub / "models--llava-hf--llava-1.5-7b-hf" / "snapshots" / REVISION
    (tmp_path / "mine.toml").write_text(f"[mine]\ntuned = {{ repo = '{place}' }}\n")
    expected = weights(load_vlm(str(place), "cpu").model)
    for name in ("llava-1.5-7b", "llava-hf/llava-1.5-7b-hf", str(tmp_path / "mine.toml")):
        assert not changed(weights(load_vlm(name, "cpu").model), expected)


@pytest.mark.parametrize("name", ["tiny", "smolvlm-256m"])
def test_precision_and_attention(hub, name):
    vlm = load_vlm(name, "cpu", dtype="bfloat16", attention="eager")
    assert {p.dtype for p in vlm.model.parameters()} == {torch.bfloat16}
    assert vlm.base.get_decoder().config._attn_implementation == "eager"
    usual = load_vlm(name, "cpu")
    assert {p.dtype for p in usual.model.parameters()} == {torch.float32}
    assert usual.base.get_decoder().config._attn_implementation == "sdpa"


def refused(name):
    with pytest.raises(VLMError) as error:
        load_vlm(name, "cpu")
    return one_sentence(error.value)


def test_what_is_no_image_text_model(hub, tmp_path):
    """Each in one sentence: a repository that is not there, a text model, a folder that is none."""
    assert "can't be reached" in refused("qwen2-vl-2b") and "HF_HUB_CACHE" in refused("qwen2-vl-2b")
    assert "No usable model 'lmsys/vicuna-7b-v1.5'" in refused("lmsys/vicuna-7b-v1.5")
    (tmp_path / "config.json").write_text("{}")
    assert "No usable model" in refused(str(tmp_path))
    place = hub / "models--HuggingFaceTB--SmolVLM-256M-Instruct" / "snapshots" / REVISION
    (tmp_path / "mine.toml").write_text(f"[mine]\ntuned = {{ repo = '{place}', folder = 'nothing' }}\n")
    assert "holds no image-text model" in refused(str(tmp_path / "mine.toml"))


def test_a_processor_that_is_missing_is_told_before_anything_runs(hub, tmp_path):
    vlm = tiny_vlm()
    vlm.model.save_pretrained(tmp_path)
    assert "processor" in refused(str(tmp_path))
