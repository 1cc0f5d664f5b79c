"""The processor of a model: tokenizer, image processor and chat template.

Many families' processors also hold one for videos, which needs torchvision. The study shows pictures alone, so where
that package is missing, the processor is made without its part for videos.
"""

from __future__ import annotations

import functools
from typing import Any

from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoProcessor,
    AutoTokenizer,
    PaliGemmaProcessor,
    ProcessorMixin,
)
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from transformers.utils import is_torchvision_available

from paperlib.models.input_checks import VLMError

VIDEO = "video_processor"
# How PaliGemma is asked; it has no turns. Its own repository has no template.
PREFIX = (
    "{% for message in messages %}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>' }}{% endfor %}{{ bos_token }}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}{{ '\n' }}{% endfor %}"
)


def load_processor(source: str, name: str | None = None, **options: Any) -> Any:
    """The processor of a folder or hub id. options: of `from_pretrained`, such as the revision.

    name: how messages call the source. Raises VLMError for a processor that cannot be made with the packages that are
    here, and for a source without the files of one.
    """
    name = name or source
    kind = PROCESSOR_MAPPING.get(type(AutoConfig.from_pretrained(source, **options)), None)
    called = "The processor" if kind is None else kind.__name__
    try:
        if kind is not None and VIDEO in kind.get_attributes() and not is_torchvision_available():
            made = _without_videos(kind, source, options)
        else:
            made = AutoProcessor.from_pretrained(source, **options)
    except ImportError as error:
        missing = " ".join(str(error).split())[:120].rstrip(".").replace(". ", "; ")
        raise VLMError(
            f"{called} of {name!r} needs a package that is not here ({missing}): install it, or choose another model."
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:  # a file that is missing, or holds something else
        reason = " ".join(str(error).split())[:120].rstrip(".").replace(". ", "; ")
        raise VLMError(
            f"{called} of {name!r} cannot be opened ({reason}): give a whole folder, with the files "
            f"that processor.save_pretrained writes."
        ) from error
    if getattr(made, "image_processor", None) is None or getattr(made, "tokenizer", None) is None:
        raise VLMError(
            f"{name!r} has no processor with a tokenizer and an image processor, only a {type(made).__name__}: write "
            f"the files of its processor beside the model (processor.save_pretrained)."
        )
    if isinstance(made, PaliGemmaProcessor):
        return WholePrompts(made.image_processor, made.tokenizer, chat_template=made.chat_template or PREFIX)
    return made


def encode(tokenizer: Any, texts: str | list[str], **options: Any) -> Any:
    """What a tokenizer makes of prompts as `VLM.batch` does, but for pictures, whose place is one token."""
    return tokenizer(texts, add_special_tokens=not begun(tokenizer, texts), **options)


def processed(processor: Any, texts: list[str], pictures: list[list] | None, **options: Any) -> Any:
    """What a processor makes of texts, padded on the right, and of the pictures of each, or None for none at all.

    options: of the processor, such as ``return_tensors``.
    """
    processor.tokenizer.padding_side = "right"
    # The side is said to both: InternVL's processor has one of its own.
    options |= {"padding": True, "padding_side": "right", "add_special_tokens": not begun(processor.tokenizer, texts)}
    return processor(text=texts, images=pictures, **options)


def begun(tokenizer: Any, texts: str | list[str]) -> bool:
    """Whether the chat template has written the token that begins a text (Gemma's), so that none is to be added."""
    first = texts if isinstance(texts, str) else texts[0]
    return bool(tokenizer.bos_token) and first.startswith(tokenizer.bos_token)


class WholePrompts(PaliGemmaProcessor):
    """PaliGemma's processor for prompts that hold all that the model reads before an answer.

    The original writes the end of a prompt by itself, so that no answer could follow, and takes no text without a
    picture. Here its chat template writes the same.
    """

    prepare_inputs_layout = ProcessorMixin.prepare_inputs_layout
    validate_inputs = ProcessorMixin.validate_inputs


WholePrompts.__name__ = PaliGemmaProcessor.__name__  # so that what it saves is read as that of the original


def _without_videos(kind: Any, source: str, options: dict) -> Any:
    """A processor of this kind whose part for videos is left out."""
    settings, _ = kind.get_processor_dict(source, **options)
    images = AutoImageProcessor.from_pretrained(source, **options)
    tokenizer = AutoTokenizer.from_pretrained(source, **options)
    settings.pop(VIDEO, None)
    # The part is still an argument of the constructor, which takes None for it.
    return _pictures_only(kind).from_args_and_dict([images, tokenizer, None], settings)


@functools.cache
def _pictures_only(kind: Any) -> Any:
    """A class of the same name, so that what it saves is read as that of the original, without the part for videos."""
    parts = [part for part in kind.get_attributes() if part != VIDEO]
    return type(kind.__name__, (kind,), {"get_attributes": classmethod(lambda cls: list(parts)), VIDEO: _NoVideos()})


class _NoVideos:
    """Stands where a processor for videos would: some chat templates ask it for settings."""

    num_frames = fps = None
