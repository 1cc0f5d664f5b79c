"""Processors of every family in `families`, as a repository holds them, with a tokenizer of bytes."""

import json

from miniature_tokenizers import CHATML, tokenizer_with
from transformers import (
    CLIPImageProcessorPil,
    Gemma3Config,
    GotOcr2ImageProcessorPil,
    Idefics3Config,
    Idefics3ImageProcessorPil,
    InternVLConfig,
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
