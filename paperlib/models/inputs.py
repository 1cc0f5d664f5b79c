"""What a model can be given: pictures as a viewer shows them, words that are words, and batches as `VLM.batch` makes them.

Whatever else is given is refused here, with a VLMError, before a model sees it.
"""

from collections.abc import Sequence

from PIL import Image

from paperlib.tasks.pictures import PictureError, as_shown


class VLMError(ValueError):
    """A model, picture or prompt cannot be used; the message is one sentence that says what to do."""


class Batch(dict):
    """Model inputs (``model(**batch)``) that remember how many answer tokens end each sequence."""

    answer_lengths: list[int]


def check_words(text: str, what: str = "question", tokenizer=None) -> None:
    """Raises VLMError unless ``text`` is text that can be encoded and, if a tokenizer is given, that holds none of its
    special tokens: these would be read as a picture's place or as the end of a turn, not as the words that they are.
    """
    if not isinstance(text, str):
        raise VLMError(f"A {what} must be text, got {type(text).__name__}: give a str.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise VLMError(
            f"The {what} holds {text[error.start]!r}, half a character that no text encodes: decode its source "
            f"anew, or leave that out."
        ) from error
    if tokenizer is None:
        return
    held = [token for token in special_tokens(tokenizer) if token in text]
    if held:
        raise VLMError(
            f"The {what} holds {held[0]!r}, which this model does not read as words: leave it out, or write it "
            f"in another way."
        )


def special_tokens(tokenizer) -> list[str]:
    """The words that a tokenizer turns into single tokens with a meaning of their own, longest first."""
    added = (token.content for token in getattr(tokenizer, "added_tokens_decoder", {}).values() if token.special)
    return sorted({*getattr(tokenizer, "all_special_tokens", ()), *added}, key=lambda token: (-len(token), token))


def check_batch(
    prompts: Sequence[str], images: Sequence[Image.Image] | None, answers: Sequence[str] | None = None
) -> list[Image.Image] | None:
    """The pictures `as_shown`. Raises VLMError for what is no list of texts or pictures, counts that differ, no prompts,
    and as `check_words` and `as_shown` do.
    """
    given = {what: group for what, group in (("pictures", images), ("answers", answers)) if group is not None}
    groups = {"prompts or questions": prompts, **given}
    for what, group in groups.items():
        if isinstance(group, (str, bytes)) or not isinstance(group, Sequence):
            raise VLMError(
                f"The {what} of a batch must be a list, got {type(group).__name__}: put a single one into brackets."
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
    """The batch itself. Raises VLMError unless it is as `VLM.batch` makes them: plain inputs do not tell where an answer
    starts.
    """
    made = isinstance(batch, Batch) and {"input_ids", "attention_mask"} <= batch.keys()
    if not made or len(getattr(batch, "answer_lengths", ())) != len(batch["input_ids"]):
        raise VLMError(
            f"A batch must be as VLM.batch makes it, got {type(batch).__name__} that does not tell where each "
            f"row's answer starts: call vlm.batch(prompts, pictures, answers) and pass what it returns."
        )
    return batch
