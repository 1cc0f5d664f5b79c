"""Processors without torchvision: each family's, as a repository holds it, and what is told where none is."""

import copy
from importlib.util import find_spec

import pytest
import torch
from family_processors import GEMMA, KINDS, QWEN, write
from miniature_tokenizers import tokenizer_with
from PIL import Image
from small_models import one_sentence, tower_vlm
from transformers import LlamaConfig
from transformers.utils import is_torchvision_available

from paperlib.models import processors
from paperlib.models.input_checks import VLMError
from paperlib.models.processors import load_processor

WITH_VIDEOS = {"llava-onevision", "qwen2-vl", "qwen2.5-vl", "qwen3-vl", "internvl", "smolvlm"}


@pytest.fixture(params=KINDS)
def name(request):
    return request.param


def test_this_machine_has_no_torchvision():
    """Else the tests here would prove nothing of machines without it."""
    assert not is_torchvision_available()


@pytest.mark.parametrize("layout", ["new", "old"])
def test_every_family_shows_a_picture(name, tmp_path, layout):
    if name == "smolvlm" and find_spec("num2words") is None:
        pytest.skip("this class of processor needs num2words; SmolVLM's own repositories name another")
    tokenizer = write(name, tmp_path, layout)
    made = load_processor(str(tmp_path))
    assert "video_processor" not in type(made).get_attributes()
    template = made.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Who?"}]}], add_generation_prompt=True
    )
    assert template.endswith("assistant\n") and "Who?" in template
    inputs = made(text=[template], images=[[Image.new("RGB", (24, 24), "red")]], return_tensors="pt")
    token = {"gemma-3": GEMMA[2], "internvl": "<IMG_CONTEXT>"}.get(name, QWEN[2] if "qwen" in name else "<image>")
    tokens = int((inputs["input_ids"] == tokenizer.convert_tokens_to_ids(token)).sum())
    assert tokens >= 9 and inputs["pixel_values"].abs().sum() > 0
    # What is saved is whole, and opens the same.
    made.save_pretrained(tmp_path / "again")
    KINDS[name][0]().save_pretrained(tmp_path / "again")
    again = load_processor(str(tmp_path / "again"))
    assert type(again).__name__ == type(made).__name__
    same = again(text=[template], images=[[Image.new("RGB", (24, 24), "red")]], return_tensors="pt")
    assert all(torch.equal(inputs[key], same[key]) for key in inputs) and inputs.keys() == same.keys()
    assert copy.deepcopy(made).tokenizer("a").input_ids == tokenizer("a").input_ids


def test_those_with_a_part_for_videos_are_known(name, tmp_path):
    """So that a test fails if transformers gives another family such a part."""
    kind = processors.PROCESSOR_MAPPING[KINDS[name][0]]
    assert ("video_processor" in kind.get_attributes()) == (name in WITH_VIDEOS)


def test_with_torchvision_transformers_own_loader_is_used(tmp_path, monkeypatch):
    write("qwen2.5-vl", tmp_path, "new")
    monkeypatch.setattr(processors, "is_torchvision_available", lambda: True)
    with pytest.raises(VLMError, match="needs a package that is not here") as error:
        load_processor(str(tmp_path), "some/model")  # it insists on the part for videos
    assert "'some/model'" in one_sentence(error.value)


def refused(folder, said):
    with pytest.raises(VLMError, match=said) as error:
        load_processor(str(folder), "some/model")
    assert "'some/model'" in one_sentence(error.value)


def test_a_folder_without_a_processor(tmp_path):
    vlm = tower_vlm()
    vlm.model.save_pretrained(tmp_path)
    refused(tmp_path, "cannot be opened|has no processor")
    vlm.processor.tokenizer.save_pretrained(tmp_path)
    refused(tmp_path, "cannot be opened|has no processor")


@pytest.mark.parametrize("name", ["llava-1.5", "qwen2.5-vl"])
def test_a_damaged_file(name, tmp_path):
    write(name, tmp_path, "new")
    (tmp_path / "preprocessor_config.json").write_text("{")
    refused(tmp_path, "cannot be opened")


def test_a_text_model_has_no_processor(tmp_path):
    LlamaConfig().save_pretrained(tmp_path)
    tokenizer_with(template="").save_pretrained(tmp_path)
    refused(tmp_path, "has no processor")
