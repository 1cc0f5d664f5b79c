"""The processor of a model: tokenizer, image processor and chat template.

Many families' processors also hold one for videos, which needs torchvision. The study shows pictures alone, so where
that package is missing, the processor is made without its part for videos.
"""

from __future__ import annotations

from typing import Any
from unittest import mock

from transformers import AutoConfig, AutoImageProcessor, AutoProcessor, AutoTokenizer
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from transformers.utils import is_torchvision_available

from paperlib.models.input_checks import VLMError

VIDEO = "video_processor"


def load_processor(source: str, **options: Any) -> Any:
    """The processor of a folder or hub id. options: of `from_pretrained`, such as the revision.

    Raises VLMError for a processor that cannot be made with the packages that are here.
    """
    kind = PROCESSOR_MAPPING.get(type(AutoConfig.from_pretrained(source, **options)), None)
    needs_videos = kind is not None and VIDEO in kind.get_attributes()
    try:
        if needs_videos and not is_torchvision_available():
            return _without_videos(kind, source, options)
        return AutoProcessor.from_pretrained(source, **options)
    except ImportError as error:
        name = "the processor" if kind is None else kind.__name__
        missing = " ".join(str(error).split())[:160]
        raise VLMError(
            f"{name} of {source!r} needs a package that is not here ({missing}): install it, or choose another model."
        ) from error


def _without_videos(kind: Any, source: str, options: dict) -> Any:
    """A processor of this kind whose part for videos is left out."""
    parts = [part for part in kind.get_attributes() if part != VIDEO]
    settings, _ = kind.get_processor_dict(source, **options)
    images = AutoImageProcessor.from_pretrained(source, **options)
    tokenizer = AutoTokenizer.from_pretrained(source, **options)
    settings.pop(VIDEO, None)
    # The part is still a parameter of the class; told that it has no such part, it takes None for it.
    with mock.patch.object(kind, "get_attributes", classmethod(lambda cls: parts)):
        made = kind.from_args_and_dict([images, tokenizer, None], settings)
    made.video_processor = _NoVideos()
    return made


class _NoVideos:
    """Stands where a processor for videos would: some templates ask it for settings."""

    num_frames = fps = None
    model_input_names = ()
