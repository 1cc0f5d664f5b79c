"""`VLM`: any Hugging Face image-text model behind one small interface. Experiments use it and nothing below it.

The decoder blocks are ``model.get_decoder().layers`` and image tokens have the id ``config.image_token_id``, so the
mini model and, say, ``llava-hf/llava-1.5-7b-hf`` run through the same code.
"""

import hashlib
import logging
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from paperlib.models.greedy import greedy
from paperlib.models.image_cache import cached_features
from paperlib.models.input_checks import Batch, VLMError, check_batch, check_length, check_made, check_words
from paperlib.models.loading import load_model
from paperlib.models.names import check_name
from paperlib.models.precision import chosen_device
from paperlib.models.processors import WholePrompts, encode, processed
from paperlib.models.unwrapping import base_model
from paperlib.models.wide_products import widen

# Processors say once per process that they fall back to PIL; this project has no torchvision on purpose.
logging.getLogger("transformers.image_processing_backends").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Spans:
    """Positions of one sequence's tokens, each a 1-D LongTensor.

    image: the image tokens. question: the prompt's text after the image (from the start if there is no image), chat
    template included; its last position is the answer position. answer: the tokens of the answer.
    """

    image: torch.Tensor
    question: torch.Tensor
    answer: torch.Tensor


@dataclass
class VLM:
    """A model with its processor. ``name`` is what it was loaded as. Linear layers are widened (`wide_products.widen`).

    The parts of a LLaVA; other families name them differently, and the properties on the right hide that::

        vlm.model                      LlavaForConditionalGeneration, perhaps with PEFT around it (vlm.base: without)
        |- model                       LlavaModel
        |  |- vision_tower             pixels [B, 3, S, S] -> a grid of feature vectors; frozen
        |  |- multi_modal_projector    connector: feature vectors -> image tokens, as wide as word embeddings
        |  `- language_model           decoder: vlm.base.get_decoder()
        |     |- embed_tokens          word embeddings; their output, with image tokens put in, is layer 0
        |     |- layers                blocks 0 to L - 1: vlm.layers; block l reads layer l, writes layer l + 1
        |     `- norm                  final norm  |
        `- lm_head                     head        |  together the unembedding: vlm.unembed(states)

    Example:
        >>> vlm = load_vlm("tiny", device="cpu")
        >>> len(vlm.layers)
        4
        >>> picture = Image.new("RGB", (64, 64), "red")
        >>> batch = vlm.batch([vlm.prompt("What colour is it?")], [picture], ["red"])
        >>> spans = vlm.spans(batch)[0]
        >>> len(spans.image), len(spans.answer)  # "tiny" spells with a token for each letter
        (16, 3)
        >>> logits = vlm.model(**batch).logits
        >>> logits.shape == (*batch["input_ids"].shape, len(vlm.tokenizer))
        True
    """

    name: str
    model: Any
    processor: Any
    placement: Any = field(default=None, repr=False, compare=False)  # a `placement.Placement`, if the model may wait

    def __post_init__(self) -> None:
        widen(self.model)

    @property
    def base(self) -> Any:
        """The transformers model, without PEFT around it. LoRA matrices stay in force."""
        return base_model(self.model)

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of the processor."""
        return self.processor.tokenizer

    @property
    def layers(self) -> nn.ModuleList:
        """The decoder blocks of the language model, first to last."""
        return self.model.get_decoder().layers

    @property
    def device(self) -> torch.device:
        """Where the model runs. Its weights are there, or wait until they are needed (`models.placement`)."""
        return next(self.model.parameters()).device if self.placement is None else self.placement.device

    def ready(self) -> None:
        """Bring the weights to the device, if they wait elsewhere; running any part of the model does the same."""
        if self.placement is not None:
            self.placement.use(self)

    @property
    def image_token_id(self) -> int:
        """The id of the token whose embedding is replaced by the connector's output."""
        return self.model.config.image_token_id

    def unembed(self, states: torch.Tensor) -> torch.Tensor:
        """Scores of all V tokens of the vocabulary, [..., V] in float32, from states [..., D] before the final norm.

        At layer L they are the logits of the model itself; at a lower layer they are the logit lens.
        """
        dtype = self.base.get_output_embeddings().weight.dtype
        return self.head(self.base.get_decoder().norm(states.to(self.device, dtype)))

    def head(self, normed: torch.Tensor) -> torch.Tensor:
        """`unembed` from the final norm on, as `residual.run` returns states: the head, and Gemma 2's cap on scores."""
        logits = self.base.get_output_embeddings()(normed).float()
        cap = getattr(self.base.config.get_text_config(), "final_logit_softcapping", None)
        return logits if cap is None else torch.tanh(logits / cap) * cap

    def prompt(self, question: str, has_image: bool = True) -> str:
        """A question in the model's chat format, up to where the answer begins.

        Raises VLMError for a question that is not text, and for one that holds a special token of the tokenizer: the
        model would read it as a picture's place or as the end of a turn.
        """
        check_words(question, tokenizer=self.tokenizer)
        content = [{"type": "image"}] * has_image + [{"type": "text", "text": question}]
        return self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)

    def batch(self, prompts: list[str], images: list[Image.Image] | None, answers: list[str] | None = None) -> Batch:
        """Prompts, one picture each or none at all, and answers to follow them, as padded model inputs on the device.

        Padding is on the right. Pictures are turned and flattened as a viewer shows them (`pictures.as_shown`).

        Raises VLMError for anything that is not a PIL image or not text, for counts that differ, for no prompts, for
        prompts with more or fewer places than pictures, and for more tokens than the model's context. It also refuses
        answers for a processor that ends prompts by itself (PaliGemma's), since they would stand in the wrong place.
        """
        images = check_batch(prompts, images, answers)
        self.ready()
        prefixed = "labels" in self.processor.model_input_names  # all but the answer attends in both directions
        if answers is not None and prefixed and not isinstance(self.processor, WholePrompts):
            kind = type(self.processor).__name__
            raise VLMError(f"{kind} adds text after the prompt, so answers cannot follow it: load it with load_vlm.")
        texts = prompts if answers is None else [p + a for p, a in zip(prompts, answers, strict=True)]
        # A list for each prompt: Gemma 3's and SmolVLM's processors would take a flat one for one prompt's pictures.
        pictures = None if images is None else [[image] for image in images]
        try:
            made = processed(self.processor, texts, pictures, return_tensors="pt")
        except ValueError as error:
            reason = " ".join(str(error).split()).rstrip(".").replace(". ", "; ")
            raise VLMError(
                f"These prompts and pictures do not go together ({reason}): make prompts with VLM.prompt, with "
                f"has_image=False where there is no picture."
            ) from error
        check_length(self.model, made["input_ids"].shape[1])
        if images is not None and not (made["input_ids"] == self.image_token_id).any(1).all():
            raise VLMError("Each prompt must have the place of its picture: make prompts with VLM.prompt.")
        batch = Batch(made.to(self.device))
        heads, wholes = (encode(self.tokenizer, part)["input_ids"] for part in (prompts, texts))
        batch.answer_lengths = [len(whole) - len(head) for head, whole in zip(heads, wholes, strict=True)]
        if batch.pop("labels", None) is not None:
            for types, span in zip(batch["token_type_ids"], self.spans(batch), strict=True):
                types[span.answer] = 1
        return batch

    def spans(self, batch: Batch) -> list[Spans]:
        """Where image, question and answer tokens sit in each sequence of a batch, padded on either side.

        Raises VLMError for anything that `batch` did not make.
        """
        check_made(batch)
        spans = []
        rows = batch["input_ids"].cpu(), batch["attention_mask"].cpu(), batch.answer_lengths
        for ids, mask, n_answer in zip(*rows, strict=True):
            first = int(mask.argmax())
            end = first + int(mask.sum())
            image = first + (ids[first:end] == self.image_token_id).nonzero().flatten()
            start = int(image[-1]) + 1 if len(image) else first
            spans.append(Spans(image, torch.arange(start, end - n_answer), torch.arange(end - n_answer, end)))
        return spans

    def cached_features(self, megabytes: int = 256) -> AbstractContextManager:
        """Encode each distinct picture once for as long as the ``with`` block runs (`image_cache.cached_features`)."""
        return cached_features(self.base, megabytes)

    def answer(self, image: Image.Image | None, question: str, max_new_tokens: int = 24) -> str:
        """What the model writes (greedy decoding) to a question about a picture, or without one."""
        return self.answers(None if image is None else [image], [question], max_new_tokens)[0]

    @torch.inference_mode()
    def answers(self, images: list[Image.Image] | None, questions: list[str], max_new_tokens: int = 24) -> list[str]:
        """`answer` for many questions. Those of equal length, pictures of equal size, share a batch: none is padded.

        Raises VLMError as `prompt` and `batch` do, if the answer does not fit into the context, and for fewer than one
        new token. `scoring.generation` asks examples, in padded batches.
        """
        if type(max_new_tokens) is not int or max_new_tokens < 1:
            raise VLMError(f"max_new_tokens must be a whole number of at least 1, got {max_new_tokens!r}.")
        images = check_batch(questions, images)
        prompts = [self.prompt(q, images is not None) for q in questions]
        sizes = [image.size for image in images] if images else [(0, 0)] * len(prompts)
        lengths = [len(ids) for ids in encode(self.tokenizer, prompts)["input_ids"]]
        alike = [(length, *size) for length, size in zip(lengths, sizes, strict=True)]
        replies = [""] * len(prompts)
        for kind in sorted(set(alike)):
            rows = [i for i, other in enumerate(alike) if other == kind]
            batch = self.batch([prompts[i] for i in rows], images and [images[i] for i in rows])
            for i, written in zip(rows, greedy(self.model, batch, max_new_tokens), strict=True):
                replies[i] = self.tokenizer.decode(written.tokens, skip_special_tokens=True).strip()
        return replies


def load_vlm(
    name: str | Path, device: str = "auto", seed: int = 0, dtype: str = "auto", attention: str = "auto"
) -> VLM:
    """Load a model in evaluation mode.

    name: "mini" (both stages), "mini-stage1" (connector trained, LLM as it was), "mini-base" (assembled, connector
    random), "mini-untrained" (random LLM and connector from ``seed``), "tiny" (random, for tests), a lineage's tuned
    model by the lineage's name or TOML file (`lineages.lineage_of`), a local folder as `save_pretrained` writes it, a
    folder of adapters of the mini model, or a hub id.
    device: "auto" takes a GPU if there is one. dtype: "float32", "bfloat16", "float16" or "auto", which is float32 on a
    CPU and for what is built here, else bfloat16. attention: "eager", "sdpa", or "auto" for what transformers takes.

    Raises VLMError for any other name (with the nearest name, if there is one), for a gated repository, and for a
    device that is not there; LineageError for a lineage's file that cannot be used; AssetError or AdapterError if a
    part is missing or damaged; DiskError without space to assemble the mini model.

    Example:
        >>> vlm = load_vlm("tiny", device="cpu")
        >>> sum(parameter.numel() for parameter in vlm.model.parameters()) < 200_000
        True
        >>> isinstance(vlm.answer(None, "Is it red?", max_new_tokens=3), str)  # random weights: random words
        True
        >>> load_vlm("tinny")
        Traceback (most recent call last):
            ...
        paperlib.models.input_checks.VLMError: No usable model 'tinny' (did you mean 'tiny'?): give one of ...
    """
    name = check_name(name)
    device = chosen_device(device)
    model, processor = load_model(name, seed, dtype, attention, device)
    return VLM(name, model.to(device).eval(), processor)


def fingerprint(vlm: VLM) -> str:
    """sha256 over the names and bytes of all weights and over a late entry, if there is one.

    Two models that compute the same share it, and others do not.
    """
    entry = getattr(vlm.base.config, "image_entry", None)  # as `late_entry.install` notes it
    digest = hashlib.sha256(f"{entry['enter']} {entry['scale']}".encode() if entry else b"")
    for name, tensor in sorted(vlm.model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
