"""Checks of what a model is given: pictures, words, and batches made by `VLM.batch`.

Anything else is refused with a VLMError before a model sees it.
"""

from collections.abc import Sequence
from typing import Any

from PIL import Image

from paperlib.tasks.pictures import PictureError, as_shown


class VLMError(ValueError):
    """A model, picture or prompt cannot be used. The message is one sentence that says what to do."""


class Batch(dict):
    """Model inputs (``model(**batch)``) that remember how many answer tokens end each sequence."""

    answer_lengths: list[int]


def check_words(text: str, what: str = "question", tokenizer: Any = None) -> None:
    """Raises VLMError unless ``text`` is a str that can be encoded.

    With a tokenizer, none of its special tokens may be in it: the model would read them as a picture's place or as the
    end of a turn.
    """
    if not isinstance(text, str):
        raise VLMError(f"A {what} must be text, got {type(text).__name__}: give a str.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise VLMError(
            f"The {what} holds {text[error.start]!r}, half of a surrogate pair, which cannot be encoded: decode its "
            f"source again, or remove it."
        ) from error
    if tokenizer is None:
        return
    held = [token for token in special_tokens(tokenizer) if token in text]
    if held:
        raise VLMError(
            f"The {what} holds {held[0]!r}, a special token that this model does not read as words: remove it, "
            f"or spell it differently."
        )


def special_tokens(tokenizer: Any) -> list[str]:
    """The special tokens of a tokenizer, longest first."""
    added = (token.content for token in getattr(tokenizer, "added_tokens_decoder", {}).values() if token.special)
    return sorted({*getattr(tokenizer, "all_special_tokens", ()), *added}, key=lambda token: (-len(token), token))


def check_batch(
    prompts: Sequence[str], images: Sequence[Image.Image] | None, answers: Sequence[str] | None = None
) -> list[Image.Image] | None:
    """The pictures as a viewer shows them (`pictures.as_shown`).

    Raises VLMError for anything that is not a list, for counts that differ, for no prompts, for anything that is not
    text (`check_words`) and for anything that is not a PIL image.
    """
    given = {what: group for what, group in (("pictures", images), ("answers", answers)) if group is not None}
    groups = {"prompts or questions": prompts, **given}
    for what, group in groups.items():
        if isinstance(group, (str, bytes)) or not isinstance(group, Sequence):
            raise VLMError(
                f"The {what} of a batch must be a list, got {type(group).__name__}: put a single one in brackets, "
                f"as in [one]."
            )
    if not prompts or len({len(group) for group in groups.values()}) > 1:
        raise VLMError(
            f"A batch needs at least one prompt, and one picture and one answer for each or none at all; "
            f"got {len(prompts)} prompts, {'no' if images is None else len(images)} pictures and "
            f"{'no' if answers is None else len(answers)} answers."
        )
    for what, group in (("prompt or question", prompts), ("answer", answers or ())):
        for text in group:
            check_words(text, what)
    try:
        return None if images is None else [as_shown(image) for image in images]
    except PictureError as error:
        raise VLMError(str(error)) from error


def check_made(batch: Batch) -> Batch:
    """The batch itself. Raises VLMError unless `VLM.batch` made it: other inputs do not say where an answer starts."""
    made = isinstance(batch, Batch) and {"input_ids", "attention_mask"} <= batch.keys()
    if not made or len(getattr(batch, "answer_lengths", ())) != len(batch["input_ids"]):
        raise VLMError(
            f"A batch must be made by VLM.batch, but got a {type(batch).__name__} that does not say where each row's "
            f"answer starts: pass what vlm.batch(prompts, pictures, answers) returns."
        )
    return batch


def check_length(model: Any, tokens: int) -> None:
    """Raises VLMError if a sequence of so many tokens does not fit into a model's context."""
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if context and tokens > context:
        raise VLMError(
            f"Picture, question and answer need {tokens} tokens, but the model's context is {context}: ask in fewer "
            f"words, or for fewer new tokens."
        )
