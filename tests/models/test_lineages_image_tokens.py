"""`image_tokens` of the shipped lineages: counted by each family's own processor, at the true size, on a scene.

The processors have the settings of the models' repositories, which could not be asked when this was written.
"""

import pytest
from miniature_tokenizers import CHATML, tokenizer_with
from transformers import (
    CLIPImageProcessorPil,
    Gemma3ImageProcessorPil,
    Gemma3Processor,
    GotOcr2ImageProcessorPil,
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    InternVLProcessor,
    LlavaNextImageProcessorPil,
    LlavaNextProcessor,
    LlavaOnevisionImageProcessorPil,
    LlavaOnevisionProcessor,
    LlavaProcessor,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessorPil,
    Qwen2VLProcessor,
    Qwen3VLProcessor,
    SiglipImageProcessorPil,
)

from paperlib.models.lineages import shipped
from paperlib.models.processors import WholePrompts, _pictures_only
from paperlib.tasks.scenes import compose

CLIP = {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}}
PATCHES = {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
PINPOINTS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
QWEN = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
QWEN_PIXELS = {"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * 16384}
GEMMA = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
INTERN = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
IDEFICS = ("<fake_token_around_image>", "<global-img>", "<end_of_utterance>", "<image>")


def made(kind, images, *special, named=None, **settings):
    tokenizer = tokenizer_with(*special, template=CHATML.format(image=special[-1]))
    for key, token in (named or {}).items():
        tokenizer._set_model_specific_special_tokens({key: token})
    if "video_processor" in kind.get_attributes():
        return _pictures_only(kind)(images, tokenizer, None, **settings)
    return kind(images, tokenizer, **settings)


def llava(name):
    return made(LlavaProcessor, CLIPImageProcessorPil(**CLIP), "<image>", **PATCHES), "<image>", "<image>"


def llava_next(name):
    images = LlavaNextImageProcessorPil(image_grid_pinpoints=PINPOINTS, **CLIP)
    return made(LlavaNextProcessor, images, "<image>", **PATCHES), "<image>", "<image>"


def onevision(name):
    pinpoints = [[384 * a, 384 * b] for a in range(1, 7) for b in range(1, 7)]
    images = LlavaOnevisionImageProcessorPil(size={"height": 384, "width": 384}, image_grid_pinpoints=pinpoints)
    settings = {"num_image_tokens": 729, "vision_feature_select_strategy": "full"}
    return made(LlavaOnevisionProcessor, images, "<video>", "<image>", **settings), "<image>", "<image>"


def internvl(name):
    images = GotOcr2ImageProcessorPil(size={"height": 448, "width": 448})
    settings = {"image_seq_length": 256, "named": INTERN}
    return made(InternVLProcessor, images, *INTERN.values(), **settings), "<IMG_CONTEXT>", "<IMG_CONTEXT>"


def qwen(name):
    kind = Qwen2VLProcessor if name.startswith("qwen2-") else Qwen2_5_VLProcessor
    images = Qwen2VLImageProcessorPil(size=QWEN_PIXELS)
    if name.startswith("qwen3"):
        pixels = {"shortest_edge": 256**2, "longest_edge": 4096**2}
        kind, images = Qwen3VLProcessor, Qwen2VLImageProcessorPil(size=pixels, patch_size=16)
    return made(kind, images, *QWEN), "".join((QWEN[0], QWEN[2], QWEN[1])), QWEN[2]


def smolvlm(name):
    images = Idefics3ImageProcessorPil(size={"longest_edge": 2048}, max_image_size={"longest_edge": 512})
    return made(Idefics3Processor, images, *IDEFICS, image_seq_len=64), "<image>", "<image>"


def paligemma(name):
    images = SiglipImageProcessorPil(size={"height": 224, "width": 224}, image_seq_length=256)
    return made(WholePrompts, images, "<image>"), "<image>", "<image>"


def gemma(name):
    images = Gemma3ImageProcessorPil(size={"height": 896, "width": 896})
    processor = made(Gemma3Processor, images, *GEMMA.values(), image_seq_length=256, named=GEMMA)
    return processor, "<start_of_image>", "<image_soft_token>"


FAMILIES = {
    "llava-1": llava,
    "llava-next": llava_next,
    "onevision": onevision,
    "internvl": internvl,
    "qwen": qwen,
    "smolvlm": smolvlm,
    "paligemma": paligemma,
    "gemma": gemma,
}
PLANNED = [name for name, lineage in shipped().items() if lineage.plan]


def test_every_lineage_of_the_hub_is_planned():
    assert [name for name, lineage in shipped().items() if not lineage.built] == PLANNED


@pytest.mark.parametrize("name", PLANNED)
def test_a_scene_has_as_many_image_tokens_as_the_lineage_says(name):
    processor, place, token = next(make(name) for start, make in FAMILIES.items() if name.startswith(start))
    picture = compose({"top left": "large red star"}).render()
    inputs = processor(text=[f"{place} What is it?"], images=[[picture]], return_tensors="pt")
    tokens = int((inputs["input_ids"] == processor.tokenizer.convert_tokens_to_ids(token)).sum())
    assert tokens == shipped()[name].plan["image_tokens"]
