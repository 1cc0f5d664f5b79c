"""A model and its processor behind a name. Names that stand for nothing are in test_vlm.py and test_names.py."""

import torch
from small_models import logits, picture, tiny_vlm, weights

from paperlib.models import late_entry as entry
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
