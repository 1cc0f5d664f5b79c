"""The hub in miniature: for each lineage the repositories that it names, as the hub's cache keeps them.

    python tests/miniature_hub.py FOLDER      # writes it, and prints what to type to use it

Weights are random and small; files, their forms and the relation of the vocabularies are the true ones: configuration,
weights (some in several files, Vicuna's as pickles), tokenizer with its chat template, processor, the LLM before
tuning, a connector file of stage 1. With ``HF_HUB_CACHE`` at the folder and ``HF_HUB_OFFLINE=1``,
``model="llava-1.5-7b"`` loads from here as it would from the hub. Tuning is planted: matrices of every block move by
`MOVED` of their size.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import miniature_tokenizers as tokens
import torch
import transformers
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
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
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    SiglipVisionConfig,
)

REVISION = "0123456789abcdef0123456789abcdef01234567"
MOVED = 0.3  # how far tuning moves a matrix of the LLM, as a share of the spread of its entries
WIDTH, PATCH = 32, 4
VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "patch_size": PATCH,
}
CLIP_PIXELS = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
HALF_PIXELS = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


class Hub:
    """The hub's cache in a folder, filled repository by repository."""

    def __init__(self, folder: Path):
        self.folder = folder

    def snapshot(self, repo: str) -> Path:
        """The folder that holds a repository's files."""
        root = self.folder / f"models--{repo.replace('/', '--')}"
        (root / "refs").mkdir(parents=True, exist_ok=True)
        (root / "refs" / "main").write_text(REVISION, encoding="utf-8")
        place = root / "snapshots" / REVISION
        place.mkdir(parents=True, exist_ok=True)
        return place

    def tuned(self, repo: str, model: Any, tokenizer: Any, dtype: torch.dtype, **files: dict) -> None:
        """A tuned model with its tokenizer and the JSON files of its processor."""
        save_tuned(self.snapshot(repo), model, tokenizer, dtype, **files)

    def llm(self, repo: str, llm: Any, tokenizer: Any, dtype: torch.dtype, pickles: bool = False) -> None:
        """An LLM before tuning; ``pickles``: its weights as older repositories hold them."""
        place = self.snapshot(repo)
        tokenizer.save_pretrained(place)
        if not pickles:
            return save(llm, place, dtype)
        llm.config.save_pretrained(place)
        weights = {key: tensor.to(dtype) for key, tensor in llm.state_dict().items()}
        half, names = len(weights) // 2, [f"pytorch_model-0000{i}-of-00002.bin" for i in (1, 2)]
        index = {key: names[i >= half] for i, key in enumerate(weights)}
        for name in names:
            torch.save({key: tensor for key, tensor in weights.items() if index[key] == name}, place / name)
        written = {"metadata": {"total_size": 0}, "weight_map": index}
        (place / "pytorch_model.bin.index.json").write_text(json.dumps(written), encoding="utf-8")

    def projector(self, repo: str, file: str, connector: nn.Module) -> None:
        """The file of a connector of stage 1."""
        path = self.snapshot(repo) / file
        path.parent.mkdir(parents=True, exist_ok=True)
        save_projector(connector, path)


transformers.utils.logging.disable_progress_bar()

# ---------------------------------------------------------------- weights


def save(model: Any, place: Path, dtype: torch.dtype) -> None:
    """Weights in the precision of the true repository; in several files if they are large."""
    copy.deepcopy(model).to(dtype).save_pretrained(place, max_shard_size="150KB")


def save_tuned(place: Path, model: Any, tokenizer: Any, dtype: torch.dtype, **files: dict) -> None:
    """A tuned model's folder."""
    save(model, place, dtype)
    tokenizer.save_pretrained(place)
    for name, content in files.items():
        (place / f"{name}.json").write_text(json.dumps(content, indent=2), encoding="utf-8")


def save_projector(connector: nn.Module, path: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """A connector of two linear layers as LLaVA's own code saves it: pickled, under keys of its own."""
    own, numbers = {}, {"linear_1": 0, "linear_2": 2}
    for key, tensor in connector.state_dict().items():
        layer, leaf = key.split(".")
        own[f"model.mm_projector.{numbers[layer]}.{leaf}"] = tensor.to(dtype)
    torch.save(own, path)


def built(kind: Any, config: Any, seed: int) -> Any:
    """A model with random weights that make inputs move the logits clearly, always the same for a seed."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = kind(config)
        for weight in model.parameters():
            noise = torch.randn(weight.shape)
            weight.copy_(noise / weight[0].numel() ** 0.5 if weight.ndim > 1 else weight + noise / 10)
    return model.eval()


def before(model: Any, rows: int, seed: int = 0, moved: float = MOVED, **settings: Any) -> Any:
    """The LLM that a model was before tuning, under its own class: the model's own blocks without what tuning moved.

    rows: of its vocabulary; those that the model lacks are random. moved: `MOVED`, or 0 for an LLM that tuning left as
    it was. settings: other fields of the configuration.
    """
    text = model.config.get_text_config()
    fields = text.to_dict() | {"vocab_size": rows, "dtype": None} | settings
    fields |= {key: None for key in fields if key.endswith("token_id") and (fields[key] or 0) >= rows}
    kind = {"qwen2_5_vl_text": "qwen2"}.get(fields.pop("model_type"), text.model_type)
    if kind == "qwen2":  # without the positions in three directions
        fields["rope_parameters"] = {"rope_type": "default", "rope_theta": text.rope_parameters["rope_theta"]}
    llm = built(AutoModelForCausalLM.from_config, AutoConfig.for_model(kind, **fields), seed)
    own, generator = model.get_decoder().state_dict(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in llm.get_decoder().named_parameters():
            if name != "embed_tokens.weight":
                change = torch.randn(weight.shape, generator=generator) * own[name].std() * moved
                weight.copy_(own[name] - (change if weight.ndim > 1 else 0))
        for mine, theirs in (
            (llm.get_input_embeddings(), model.get_input_embeddings()),
            (llm.get_output_embeddings(), model.get_output_embeddings()),
        ):
            both = min(rows, len(theirs.weight))
            if mine is llm.get_input_embeddings() or not llm.config.tie_word_embeddings:
                mine.weight[:both] = theirs.weight[:both]
    return llm


def moved(module: nn.Module, seed: int = 1) -> nn.Module:
    """A copy with other weights of the same size: a connector as it was after stage 1."""
    other, generator = copy.deepcopy(module), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in other.parameters():
            weight.add_(0.5 * weight.std() * torch.randn(weight.shape, generator=generator))
    return other


def text(vocabulary: int, layers: int, tokenizer: Any, **settings: Any) -> dict:
    """The fields of an LLM's configuration."""
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    sizes = {"vocab_size": vocabulary, "hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": layers}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 2048}
    return sizes | heads | ids | settings


# ---------------------------------------------------------------- lineages


def llava_parts() -> tuple[Any, Any, Any, dict]:
    """A LLaVA-1.5, its tokenizer, that of its LLM before tuning, and the files of its processor."""
    bare = tokens.llama(pad_token="<unk>")
    tokenizer = tokens.llama("<image>", "<pad>", pad_token="<pad>", extra_special_tokens={"image_token": "<image>"})
    tokenizer.chat_template = tokens.LLAVA
    config = LlavaConfig(
        text_config=LlamaConfig(**text(len(bare) + 64, 4, tokenizer)),
        vision_config=CLIPVisionConfig(image_size=16, projection_dim=16, **VISION),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
        tie_word_embeddings=False,
    )
    model = built(LlavaForConditionalGeneration, config, 1)
    sides = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
    files = {
        "preprocessor_config": {
            "image_processor_type": "CLIPImageProcessor", "processor_class": "LlavaProcessor", **sides, **CLIP_PIXELS
        },
        "processor_config": {
            "processor_class": "LlavaProcessor", "image_token": "<image>", "patch_size": PATCH,
            "num_additional_image_tokens": 1, "vision_feature_select_strategy": "default",
        },
    }  # fmt: skip
    return model, tokenizer, bare, files


def llava(hub: Hub) -> str:
    """LLaVA-1.5 7B: all three stages, checkpoints tuned in bands; the vocabulary grew by 64 rows for two tokens."""
    tuned, half = "llava-hf/llava-1.5-7b-hf", torch.float16
    model, tokenizer, bare, files = llava_parts()
    hub.tuned(tuned, model, tokenizer, half, **files)
    llm = before(model, len(bare))
    hub.llm("lmsys/vicuna-7b-v1.5", llm, bare, half, pickles=True)
    hub.projector(
        "liuhaotian/llava-v1.5-mlp2x-336px-pretrain-vicuna-7b-v1.5",
        "mm_projector.bin",
        moved(model.model.multi_modal_projector),
    )
    # The true bands lie in 32 blocks; here as many quarters of the depth, or all but some.
    bands = {"llava_7b": range(4), "llava_7b_frozen": (), "llava_7b_0_2": (0,), "llava_7b_26_32": (3,)}
    for name, blocks in (bands | {"llava_7b_6_17_complementary": (0, 2, 3)}).items():
        band = copy.deepcopy(model)
        for i in set(range(4)) - set(blocks):
            band.model.language_model.layers[i].load_state_dict(llm.model.layers[i].state_dict())
        hub.tuned(f"lbasile/{name}", band, tokenizer, half, **files)
    return tuned


def onevision(hub: Hub) -> str:
    """LLaVA-OneVision 0.5B: all three stages; a picture as a whole and as crops; the vision tower was tuned too."""
    tuned, bare = "llava-hf/llava-onevision-qwen2-0.5b-ov-hf", tokens.qwen()
    special = {"image_token": "<image>", "video_token": "<video>"}
    tokenizer = tokens.qwen(*special.values(), extra_special_tokens=special)
    tokenizer.chat_template, bare.chat_template = tokens.ONEVISION, tokens.PLAIN
    rows, crops = len(tokenizer) + 8, [[16, 16], [16, 32], [32, 16]]
    config = LlavaOnevisionConfig(
        text_config=Qwen2Config(**text(rows + 64, 4, tokenizer, tie_word_embeddings=True)),
        vision_config=SiglipVisionConfig(image_size=16, vision_use_head=False, **VISION),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=crops,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=True,
    )
    model = built(LlavaOnevisionForConditionalGeneration, config, 2)
    files = {
        "preprocessor_config": {
            "image_processor_type": "LlavaOnevisionImageProcessor", "processor_class": "LlavaOnevisionProcessor",
            "size": {"height": 16, "width": 16}, "image_grid_pinpoints": crops, **HALF_PIXELS,
        },
        "processor_config": {
            "processor_class": "LlavaOnevisionProcessor", "num_image_tokens": 16, **special,
            "vision_feature_select_strategy": "full", "vision_aspect_ratio": "anyres_max_9",
        },
        "video_preprocessor_config": {"video_processor_type": "LlavaOnevisionVideoProcessor"},
    }  # fmt: skip
    hub.tuned(tuned, model, tokenizer, torch.float16, **files)
    hub.llm("Qwen/Qwen2-0.5B-Instruct", before(model, rows), bare, torch.bfloat16)
    hub.projector(
        "lmms-lab/llava-onevision-projectors", "0.5b/mm_projector.bin", moved(model.model.multi_modal_projector)
    )
    return tuned


def internvl(hub: Hub) -> str:
    """InternVL3 1B: crops and a thumbnail; fewer rows than the LLM before, whose head is tied and whose own isn't."""
    tuned, bare = "OpenGVLab/InternVL3-1B-hf", tokens.qwen()
    special = {
        "start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }  # fmt: skip
    tokenizer = tokens.qwen(*special.values(), extra_special_tokens=special)
    tokenizer.chat_template, bare.chat_template = tokens.INTERNVL, tokens.PLAIN
    config = InternVLConfig(
        text_config=Qwen2Config(**text(len(tokenizer), 4, tokenizer, tie_word_embeddings=False)),
        vision_config=VISION | {"image_size": [16, 16], "patch_size": [PATCH, PATCH]},
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        downsample_ratio=0.5,
        tie_word_embeddings=False,
    )
    model = built(InternVLForConditionalGeneration, config, 3)
    files = {
        "preprocessor_config": {
            "image_processor_type": "GotOcr2ImageProcessor", "processor_class": "InternVLProcessor",
            "size": {"height": 16, "width": 16}, "crop_to_patches": True, "min_patches": 1, "max_patches": 4,
            **CLIP_PIXELS,
        },
        "processor_config": {"processor_class": "InternVLProcessor", "image_seq_length": 4},
        "video_preprocessor_config": {"video_processor_type": "InternVLVideoProcessor"},
    }  # fmt: skip
    hub.tuned(tuned, model, tokenizer, torch.bfloat16, **files)
    llm = before(model, len(tokenizer) + 60, tie_word_embeddings=True)
    hub.llm("Qwen/Qwen2.5-0.5B", llm, bare, torch.bfloat16)
    return tuned


def qwen(hub: Hub) -> str:
    """Qwen2.5-VL 3B: pictures of any shape, positions in three directions; the LLM before has the same vocabulary."""
    tuned, names = "Qwen/Qwen2.5-VL-3B-Instruct", ("vision_start", "vision_end", "vision_pad", "image_pad", "video_pad")
    tokenizer = tokens.qwen(*(f"<|{name}|>" for name in names))
    bare = copy.deepcopy(tokenizer)
    tokenizer.chat_template, bare.chat_template, rows = tokens.QWEN_VL, tokens.PLAIN, len(tokenizer) + 8
    ids = dict(zip(names, tokenizer.convert_tokens_to_ids([f"<|{name}|>" for name in names]), strict=True))
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 1, 1]}
    config = Qwen2_5_VLConfig(
        text_config=text(rows, 4, tokenizer, tie_word_embeddings=True, rope_parameters=rope),
        vision_config={
            "hidden_size": 16, "out_hidden_size": WIDTH, "intermediate_size": 32, "depth": 2, "num_heads": 2,
            "patch_size": PATCH, "temporal_patch_size": 2, "spatial_merge_size": 2, "window_size": 4 * PATCH,
            "fullatt_block_indexes": [1],
        },
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
        tie_word_embeddings=True,
    )  # fmt: skip
    model = built(Qwen2_5_VLForConditionalGeneration, config, 4)
    files = {
        "preprocessor_config": {
            "image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen2_5_VLProcessor",
            "min_pixels": 16**2, "max_pixels": 32**2, "patch_size": PATCH, "temporal_patch_size": 2, "merge_size": 2,
            **CLIP_PIXELS,
        },
    }  # fmt: skip
    hub.tuned(tuned, model, tokenizer, torch.bfloat16, **files)
    hub.llm("Qwen/Qwen2.5-3B-Instruct", before(model, rows), bare, torch.bfloat16)
    return tuned


def smolvlm(hub: Hub) -> str:
    """SmolVLM 256M, whose class is Idefics3's: text between a picture's crops; the head was tied before tuning."""
    tuned, bare = "HuggingFaceTB/SmolVLM-256M-Instruct", tokens.smol()
    cells = [f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7)]
    frame = ("<fake_token_around_image>", "<image>", "<end_of_utterance>")
    tokenizer = tokens.smol("<global-img>", *cells, *frame, eos_token="<end_of_utterance>")
    tokenizer.chat_template, bare.chat_template, rows = tokens.SMOLVLM, tokens.PLAIN, len(bare)
    config = Idefics3Config(
        text_config=LlamaConfig(**text(len(tokenizer) + 86, 5, tokenizer, tie_word_embeddings=False)),
        vision_config=VISION | {"image_size": 16},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        tie_word_embeddings=False,
    )
    model = built(Idefics3ForConditionalGeneration, config, 5)
    files = {
        "preprocessor_config": {
            "image_processor_type": "Idefics3ImageProcessor", "processor_class": "Idefics3Processor",
            "do_image_splitting": True, "size": {"longest_edge": 32}, "max_image_size": {"longest_edge": 16},
            **HALF_PIXELS,
        },
        "processor_config": {"processor_class": "Idefics3Processor", "image_seq_len": 4},
    }  # fmt: skip
    hub.tuned(tuned, model, tokenizer, torch.bfloat16, **files)
    hub.llm("HuggingFaceTB/SmolLM2-135M-Instruct", before(model, rows, tie_word_embeddings=True), bare, torch.bfloat16)
    return tuned


def paligemma(hub: Hub) -> str:
    """PaliGemma 3B: no chat template; all but the answer attends in both directions; 1,216 rows more than Gemma."""
    tuned, bare = "google/paligemma-3b-mix-224", tokens.gemma()
    places = [f"<loc{i:04}>" for i in range(1024)] + [f"<seg{i:03}>" for i in range(128)]
    tokenizer = tokens.gemma(*places, "<image>", extra_special_tokens={"image_token": "<image>"})
    rows = len(bare)
    config = PaliGemmaConfig(
        text_config=GemmaConfig(**text(rows + 1216, 4, tokenizer, head_dim=8, tie_word_embeddings=True)),
        vision_config=SiglipVisionConfig(image_size=16, vision_use_head=False, projection_dim=WIDTH, **VISION),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        projection_dim=WIDTH,
        hidden_size=WIDTH,
        tie_word_embeddings=True,
    )
    model = built(PaliGemmaForConditionalGeneration, config, 6)
    files = {
        "preprocessor_config": {
            "image_processor_type": "SiglipImageProcessor", "processor_class": "PaliGemmaProcessor",
            "size": {"height": 16, "width": 16}, "image_seq_length": 16, **HALF_PIXELS,
        },
    }  # fmt: skip
    hub.tuned(tuned, model, tokenizer, torch.bfloat16, **files)
    hub.llm("google/gemma-2b", before(model, rows), bare, torch.bfloat16)
    return tuned


def gemma(hub: Hub) -> str:
    """Gemma 3 4B: no LLM came before; image tokens see each other, and most blocks see a window of tokens."""
    tuned = "google/gemma-3-4b-it"
    special = {
        "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"
    }  # fmt: skip
    tokenizer = tokens.gemma(*special.values(), extra_special_tokens=special)
    tokenizer.chat_template = tokens.GEMMA
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in special.items()}
    layers = ["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"]
    window = {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 256, "layer_types": layers}
    config = Gemma3Config(
        text_config=Gemma3TextConfig(**text(len(tokenizer) + 63, 4, tokenizer, tie_word_embeddings=True, **window)),
        vision_config=SiglipVisionConfig(image_size=32, vision_use_head=False, **VISION),
        boi_token_index=ids["boi_token"],
        eoi_token_index=ids["eoi_token"],
        image_token_index=ids["image_token"],
        mm_tokens_per_image=16,
        tie_word_embeddings=True,
    )
    model = built(Gemma3ForConditionalGeneration, config, 7)
    files = {
        "preprocessor_config": {
            "image_processor_type": "Gemma3ImageProcessor", "processor_class": "Gemma3Processor",
            "size": {"height": 32, "width": 32}, "image_seq_length": 16, **HALF_PIXELS,
        },
        "processor_config": {"processor_class": "Gemma3Processor", "image_seq_length": 16},
    }  # fmt: skip
    hub.tuned(tuned, model, tokenizer, torch.bfloat16, **files)
    return tuned


LINEAGES: dict[str, Callable[[Hub], str]] = {
    "llava-1.5-7b": llava,
    "onevision-0.5b": onevision,
    "internvl3-1b": internvl,
    "qwen2.5-vl-3b": qwen,
    "smolvlm-256m": smolvlm,
    "paligemma-3b": paligemma,
    "gemma-3-4b": gemma,
}


def build(folder: str | Path) -> dict[str, str]:
    """Write all repositories into a folder: {lineage: repository of its tuned model}."""
    return {name: write(Hub(Path(folder))) for name, write in LINEAGES.items()}


def plant(folder: Path) -> Path:
    """A lineage in local folders whose tuning changed nothing: -> its TOML file, for `Study.model`.

    The LLM before tuning is the tuned one, and the connector of stage 1 the tuned one, so whatever compares the two
    stages must find exactly nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model, tokenizer, bare, files = llava_parts()
    save_tuned(folder / "tuned", model, tokenizer, torch.float32, **files)
    save(before(model, len(bare), moved=0), folder / "llm", torch.float32)
    (folder / "connector").mkdir(exist_ok=True)
    save_projector(model.model.multi_modal_projector, folder / "connector" / "mm_projector.bin", torch.float32)
    path = folder / "planted.toml"
    path.write_text(
        '[planted]\ntuned = { repo = "tuned" }\nllm = { repo = "llm" }\n'
        'connector = { repo = "connector", file = "mm_projector.bin" }\nnote = "tuning that changed nothing"\n',
        encoding="utf-8",
    )
    return path


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    names = build(sys.argv[1])
    print(f"export HF_HUB_CACHE={Path(sys.argv[1]).resolve()} HF_HUB_OFFLINE=1")
    print(f"# lineages: {','.join(names)}")
