"""Models and pictures that several test files share: small, random, and made here."""

from functools import lru_cache
from pathlib import Path

import gguf
import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from tokenizers import pre_tokenizers
from torch import nn
from transformers import LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from paperlib.models import assemble
from paperlib.models.vision_tower import EfficientNetLiteConfig
from paperlib.models.vlm import VLM, load_vlm


def picture(seed: int, width: int = 128, height: int = 128) -> Image.Image:
    """Noise in 8 x 8 blocks, so that resizing leaves something of it."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels.repeat(8, axis=0).repeat(8, axis=1))


class Noise:
    """Stands in for a scene: a picture of noise, and a caption."""

    caption = "A red dog."

    def __init__(self, seed):
        self.seed = seed

    def render(self):
        return picture(self.seed)


def louder(model: nn.Module) -> nn.Module:
    """Larger matrices but in the vision tower: at their initial size inputs hardly move the logits."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and "vision_tower" not in name:
                weight.mul_(6)
    return model


def tiny_vlm(seed: int = 0) -> VLM:
    vlm = load_vlm("tiny", device="cpu", seed=seed)
    louder(vlm.model)
    return vlm


def tower_vlm(seed: int = 0) -> VLM:
    """A LLaVA with the EfficientNet-Lite tower (random, uneven batch statistics) and a small random Llama."""
    tokenizer = assemble.build_tiny()[1].tokenizer
    text = LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=len(tokenizer),
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=EfficientNetLiteConfig(),
            text_config=text,
            image_seq_length=16,
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
            vision_feature_layer=-1,
            vision_feature_select_strategy="full",
            tie_word_embeddings=True,
        )
    )
    uneven(model.model.vision_tower)
    model.generation_config.eos_token_id = model.generation_config.pad_token_id = 1
    return VLM("tower", louder(model).eval(), assemble._processor(tokenizer, 0, "full"))


def uneven(tower: nn.Module) -> nn.Module:
    """Batch statistics that are not those of a fresh module, so that using others shows."""
    with torch.no_grad():
        for module in tower.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.02, 0.1)
    return tower


def write_parts(folder: Path) -> tuple[Path, Path, dict[str, np.ndarray]]:
    """Stand-ins for the two assets of the mini model, in the same formats.

    -> GGUF file, tower weights, the GGUF's tensors by name. The GGUF holds a random Llama (two blocks, width
    32, four heads, two of keys and values) and a byte tokenizer with the merges "Ġt" and "he".
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng, tensors = np.random.default_rng(0), {}
    writer = gguf.GGUFWriter(folder / "llm.gguf", "llama")
    fields = {
        "block_count": 2,
        "context_length": 256,
        "embedding_length": 32,
        "feed_forward_length": 64,
        "head_count": 4,
        "head_count_kv": 2,
        "rope_freq_base": 50000.0,
        "rope_dimension_count": 8,
        "layer_norm_rms_eps": 1e-5,
        "add_bos_token": False,
        "add_space_prefix": False,
        "tokenizer_model": "gpt2",
        "tokenizer_pre": "smollm",
        "bos_token_id": 1,
        "eos_token_id": 2,
        "unk_token_id": 0,
        "pad_token_id": 2,
        "chat_template": "{{ 'not this one' }}",
    }
    for add, value in fields.items():
        getattr(writer, f"add_{add}")(value)
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens = special + sorted(pre_tokenizers.ByteLevel.alphabet()) + ["Ġt", "he"]
    writer.add_vocab_size(len(tokens))
    writer.add_token_list(tokens)
    writer.add_token_types([3] * 3 + [1] * (len(tokens) - 3))
    writer.add_token_merges(["Ġ t", "h e"])
    shapes = {"token_embd": (len(tokens), 32), "output_norm": (32,)}
    for i in range(2):
        shapes |= {
            f"blk.{i}.{name}": shape
            for name, shape in {
                "attn_norm": (32,),
                "attn_q": (32, 32),
                "attn_k": (16, 32),
                "attn_v": (16, 32),
                "attn_output": (32, 32),
                "ffn_norm": (32,),
                "ffn_gate": (64, 32),
                "ffn_up": (64, 32),
                "ffn_down": (32, 64),
            }.items()
        }
    for name, shape in shapes.items():
        tensors[f"{name}.weight"] = rng.normal(0, 0.3, size=shape).astype(np.float32)
        writer.add_tensor(f"{name}.weight", tensors[f"{name}.weight"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    torch.manual_seed(5)
    torch.save(uneven(EfficientNet.from_name("efficientnet-lite0")).state_dict(), folder / "tower.pth")
    return folder / "llm.gguf", folder / "tower.pth", tensors


def use_parts(monkeypatch, tmp_path: Path) -> dict[str, np.ndarray]:
    """Let `build_mini` and all names of the mini model work on `write_parts`, in a root of their own."""
    llm, tower, tensors = write_parts(tmp_path / "parts")
    monkeypatch.setenv("PAPERLIB_ROOT", str(tmp_path / "root"))
    files = {"smollm2": llm, "efficientnet": tower}
    monkeypatch.setattr(assemble, "asset_path", lambda asset, member: files[asset])
    return tensors


@lru_cache
def mini_base() -> VLM:
    """The real mini model before tuning, loaded once for all test files: look at it, don't change it."""
    return load_vlm("mini-base", device="cpu")


@torch.no_grad()
def logits(model: nn.Module, batch: dict) -> torch.Tensor:
    return model(**batch).logits


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of every weight and buffer."""
    return {name: value.clone() for name, value in model.state_dict().items()}


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """Names whose values differ; the names themselves must be the same."""
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def one_sentence(error: Exception) -> str:
    """The message, once it is clear that it reads as one line and one sentence."""
    message = str(error)
    assert message.endswith(".") and "\n" not in message and len(message) < 350
    assert ". " not in message.removesuffix(".")
    return message
