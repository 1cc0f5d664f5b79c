"""Processors without torchvision: each family's, as a repository holds it, and what is told where none is."""

import copy
import json
from importlib.util import find_spec

import pytest
import torch
from miniature_tokenizers import CHATML, tokenizer_with
from PIL import Image
from small_models import one_sentence, tower_vlm
from transformers import (
    CLIPImageProcessorPil,
    Gemma3Config,
    GotOcr2ImageProcessorPil,
    Idefics3Config,
    Idefics3ImageProcessorPil,
    InternVLConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaNextConfig,
    LlavaNextImageProcessorPil,
    LlavaOnevisionConfig,
    LlavaOnevisionImageProcessorPil,
    PaliGemmaConfig,
    Qwen2_5_VLConfig,
    Qwen2VLConfig,
    Qwen2VLImageProcessorPil,
    Qwen3VLConfig,
    SiglipImageProcessorPil,
    SmolVLMConfig,
    SmolVLMImageProcessorPil,
)
from transformers import Gemma3ImageProcessorPil as Gemma3Images
from transformers.utils import is_torchvision_available

from paperlib.models import processors
from paperlib.models.input_checks import VLMError
from paperlib.models.processors import load_processor

SQUARE = {"height": 24, "width": 24}
ANYRES = {"size": {"shortest_edge": 24}, "image_grid_pinpoints": [[24, 24], [24, 48]]}
QWEN = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
GEMMA = ("<start_of_image>", "<end_of_image>", "<image_soft_token>")
IDEFICS = ("<fake_token_around_image>", "<global-img>", "<end_of_utterance>", "<image>")
PATCHES = {"patch_size": 4, "vision_feature_select_strategy": "default"}
EDGE = {"longest_edge": 24}


def qwen_images():
    return Qwen2VLImageProcessorPil(size={"shortest_edge": 256, "longest_edge": 576}, patch_size=4, merge_size=2)


# family: configuration, special tokens, the place of a picture in the template, image processor, settings
KINDS = {
    "llava-1.5": (LlavaConfig, ("<image>",), "<image>", CLIPImageProcessorPil(size=SQUARE, crop_size=SQUARE), PATCHES),
    "llava-next": (LlavaNextConfig, ("<image>",), "<image>",
                   LlavaNextImageProcessorPil(crop_size=SQUARE, **ANYRES), PATCHES),
    "llava-onevision": (LlavaOnevisionConfig, ("<image>", "<video>"), "<image>",
                        LlavaOnevisionImageProcessorPil(size=SQUARE, image_grid_pinpoints=[[24, 24], [24, 48]]),
                        {"num_image_tokens": 36, "vision_feature_select_strategy": "full"}),
    "qwen2-vl": (Qwen2VLConfig, QWEN, "".join((QWEN[0], QWEN[2], QWEN[1])), qwen_images(), {}),
    "qwen2.5-vl": (Qwen2_5_VLConfig, QWEN, "".join((QWEN[0], QWEN[2], QWEN[1])), qwen_images(), {}),
    "qwen3-vl": (Qwen3VLConfig, QWEN, "".join((QWEN[0], QWEN[2], QWEN[1])), qwen_images(), {}),
    "internvl": (InternVLConfig, ("<img>", "</img>", "<IMG_CONTEXT>", "<video>"), "<IMG_CONTEXT>\n",
                 GotOcr2ImageProcessorPil(size=SQUARE, crop_to_patches=False), {"image_seq_length": 9}),
    "smolvlm": (SmolVLMConfig, IDEFICS, "<image>",
                SmolVLMImageProcessorPil(size=EDGE, max_image_size=EDGE, do_image_splitting=False),
                {"image_seq_len": 9}),
    "idefics3": (Idefics3Config, IDEFICS, "<image>",
                 Idefics3ImageProcessorPil(size=EDGE, max_image_size=EDGE, do_image_splitting=False),
                 {"image_seq_len": 9}),
    "paligemma": (PaliGemmaConfig, ("<image>",), "<image>",
                  SiglipImageProcessorPil(size=SQUARE, image_seq_length=9), {}),
    "gemma-3": (Gemma3Config, GEMMA, GEMMA[0], Gemma3Images(size=SQUARE), {"image_seq_length": 9}),
}  # fmt: skip
NAMED = {
    "internvl": {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
                 "video_token": "<video>"},
    "gemma-3": {"boi_token": GEMMA[0], "eoi_token": GEMMA[1], "image_token": GEMMA[2]},
}  # fmt: skip
WITH_VIDEOS = {"llava-onevision", "qwen2-vl", "qwen2.5-vl", "qwen3-vl", "internvl", "smolvlm"}


def write(name, folder, layout):
    """A repository's files but for the weights. layout: "old" has the template and the parts in files of their own."""
    config, special, place, images, settings = KINDS[name]
    tokenizer = tokenizer_with(*special, template=CHATML.format(image=place))
    for key, token in NAMED.get(name, {}).items():
        tokenizer._set_model_specific_special_tokens({key: token})
    if layout == "old":
        template, tokenizer.chat_template = tokenizer.chat_template, None
        (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
        video = {"video_processor_type": "Qwen2VLVideoProcessor"}
        (folder / "video_preprocessor_config.json").write_text(json.dumps(video))
    config().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    images.save_pretrained(folder)
    if settings:
        (folder / "processor_config.json").write_text(json.dumps(settings))
    return tokenizer


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
