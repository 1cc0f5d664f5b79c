"""Every family of the paper-scale models as a tiny random model of its own transformers class, with a batch of its own.

One function builds one family: the configuration that makes it what it is, and inputs such as its processor hands over,
made by hand. Sizes are the same all over: a decoder of four blocks of width 32, a vision encoder of width 16 on patches
of 4 x 4 pixels. Nothing is downloaded, and there is no tokenizer: `VLM.processor` is None.

A batch has three rows, padded on the right, each with one picture and text of its own around it: BEFORE, the picture's
tokens, QUESTIONS, ANSWERS.
"""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import nn
from transformers import (
    CLIPVisionConfig,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    GemmaConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    InternVLConfig,
    InternVLForConditionalGeneration,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    SiglipVisionConfig,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)

from paperlib.models.vlm import VLM, Batch

PAD, BOS, EOS, OPEN, CLOSE, VIDEO, IMAGE = 0, 1, 2, 60, 61, 62, 63  # OPEN and CLOSE stand around a picture's tokens
BEFORE = [[BOS], [BOS, 5], [BOS, 6, 7]]
QUESTIONS = [[10, 11, 12, 13], [14, 15, 16, 17, 18, 19, 20], [21, 22]]
ANSWERS = [[30], [31, 32], [33]]

LAYERS, WIDTH, PATCH = 4, 32, 4
TEXT = {
    "vocab_size": 64,
    "hidden_size": WIDTH,
    "intermediate_size": 64,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": PAD,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
}
MROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}  # of head_dim / 2 = 4 frequencies
VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "patch_size": PATCH,
}


# ---------------------------------------------------------------- shared


def build(model_class: type[PreTrainedModel], config: PreTrainedConfig) -> VLM:
    """A model in evaluation mode with random weights, always the same, that make inputs move the logits clearly.

    Matrices keep the size of what they act on. Vectors (biases, norms) move a little off their 0 or 1, so that leaving
    one out shows. Some projections start at zero in transformers; here none does.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = model_class(config)
        for weight in model.parameters():
            noise = torch.randn(weight.shape)
            weight.copy_(noise / weight[0].numel() ** 0.5 if weight.ndim > 1 else weight + noise / 10)
    return VLM(config.model_type, model.eval(), processor=None)


def pixels(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def batch_of(pictures: list[list[int]], image_first: bool = False, **inputs: torch.Tensor) -> Batch:
    """The tokens that stand for each row's picture, in their text, and the family's other inputs."""
    fronts = [p + b if image_first else b + p for b, p in zip(BEFORE, pictures)]
    rows = [torch.tensor(f + q + a) for f, q, a in zip(fronts, QUESTIONS, ANSWERS)]
    ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
    batch = Batch(input_ids=ids, attention_mask=(ids != PAD).long(), **inputs)
    batch.answer_lengths = [len(answer) for answer in ANSWERS]
    return batch


def framed(*counts: int) -> list[list[int]]:
    """For each row, so many image tokens between OPEN and CLOSE."""
    return [[OPEN] + [IMAGE] * n + [CLOSE] for n in counts]


def pixel_rows(batch: Batch) -> list[slice]:
    """Where each row's picture lies along the first axis of pixel_values."""
    if "image_grid_thw" not in batch:
        return [slice(i, i + 1) for i in range(len(batch["input_ids"]))]
    ends = batch["image_grid_thw"].prod(-1).cumsum(0).tolist()  # Qwen: the patches of all pictures in one list
    return [slice(start, end) for start, end in zip([0] + ends, ends)]


def row(batch: Batch, i: int) -> Batch:
    """Row i alone, without its padding."""
    length = int(batch["attention_mask"][i].sum())
    alone = Batch({key: value[i : i + 1] for key, value in batch.items()})
    alone["pixel_values"] = batch["pixel_values"][pixel_rows(batch)[i]]
    for key in {"input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids"} & batch.keys():
        alone[key] = alone[key][:, :length]
    alone.answer_lengths = [batch.answer_lengths[i]]
    return alone


def other_picture(batch: Batch, *rows: int) -> Batch:
    """The same batch with the pictures of these rows (all, if none is named) turned to their negatives."""
    values = batch["pixel_values"].clone()
    for i in rows or range(len(batch["input_ids"])):
        values[pixel_rows(batch)[i]] *= -1
    other = Batch(batch | {"pixel_values": values})
    other.answer_lengths = batch.answer_lengths
    return other


# ---------------------------------------------------------------- one vision encoder, one square picture: CLIP, SigLIP


def llava_15():
    """The penultimate layer of CLIP without its class token: 3 x 3 patches, 9 tokens."""
    config = LlavaConfig(
        text_config=LlamaConfig(**TEXT),
        vision_config=CLIPVisionConfig(image_size=12, **VISION),
        image_token_index=IMAGE,
        image_seq_length=9,
    )
    return build(LlavaForConditionalGeneration, config), batch_of([[IMAGE] * 9] * 3, pixel_values=pixels(3, 3, 12, 12))


def internvl():
    """6 x 6 patches without the class token; 2 x 2 of them make one of 9 tokens."""
    vision = dict(image_size=[24, 24], **VISION | {"patch_size": [PATCH, PATCH]})
    config = InternVLConfig(
        text_config=Qwen2Config(**TEXT),
        vision_config=vision,
        image_token_id=IMAGE,
        image_seq_length=9,
        downsample_ratio=0.5,
        tie_word_embeddings=False,
    )
    return build(InternVLForConditionalGeneration, config), batch_of(framed(9, 9, 9), pixel_values=pixels(3, 3, 24, 24))


def paligemma():
    """3 x 3 patches. The picture comes first, and all but the answer is a prefix that attends in both directions."""
    vision = SiglipVisionConfig(image_size=12, vision_use_head=False, **VISION)
    config = PaliGemmaConfig(
        text_config=GemmaConfig(head_dim=8, **TEXT),
        vision_config=vision,
        image_token_index=IMAGE,
        projection_dim=WIDTH,
        hidden_size=WIDTH,
    )
    batch = batch_of([[IMAGE] * 9] * 3, image_first=True, pixel_values=pixels(3, 3, 12, 12))
    batch["token_type_ids"] = torch.zeros_like(batch["input_ids"])  # 0 in the prefix and in padding, 1 in the answer
    for types, end, n in zip(batch["token_type_ids"], batch["attention_mask"].sum(1), batch.answer_lengths):
        types[end - n : end] = 1
    return build(PaliGemmaForConditionalGeneration, config), batch


def gemma_3():
    """6 x 6 patches pooled to 9 tokens, which see each other in both directions. Every other block sees the last 6
    tokens only, less than a picture."""
    text = Gemma3TextConfig(
        head_dim=8,
        query_pre_attn_scalar=8,
        sliding_window=6,
        layer_types=["sliding_attention", "full_attention"] * (LAYERS // 2),
        **TEXT,
    )
    config = Gemma3Config(
        text_config=text,
        image_token_index=IMAGE,
        boi_token_index=OPEN,
        eoi_token_index=CLOSE,
        vision_config=SiglipVisionConfig(image_size=24, vision_use_head=False, **VISION),
        mm_tokens_per_image=9,
    )
    batch = batch_of(framed(9, 9, 9), pixel_values=pixels(3, 3, 24, 24))
    batch["token_type_ids"] = (batch["input_ids"] == IMAGE).long()
    return build(Gemma3ForConditionalGeneration, config), batch


# ---------------------------------------------------------------- a picture as several crops

# The whole picture (3 x 3 patches), then two crops of it laid side by side or one above the other, without the borders
# that padding to the crops' 2 : 1 added; an `image_newline` ends each line of patches. All of them are image tokens.
ANYRES = {"image_token_index": IMAGE, "image_grid_pinpoints": [[12, 24], [24, 12]]}
ANYRES_SIZES = [[12, 24], [24, 12], [12, 16]]  # height and width in pixels; the last loses a column left and right
ANYRES_TOKENS = [[IMAGE] * (9 + lines * (columns + 1)) for lines, columns in ((3, 6), (6, 3), (3, 4))]


def anyres_batch() -> Batch:
    return batch_of(ANYRES_TOKENS, pixel_values=pixels(3, 3, 3, 12, 12), image_sizes=torch.tensor(ANYRES_SIZES))


def llava_next():
    config = LlavaNextConfig(
        text_config=LlamaConfig(**TEXT), vision_config=CLIPVisionConfig(image_size=12, **VISION), **ANYRES
    )
    return build(LlavaNextForConditionalGeneration, config), anyres_batch()


def llava_onevision():
    vision = SiglipVisionConfig(image_size=12, vision_use_head=False, **VISION)
    config = LlavaOnevisionConfig(
        text_config=Qwen2Config(**TEXT), vision_config=vision, video_token_index=VIDEO, **ANYRES
    )
    return build(LlavaOnevisionForConditionalGeneration, config), anyres_batch()


IDEFICS3 = {"vision_config": dict(image_size=24, **VISION), "image_token_id": IMAGE, "scale_factor": 2}


def smolvlm():
    """6 x 6 patches of one crop; 2 x 2 of them make one of 9 tokens."""
    config = SmolVLMConfig(text_config=LlamaConfig(**TEXT), **IDEFICS3)
    batch = batch_of(
        framed(9, 9, 9),
        pixel_values=pixels(3, 1, 3, 24, 24),
        pixel_attention_mask=torch.ones(3, 1, 24, 24, dtype=torch.long),
    )
    return build(SmolVLMForConditionalGeneration, config), batch


def idefics3():
    """As SmolVLM, but with text between the crops, so that image tokens aren't in one piece. The middle row has one
    crop, and a black one for padding; the last row's second crop is padded at its right."""
    config = Idefics3Config(text_config=LlamaConfig(**TEXT), **IDEFICS3)
    (crop,) = framed(9)
    values, mask = pixels(3, 2, 3, 24, 24), torch.ones(3, 2, 24, 24, dtype=torch.long)
    values[1, 1], mask[1, 1] = 0, 0
    values[2, 1, ..., 16:], mask[2, 1, ..., 16:] = 0, 0
    batch = batch_of([crop + crop, crop, crop + crop], pixel_values=values, pixel_attention_mask=mask)
    return build(Idefics3ForConditionalGeneration, config), batch


# ---------------------------------------------------------------- Qwen: pictures of any shape, patches in one list

QWEN = {"image_token_id": IMAGE, "video_token_id": VIDEO, "vision_start_token_id": OPEN, "vision_end_token_id": CLOSE}
QWEN_VISION = {"num_heads": 2, "patch_size": PATCH, "temporal_patch_size": 2, "spatial_merge_size": 2}


def qwen_batch() -> Batch:
    """Pictures of 4 x 6, 6 x 4 and 4 x 4 patches; 2 x 2 of them make one token."""
    grid = torch.tensor([[1, 4, 6], [1, 6, 4], [1, 4, 4]])
    batch = batch_of(
        framed(6, 6, 4), image_grid_thw=grid, pixel_values=pixels(int(grid.prod(-1).sum()), 3 * 2 * PATCH * PATCH)
    )
    batch["mm_token_type_ids"] = (batch["input_ids"] == IMAGE).int()
    return batch


def qwen2_vl():
    config = Qwen2VLConfig(
        text_config=TEXT | {"rope_parameters": dict(MROPE)},
        **QWEN,
        vision_config=dict(embed_dim=16, hidden_size=WIDTH, depth=2, mlp_ratio=2, **QWEN_VISION),
    )
    return build(Qwen2VLForConditionalGeneration, config), qwen_batch()


def qwen2_5_vl():
    """Its vision encoder attends within windows of 2 x 2 tokens, but for the last block."""
    vision = dict(
        hidden_size=16,
        out_hidden_size=WIDTH,
        intermediate_size=32,
        depth=2,
        window_size=4 * PATCH,
        fullatt_block_indexes=[1],
        **QWEN_VISION,
    )
    config = Qwen2_5_VLConfig(text_config=TEXT | {"rope_parameters": dict(MROPE)}, vision_config=vision, **QWEN)
    return build(Qwen2_5_VLForConditionalGeneration, config), qwen_batch()


def qwen3_vl():
    """DeepStack: states of the vision encoder's first two blocks are added to the image tokens after decoder blocks
    0 and 1."""
    vision = dict(
        hidden_size=16,
        out_hidden_size=WIDTH,
        intermediate_size=32,
        depth=3,
        num_position_embeddings=16,
        deepstack_visual_indexes=[0, 1],
        **QWEN_VISION,
    )
    config = Qwen3VLConfig(
        text_config=TEXT | {"head_dim": 8, "rope_parameters": dict(MROPE)}, vision_config=vision, **QWEN
    )
    return build(Qwen3VLForConditionalGeneration, config), qwen_batch()


# ---------------------------------------------------------------- the table

FAMILIES: dict[str, Callable[[], tuple[VLM, Batch]]] = {
    "llava-1.5": llava_15,
    "llava-next": llava_next,
    "llava-onevision": llava_onevision,
    "qwen2-vl": qwen2_vl,
    "qwen2.5-vl": qwen2_5_vl,
    "qwen3-vl": qwen3_vl,
    "internvl": internvl,
    "smolvlm": smolvlm,
    "idefics3": idefics3,
    "paligemma": paligemma,
    "gemma-3": gemma_3,
}


def family(name: str, attention: str = "sdpa") -> tuple[VLM, Batch]:
    """A family's model and batch, with the same weights for each attention. They are shared: look, don't change."""
    return _family(name, attention)  # the cache tells a default from the same argument given


@lru_cache
def _family(name: str, attention: str) -> tuple[VLM, Batch]:
    vlm, batch = FAMILIES[name]()
    vlm.name = name
    vlm.model.set_attn_implementation(attention)
    return vlm, batch
