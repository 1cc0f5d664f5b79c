"""The hub in miniature: for each lineage, the repositories that it names, as a cache of the hub keeps them.

    python tests/miniature_hub.py FOLDER      # writes it, and prints how to use it

Weights are random and small, and files lie where the true ones do: configuration, safetensors (one model in several
files), tokenizer, processor, the LLM before tuning, a connector file. With ``HF_HUB_CACHE`` at the folder and
``HF_HUB_OFFLINE=1``, ``model="llava-1.5-7b"`` is loaded from here as it would be from the hub. The tuned LLM is the one
before with a change planted in every block.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessorPil,
    Gemma3TextConfig,
    GotOcr2ImageProcessorPil,
    InternVLConfig,
    InternVLForConditionalGeneration,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessorPil,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    Qwen2VLImageProcessorPil,
    SiglipVisionConfig,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    SmolVLMImageProcessorPil,
)

REVISION = "0123456789abcdef0123456789abcdef01234567"
LAYERS, WIDTH = 4, 32
COMMON = ["<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
VISION = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
PER_PATCH = 4
CHATML = (
    "{{% for m in messages %}}{{{{ '<|im_start|>' + m['role'] + '\n' }}}}{{% if m['content'] is string %}}"
    "{{{{ m['content'] }}}}{{% else %}}{{% for part in m['content'] %}}"
    "{{% if part['type'] == 'image' %}}{{{{ '{image}' }}}}"
    "{{% else %}}{{{{ part['text'] }}}}{{% endif %}}{{% endfor %}}{{% endif %}}{{{{ '<|im_end|>\n' }}}}{{% endfor %}}"
    "{{% if add_generation_prompt %}}{{{{ '<|im_start|>assistant\n' }}}}{{% endif %}}"
)
VICUNA = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ 'USER: ' }}{% else %}{{ 'ASSISTANT: ' }}{% endif %}"
    "{% if m['content'] is string %}{{ m['content'] + ' ' }}{% else %}{% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>\n' }}{% else %}{{ part['text'] + ' ' }}{% endif %}{% endfor %}"
    "{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def tokenizer_with(*special: str, template: str) -> Any:
    """A tokenizer of bytes with a family's special tokens behind those that all have."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*COMMON, *alphabet, *special]
    backend = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=[*COMMON[3:], *special],
    )
    made.chat_template = template
    return made


def text_config(vocabulary: int) -> dict:
    return {
        "vocab_size": vocabulary,
        "hidden_size": WIDTH,
        "intermediate_size": 64,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
    }


def randomized(model: Any, seed: int) -> Any:
    """Random weights that make inputs move the logits: matrices of the size of what they act on."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            scale = weight[0].numel() ** -0.5 if weight.ndim > 1 else 0.02
            weight.copy_(noise * (0.1 if "embed_tokens" in name else scale) + (weight if weight.ndim == 1 else 0))
    return model.eval()


class Hub:
    """A cache of the hub in a folder, filled repository by repository."""

    def __init__(self, folder: Path):
        self.folder = folder

    def snapshot(self, repo: str) -> Path:
        root = self.folder / f"models--{repo.replace('/', '--')}"
        (root / "refs").mkdir(parents=True, exist_ok=True)
        (root / "refs" / "main").write_text(REVISION)
        place = root / "snapshots" / REVISION
        place.mkdir(parents=True, exist_ok=True)
        return place

    def model(self, repo: str, model: Any, processor: Any, shards: bool = False) -> None:
        """A tuned model with its processor; ``shards``: its weights in several files."""
        place = self.snapshot(repo)
        model.save_pretrained(place, **({"max_shard_size": "60KB"} if shards else {}))
        processor["tokenizer"].save_pretrained(place)
        processor["images"].save_pretrained(place)
        (place / "processor_config.json").write_text(json.dumps(processor["settings"]))

    def llm(self, repo: str, model: Any, tokenizer: Any, **extra: Any) -> Any:
        """The LLM before tuning, under its own class: that of the model, less a planted change in each block."""
        config = model.config.get_text_config().to_dict() | extra
        kind = {"qwen2_5_vl_text": "qwen2"}.get(config.pop("model_type"), model.config.get_text_config().model_type)
        config = {key: value for key, value in config.items() if key not in ("rope_parameters", "layer_types")}
        made = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **config)).eval()
        own = model.get_decoder().state_dict()
        rows = made.get_input_embeddings().weight.shape[0]
        generator = torch.Generator().manual_seed(len(repo))
        with torch.no_grad():
            for name, weight in made.model.named_parameters():
                tuned = own[name]
                if name == "embed_tokens.weight":
                    tuned = tuned[:rows]
                change = torch.randn(weight.shape, generator=generator) if name.startswith("layers") else 0
                weight.copy_(tuned - (0.3 * tuned.std() * change if weight.ndim > 1 else 0))
            head = model.get_output_embeddings()
            if not made.config.tie_word_embeddings:
                made.get_output_embeddings().weight.copy_(head.weight[:rows])
        place = self.snapshot(repo)
        made.save_pretrained(place)
        tokenizer.save_pretrained(place)
        return made

    def connector(self, repo: str, file: str, tensors: dict[str, torch.Tensor]) -> None:
        path = self.snapshot(repo) / file
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(tensors, path)


def changed(tensors: dict[str, torch.Tensor], seed: int = 5) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: t + 0.5 * t.std() * torch.randn(t.shape, generator=generator) for name, t in tensors.items()}


def llava(hub: Hub) -> str:
    """LLaVA-1.5: a published connector of stage 1, checkpoints tuned in bands, a vocabulary with rows of its own."""
    tokenizer = tokenizer_with("<image>", template=VICUNA)
    size = len(tokenizer)
    config = LlavaConfig(
        text_config=LlamaConfig(**text_config(size + 7)),
        vision_config=CLIPVisionConfig(image_size=16, patch_size=PER_PATCH, projection_dim=16, **VISION),
        image_token_index=size - 1,
        image_seq_length=16,
        tie_word_embeddings=False,
    )
    model = randomized(LlavaForConditionalGeneration(config), 1)
    images = CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    settings = {
        "processor_class": "LlavaProcessor",
        "patch_size": PER_PATCH,
        "num_additional_image_tokens": 1,
        "vision_feature_select_strategy": "default",
        "image_token": "<image>",
    }
    processor = {"tokenizer": tokenizer, "images": images, "settings": settings}
    hub.model("llava-hf/llava-1.5-7b-hf", model, processor, shards=True)
    before = hub.llm("lmsys/vicuna-7b-v1.5", model, tokenizer, vocab_size=size - 1)
    own = changed(model.model.multi_modal_projector.state_dict())
    hub.connector(
        "liuhaotian/llava-v1.5-mlp2x-336px-pretrain-vicuna-7b-v1.5",
        "mm_projector.bin",
        {f"model.mm_projector.{name.replace('linear_1', '0').replace('linear_2', '2')}": t for name, t in own.items()},
    )
    # Bands: tuned in some blocks alone, the others as the LLM was before.
    for repo, blocks in (("lbasile/llava_7b_26_32", (2,)), ("lbasile/llava_7b_0_2", (0,))):
        with torch.no_grad():
            band = LlavaForConditionalGeneration(config).eval()
            band.load_state_dict(model.state_dict())
            for i in set(range(LAYERS)) - set(blocks):
                band.model.language_model.layers[i].load_state_dict(before.model.layers[i].state_dict())
        hub.model(repo, band, processor)
    return "llava-1.5-7b"


def onevision(hub: Hub) -> str:
    """LLaVA-OneVision: tiles of a picture, a Qwen2 LLM with a tied head, a vision tower that was tuned too."""
    tokenizer = tokenizer_with("<image>", "<video>", template=CHATML.format(image="<image>"))
    size = len(tokenizer)
    config = LlavaOnevisionConfig(
        text_config=Qwen2Config(**text_config(size) | {"tie_word_embeddings": True}),
        vision_config=SiglipVisionConfig(image_size=12, patch_size=PER_PATCH, vision_use_head=False, **VISION),
        image_token_index=size - 2,
        video_token_index=size - 1,
        image_grid_pinpoints=[[12, 12], [12, 24], [24, 12]],
        tie_word_embeddings=True,
    )
    model = randomized(LlavaOnevisionForConditionalGeneration(config), 2)
    images = LlavaOnevisionImageProcessorPil(
        size={"height": 12, "width": 12}, image_grid_pinpoints=[[12, 12], [12, 24], [24, 12]]
    )
    settings = {
        "processor_class": "LlavaOnevisionProcessor",
        "num_image_tokens": 9,
        "vision_feature_select_strategy": "full",
        "image_token": "<image>",
        "video_token": "<video>",
    }
    hub.model(
        "llava-hf/llava-onevision-qwen2-0.5b-ov-hf",
        model,
        {"tokenizer": tokenizer, "images": images, "settings": settings},
    )
    hub.llm("Qwen/Qwen2-0.5B-Instruct", model, tokenizer)
    own = changed(model.model.multi_modal_projector.state_dict())
    hub.connector(
        "lmms-lab/llava-onevision-projectors",
        "0.5b/mm_projector.bin",
        {f"model.mm_projector.{name.replace('linear_1', '0').replace('linear_2', '2')}": t for name, t in own.items()},
    )
    return "onevision-0.5b"


def internvl(hub: Hub) -> str:
    """InternVL3: patches merged four to one; no connector of stage 1 is published."""
    tokenizer = tokenizer_with(
        "<img>", "</img>", "<IMG_CONTEXT>", "<video>", template=CHATML.format(image="<IMG_CONTEXT>\n")
    )
    for name, token in {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }.items():
        tokenizer._set_model_specific_special_tokens({name: token})
    size = len(tokenizer)
    vision = dict(image_size=[24, 24], patch_size=[PER_PATCH, PER_PATCH], **VISION)
    config = InternVLConfig(
        text_config=Qwen2Config(**text_config(size)),
        vision_config=vision,
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=9,
        downsample_ratio=0.5,
        tie_word_embeddings=False,
    )
    model = randomized(InternVLForConditionalGeneration(config), 3)
    images = GotOcr2ImageProcessorPil(size={"height": 24, "width": 24}, crop_to_patches=False)
    settings = {"processor_class": "InternVLProcessor", "image_seq_length": 9}
    hub.model("OpenGVLab/InternVL3-1B-hf", model, {"tokenizer": tokenizer, "images": images, "settings": settings})
    hub.llm("Qwen/Qwen2.5-0.5B-Instruct", model, tokenizer)
    return "internvl3-1b"


def qwen(hub: Hub) -> str:
    """Qwen2.5-VL: pictures of any shape, positions in three directions; all parts were tuned together."""
    template = CHATML.format(image="<|vision_start|><|image_pad|><|vision_end|>")
    tokenizer = tokenizer_with(
        "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>", template=template
    )
    size = len(tokenizer)
    ids = {
        f"{name}_id": tokenizer.convert_tokens_to_ids(token)
        for name, token in {
            "image_token": "<|image_pad|>",
            "video_token": "<|video_pad|>",
            "vision_start_token": "<|vision_start|>",
            "vision_end_token": "<|vision_end|>",
        }.items()
    }
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}
    config = Qwen2_5_VLConfig(
        text_config=text_config(size) | {"rope_parameters": rope},
        vision_config=dict(
            hidden_size=16,
            out_hidden_size=WIDTH,
            intermediate_size=32,
            depth=2,
            num_heads=2,
            patch_size=PER_PATCH,
            temporal_patch_size=2,
            spatial_merge_size=2,
            window_size=4 * PER_PATCH,
            fullatt_block_indexes=[1],
        ),
        tie_word_embeddings=False,
        **ids,
    )
    model = randomized(Qwen2_5_VLForConditionalGeneration(config), 4)
    pixels = {"shortest_edge": (4 * PER_PATCH) ** 2, "longest_edge": (6 * PER_PATCH) ** 2}
    images = Qwen2VLImageProcessorPil(size=pixels, patch_size=PER_PATCH, temporal_patch_size=2, merge_size=2)
    hub.model(
        "Qwen/Qwen2.5-VL-3B-Instruct",
        model,
        {"tokenizer": tokenizer, "images": images, "settings": {"processor_class": "Qwen2_5_VLProcessor"}},
    )
    hub.llm("Qwen/Qwen2.5-3B-Instruct", model, tokenizer)
    return "qwen2.5-vl-3b"


def smolvlm(hub: Hub) -> str:
    """SmolVLM: a single matrix as connector, tokens of its own around pictures."""
    special = ("<fake_token_around_image>", "<global-img>", "<end_of_utterance>", "<image>")
    tokenizer = tokenizer_with(*special, template=CHATML.format(image="<image>"))
    size = len(tokenizer)
    config = SmolVLMConfig(
        text_config=LlamaConfig(**text_config(size)),
        vision_config=dict(image_size=24, patch_size=PER_PATCH, **VISION),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        tie_word_embeddings=False,
    )
    model = randomized(SmolVLMForConditionalGeneration(config), 6)
    edge = {"longest_edge": 24}
    images = SmolVLMImageProcessorPil(size=edge, max_image_size=edge, do_image_splitting=False)
    settings = {"processor_class": "SmolVLMProcessor", "image_seq_len": 9}
    hub.model(
        "HuggingFaceTB/SmolVLM-256M-Instruct", model, {"tokenizer": tokenizer, "images": images, "settings": settings}
    )
    hub.llm("HuggingFaceTB/SmolLM2-135M-Instruct", model, tokenizer, vocab_size=size - 3)
    return "smolvlm-256m"


def gemma(hub: Hub) -> str:
    """Gemma 3: image tokens see each other in both directions, every other block sees few tokens; gated."""
    special = ("<start_of_image>", "<end_of_image>", "<image_soft_token>")
    tokenizer = tokenizer_with(*special, template=CHATML.format(image="<start_of_image>"))
    for name, token in zip(("boi_token", "eoi_token", "image_token"), special, strict=True):
        tokenizer._set_model_specific_special_tokens({name: token})
    size = len(tokenizer)
    text = Gemma3TextConfig(
        head_dim=8,
        query_pre_attn_scalar=8,
        sliding_window=512,
        layer_types=["sliding_attention", "full_attention"] * (LAYERS // 2),
        **text_config(size) | {"tie_word_embeddings": True},
    )
    ids = {
        name: tokenizer.convert_tokens_to_ids(token)
        for name, token in zip(("boi_token_index", "eoi_token_index", "image_token_index"), special, strict=True)
    }
    config = Gemma3Config(
        text_config=text,
        vision_config=SiglipVisionConfig(image_size=24, patch_size=PER_PATCH, vision_use_head=False, **VISION),
        mm_tokens_per_image=9,
        **ids,
    )
    model = randomized(Gemma3ForConditionalGeneration(config), 7)
    images = Gemma3ImageProcessorPil(size={"height": 24, "width": 24})
    settings = {"processor_class": "Gemma3Processor", "image_seq_length": 9}
    hub.model("google/gemma-3-4b-it", model, {"tokenizer": tokenizer, "images": images, "settings": settings})
    return "gemma-3-4b"


LINEAGES = (llava, onevision, internvl, qwen, smolvlm, gemma)


def build(folder: Path) -> list[str]:
    """Write all repositories and return the names of the lineages."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return [write(Hub(Path(folder))) for write in LINEAGES]


if __name__ == "__main__":
    names = build(Path(sys.argv[1]))
    print(f"export HF_HUB_CACHE={Path(sys.argv[1]).resolve()} HF_HUB_OFFLINE=1\n# {','.join(names)}")
