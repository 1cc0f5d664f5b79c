"""`VLM`: any Hugging Face image-text model behind one small interface. Experiments speak to this and nothing below it.

The decoder blocks are found as ``model.get_decoder().layers`` and image tokens by ``config.image_token_id``, so that the
mini model and, say, ``llava-hf/llava-1.5-7b-hf`` run through the same code.
"""

import hashlib
import logging
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModelForImageTextToText, AutoProcessor

from paperlib.models import late_entry as entry
from paperlib.models.adapters import apply_adapter
from paperlib.models.assemble import build_mini, build_tiny, untrained
from paperlib.models.image_cache import remembering
from paperlib.models.inputs import Batch, VLMError, check_batch, check_made, check_words
from paperlib.models.late_entry import entered
from paperlib.models.names import NAMES, adapter_folder, check_name, hub_source, no_model
from paperlib.study.parameters import device_fault

# Processors say once per process that they fall back to PIL; this project has no torchvision on purpose.
logging.getLogger("transformers.image_processing_backends").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Spans:
    """Positions of one sequence's tokens, each a 1-D LongTensor: image tokens; the prompt's text after the image (from
    the start if there is none), chat template included, whose last position is where the answer starts; answer tokens.
    """

    image: torch.Tensor
    question: torch.Tensor
    answer: torch.Tensor


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
        """A question in the model's chat format, up to where the answer starts.

        Raises VLMError for a question that is no text or holds one of the tokenizer's special tokens, which would be read
        as a picture's place or as turns of a chat.
        """
        check_words(question, tokenizer=self.tokenizer)
        content = [{"type": "image"}] * has_image + [{"type": "text", "text": question}]
        return self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)

    def batch(self, prompts: list[str], images: list[Image.Image] | None, answers: list[str] | None = None) -> Batch:
        """Prompts, one picture each or none at all, and answers to follow them, as padded model inputs on the device.

        Padding is on the right, and pictures are `inputs.as_shown`. Raises VLMError for pictures and texts that are none,
        counts that differ, no prompts, prompts whose places for a picture are not as many as the pictures, more tokens
        than the model's context, and answers to a processor that ends prompts by itself (PaliGemma's): they would not
        stand where they seem to.
        """
        images = check_batch(prompts, images, answers)
        if answers is not None and "labels" in self.processor.model_input_names:
            raise VLMError(
                f"{type(self.processor).__name__} writes on behind the prompt, so answers cannot be put there: "
                f"use another family of models to score answers."
            )
        texts = prompts if answers is None else [p + a for p, a in zip(prompts, answers)]
        self.tokenizer.padding_side = "right"
        # A list for each prompt: Gemma 3's and SmolVLM's processors would take a flat one for one prompt's pictures.
        kwargs = dict(images=[[image] for image in images]) if images is not None else {}
        try:
            made = self.processor(text=texts, padding=True, return_tensors="pt", **kwargs)
        except ValueError as error:
            reason = " ".join(str(error).split()).rstrip(".").replace(". ", "; ")
            raise VLMError(
                f"These prompts and pictures do not go together ({reason}): make prompts with VLM.prompt, with "
                f"has_image=False where there is no picture."
            ) from error
        self._check_length(made["input_ids"].shape[1])
        batch = Batch(made.to(self.device))
        heads = self.tokenizer(prompts)["input_ids"]
        wholes = self.tokenizer(texts)["input_ids"]
        batch.answer_lengths = [len(whole) - len(head) for head, whole in zip(heads, wholes)]
        return batch

    def spans(self, batch: Batch) -> list[Spans]:
        """Where image, question and answer tokens sit in each sequence of a right-padded batch.

        Raises VLMError for what is no batch as `batch` makes it.
        """
        check_made(batch)
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
        """`answer` for many: questions of equal prompt length share a batch, so that nothing needs left padding.

        Raises VLMError as `prompt` and `batch` do, for a context too short for the answer as well, and for fewer than one
        new token.
        """
        if type(max_new_tokens) is not int or max_new_tokens < 1:
            raise VLMError(f"max_new_tokens must be a whole number of at least 1, got {max_new_tokens!r}.")
        images = check_batch(questions, images)
        prompts = [self.prompt(q, images is not None) for q in questions]
        lengths = [len(ids) for ids in self.tokenizer(prompts)["input_ids"]]
        replies = [""] * len(prompts)
        for length in sorted(set(lengths)):
            rows = [i for i, n in enumerate(lengths) if n == length]
            batch = self.batch([prompts[i] for i in rows], images and [images[i] for i in rows])
            self._check_length(batch["input_ids"].shape[1] + max_new_tokens)
            new = self.model.generate(**batch, max_new_tokens=max_new_tokens, do_sample=False)
            for i, ids in zip(rows, new[:, batch["input_ids"].shape[1] :]):
                replies[i] = self.tokenizer.decode(ids, skip_special_tokens=True).strip()
        return replies

    def _check_length(self, tokens: int) -> None:
        context = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if context and tokens > context:
            raise VLMError(
                f"This needs {tokens} tokens, picture, question and answer together, but the model's context is "
                f"{context}: ask in fewer words, or for fewer new tokens."
            )


def load_vlm(name: str | Path, device: str = "auto", seed: int = 0) -> VLM:
    """Load a model in float32, in evaluation mode.

    name: "mini" (both stages), "mini-stage1" (connector only, the LLM as it was), "mini-base" (assembled, connector
    random), "mini-untrained" (random LLM and connector from ``seed``), "tiny" (random, for tests), a local folder as
    `save_pretrained` writes it, a folder of adapters of the mini model, or a hub id.
    device: "auto" takes a GPU where there is one.
    Raises VLMError for a name that is none of these, and tells what may have been meant, and for a device that is not
    there; AssetError or AdapterError if a part is missing or damaged; DiskError where there is no space to assemble the
    mini model.
    """
    name = check_name(name)
    if missing := device_fault(str(device)):
        raise VLMError(missing)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "tiny":
        model, processor = build_tiny(seed)
    else:
        adapter = adapter_folder(name)
        model, processor = _load_folder(name if adapter is None and name not in NAMES else build_mini())
        if adapter is not None:
            if (adapter / "made_for.json").is_file():  # tuned with the connector of stage 1 frozen
                apply_adapter(model, adapter_folder("mini-stage1"))
            apply_adapter(model, adapter)
        if name == "mini-untrained":
            model = untrained(model, seed)
    return VLM(name, model.to(device).eval(), processor)


def _load_folder(name: str | Path):
    try:
        source = name if Path(name).is_dir() else hub_source(name)
        model = AutoModelForImageTextToText.from_pretrained(source, dtype=torch.float32)
        entry.restore(model)
        return model, AutoProcessor.from_pretrained(source)
    except VLMError:
        raise
    except (OSError, ValueError, SafetensorError) as error:
        raise no_model(str(name)) from error


def fingerprint(vlm: VLM) -> str:
    """sha256 over the names and bytes of all weights, and where image tokens enter: two models that compute alike share
    it, others don't.
    """
    entry = entered(vlm.model)
    digest = hashlib.sha256(f"{entry.block} {entry.scale}".encode() if entry else b"")
    for name, tensor in sorted(vlm.model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
