"""`VLM`: any Hugging Face image-text model behind one small interface. Experiments speak to this and nothing below it.

The decoder blocks are found as ``model.get_decoder().layers`` and image tokens by ``config.image_token_id``, so that the
mini model and, say, ``llava-hf/llava-1.5-7b-hf`` run through the same code.
"""

import logging
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModelForImageTextToText, AutoProcessor

from . import entry, vision_tower  # noqa: F401  the latter registers the mini model's tower with AutoModel
from .adapters import apply_adapter
from .assemble import build_mini, build_tiny, untrained
from .image_memory import remembering
from .study import device_fault, repo_root

NAMES = ("mini", "mini-stage1", "mini-base", "mini-untrained", "tiny")
# Processors say once per process that they fall back to PIL; this project has no torchvision on purpose.
logging.getLogger("transformers.image_processing_backends").setLevel(logging.ERROR)


class VLMError(ValueError):
    """A model, picture or prompt cannot be used; the message is one sentence that says what to do."""


@dataclass(frozen=True)
class Spans:
    """Positions of one sequence's tokens, each a 1-D LongTensor: image tokens; the prompt's text after the image (from
    the start if there is none), chat template included, whose last position is where the answer starts; answer tokens."""

    image: torch.Tensor
    question: torch.Tensor
    answer: torch.Tensor


class Batch(dict):
    """Model inputs (``model(**batch)``) that remember how many answer tokens end each sequence."""

    answer_lengths: list[int]


@dataclass
class VLM:
    """A model with its processor. ``name`` is what it was loaded as."""

    name: str
    model: nn.Module
    processor: object

    @property
    def tokenizer(self):
        return self.processor.tokenizer

    @property
    def layers(self) -> nn.ModuleList:
        """The decoder blocks of the language model, first to last."""
        return self.model.get_decoder().layers

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def image_token_id(self) -> int:
        return self.model.config.image_token_id

    def prompt(self, question: str, has_image: bool = True) -> str:
        """A question in the model's chat format, up to where the answer starts."""
        content = [{"type": "image"}] * has_image + [{"type": "text", "text": question}]
        return self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)

    def batch(self, prompts: list[str], images: list[Image.Image] | None, answers: list[str] | None = None) -> Batch:
        """Prompts, one picture each or none at all, and answers to follow them, as padded model inputs on the device.

        Padding is on the right. Raises VLMError for pictures that are none, counts that differ, no prompts, and answers
        to a processor that ends prompts by itself (PaliGemma's): they would not stand where they seem to.
        """
        check_batch(prompts, images, answers)
        if answers is not None and "labels" in self.processor.model_input_names:
            raise VLMError(f"{type(self.processor).__name__} writes on behind the prompt, so answers cannot be put there: "
                           f"use another family of models to score answers.")
        texts = prompts if answers is None else [p + a for p, a in zip(prompts, answers)]
        self.tokenizer.padding_side = "right"
        # A list for each prompt: Gemma 3's and SmolVLM's processors would take a flat one for one prompt's pictures.
        kwargs = dict(images=[[image.convert("RGB")] for image in images]) if images is not None else {}
        batch = Batch(self.processor(text=texts, padding=True, return_tensors="pt", **kwargs).to(self.device))
        heads = self.tokenizer(prompts)["input_ids"]
        wholes = self.tokenizer(texts)["input_ids"]
        batch.answer_lengths = [len(whole) - len(head) for head, whole in zip(heads, wholes)]
        return batch

    def spans(self, batch: Batch) -> list[Spans]:
        """Where image, question and answer tokens sit in each sequence of a right-padded batch."""
        spans = []
        for ids, mask, n_answer in zip(batch["input_ids"].cpu(), batch["attention_mask"].cpu(), batch.answer_lengths):
            end = int(mask.sum())
            image = (ids[:end] == self.image_token_id).nonzero().flatten()
            start = int(image[-1]) + 1 if len(image) else 0
            spans.append(Spans(image, torch.arange(start, end - n_answer), torch.arange(end - n_answer, end)))
        return spans

    def remembering(self, megabytes: int = 256) -> AbstractContextManager:
        """Encode each distinct picture once for as long as the block runs (`image_memory.remembering`)."""
        return remembering(self.model, megabytes)

    def answer(self, image: Image.Image | None, question: str, max_new_tokens: int = 24) -> str:
        """The model's own words (greedy decoding) to a question about a picture, or about nothing but the question."""
        return self.answers(None if image is None else [image], [question], max_new_tokens)[0]

    @torch.inference_mode()
    def answers(self, images: list[Image.Image] | None, questions: list[str], max_new_tokens: int = 24) -> list[str]:
        """`answer` for many: questions of equal prompt length share a batch, so that nothing needs left padding."""
        check_batch(questions, images)
        prompts = [self.prompt(q, images is not None) for q in questions]
        lengths = [len(ids) for ids in self.tokenizer(prompts)["input_ids"]]
        replies = [""] * len(prompts)
        for length in sorted(set(lengths)):
            rows = [i for i, n in enumerate(lengths) if n == length]
            batch = self.batch([prompts[i] for i in rows], images and [images[i] for i in rows])
            new = self.model.generate(**batch, max_new_tokens=max_new_tokens, do_sample=False)
            for i, ids in zip(rows, new[:, batch["input_ids"].shape[1]:]):
                replies[i] = self.tokenizer.decode(ids, skip_special_tokens=True).strip()
        return replies


def load_vlm(name: str, device: str = "auto", seed: int = 0) -> VLM:
    """Load a model in float32, in evaluation mode.

    name: "mini" (both stages), "mini-stage1" (connector only, the LLM as it was), "mini-base" (assembled, connector
    random), "mini-untrained" (random LLM and connector from ``seed``), "tiny" (random, for tests), a local folder as
    `save_pretrained` writes it, a folder of adapters of the mini model, or a hub id.
    device: "auto" takes a GPU where there is one.
    Raises VLMError for a name that is none of these or a device that is not there; AssetError or AdapterError if a part is missing or damaged.
    """
    if missing := device_fault(str(device)):
        raise VLMError(missing)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "tiny":
        model, processor = build_tiny(seed)
    else:
        adapter = _adapter_folder(name)
        model, processor = _load_folder(name if adapter is None and name not in NAMES else build_mini())
        if adapter is not None:
            if (adapter / "made_for.json").is_file():  # tuned with the connector of stage 1 frozen
                apply_adapter(model, _adapter_folder("mini-stage1"))
            apply_adapter(model, adapter)
        if name == "mini-untrained":
            model = untrained(model, seed)
    return VLM(name, model.to(device).eval(), processor)


def check_batch(prompts: list[str], images: list[Image.Image] | None, answers: list[str] | None = None) -> None:
    """Raises VLMError for pictures that are none, counts that differ, or no prompts."""
    counts = {len(prompts)} | {len(group) for group in (images, answers) if group is not None}
    if not prompts or len(counts) > 1:
        raise VLMError(f"A batch needs at least one prompt, and one picture and one answer for each or none at all; "
                       f"got {len(prompts)} prompts, {'no' if images is None else len(images)} pictures and "
                       f"{'no' if answers is None else len(answers)} answers.")
    for image in images or []:
        if not isinstance(image, Image.Image):
            raise VLMError(f"A picture must be a PIL image, got {type(image).__name__}: open files with "
                           f"PIL.Image.open(path).")


def _adapter_folder(name: str) -> Path | None:
    """The adapters that a name stands for, or None."""
    shipped = {"mini": "mini-tuned", "mini-stage1": "mini-stage1"}
    if name in shipped:
        return repo_root() / "data" / "adapters" / shipped[name]
    ours = any((Path(name) / file).is_file() for file in ("connector.safetensors", "made_for.json"))
    return Path(name) if ours else None


def _load_folder(name: str | Path):
    try:
        if not Path(name).is_dir() and not re.fullmatch(r"[\w.-]+/[\w.-]+", str(name)):
            raise ValueError("neither a folder nor a hub id")  # a hub is not asked for what can only be a slip
        model = AutoModelForImageTextToText.from_pretrained(name, dtype=torch.float32)
        entry.restore(model)
        return model, AutoProcessor.from_pretrained(name)
    except (OSError, ValueError, SafetensorError) as error:
        raise VLMError(f"No usable model {str(name)!r}: give one of {', '.join(NAMES)}, a whole folder written by "
                       f"save_pretrained, or a hub id of an image-text model that this machine can reach.") from error
