"""What a model can be given: pictures as a viewer shows them, words that are words, and batches as `VLM.batch` makes them.

Whatever else is given is refused here, with a VLMError, before a model sees it.
"""

from collections.abc import Sequence

import numpy as np
from PIL import ExifTags, Image, ImageOps

WHITE = (255, 255, 255)


class VLMError(ValueError):
    """A model, picture or prompt cannot be used; the message is one sentence that says what to do."""


class Batch(dict):
    """Model inputs (``model(**batch)``) that remember how many answer tokens end each sequence."""

    answer_lengths: list[int]


def as_shown(picture: Image.Image, what: str = "The picture") -> Image.Image:
    """The picture in RGB, 8 bits a channel, as a viewer shows it; the one given is read if it was not, and stays as
    it is.

    It is turned as its EXIF data say. What is transparent shows white, as on a page, not the colour that is hidden there.
    16-bit greys (mode "I;16") are scaled by 257, so that 65535 is white. 32-bit whole numbers ("I") are taken as 8-bit
    greys if all lie in 0 to 255. Floats ("F") have no range that all agree on, 0 to 1 or 0 to 255, and are refused.

    what: how messages name it. Raises VLMError for what is no PIL image, for one without pixels, all transparent, closed,
    cut off or damaged, and for a mode or range that is not clear.
    """
    if not isinstance(picture, Image.Image):
        raise VLMError(f"A picture must be a PIL image, got {type(picture).__name__}: open files with "
                       f"PIL.Image.open(path).")
    if not all(picture.size):
        raise VLMError(f"{what} has no pixels ({picture.width} x {picture.height}): give one with at least one.")
    try:
        picture.load()
        if picture.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            picture = ImageOps.exif_transpose(picture)
        return picture if picture.mode == "RGB" and not picture.has_transparency_data else _on_white(picture, what)
    except VLMError:
        raise
    except Exception as error:  # each of Pillow's decoders fails in its own way, a closed file with an empty AssertionError
        raise VLMError(f"{what} (mode {picture.mode}, {picture.width} x {picture.height}) cannot be read "
                       f"({type(error).__name__}), for it is closed, cut off, damaged or of an odd mode: open its file "
                       f"again, or convert it to RGB.") from error


def _on_white(picture: Image.Image, what: str) -> Image.Image:
    """A picture of any mode in RGB, what is transparent white."""
    if picture.mode == "F" or picture.mode.startswith("I"):
        return _grey(picture, what).convert("RGB")
    if not picture.has_transparency_data and picture.mode not in ("La", "RGBa"):
        return picture.convert("RGB")
    layer = picture.convert({"La": "LA"}.get(picture.mode, picture.mode)).convert("RGBA")
    _check_visible(layer.getextrema()[3][1], what)
    return Image.alpha_composite(Image.new("RGBA", layer.size, (*WHITE, 255)), layer).convert("RGB")


def _grey(picture: Image.Image, what: str) -> Image.Image:
    """A grey picture of more than 8 bits, in 8 bits (mode "L")."""
    values = np.asarray(picture)
    if picture.mode == "F" or picture.mode == "I" and not 0 <= values.min() <= values.max() <= 255:
        raise VLMError(f"{what} holds values (mode {picture.mode}, {values.min():g} to {values.max():g}) that do not say "
                       f"what is white: scale them to 0 to 255 and give Image.fromarray(values.astype('uint8')).")
    grey = values if picture.mode == "I" else np.rint(values / 257)
    if "transparency" in picture.info:  # a PNG of 16 bits names one value that is transparent
        hidden = values == picture.info["transparency"]
        _check_visible(not hidden.all(), what)
        grey = np.where(hidden, 255, grey)
    return Image.fromarray(grey.astype(np.uint8))


def _check_visible(visible: bool, what: str) -> None:
    if not visible:
        raise VLMError(f"{what} shows nothing, for all of it is transparent: give one with something to see, or drop "
                       f"its alpha channel with picture.convert('RGB').")


def check_words(text: str, what: str = "question", tokenizer=None) -> None:
    """Raises VLMError unless ``text`` is text that can be encoded and, if a tokenizer is given, that holds none of its
    special tokens: these would be read as a picture's place or as the end of a turn, not as the words that they are."""
    if not isinstance(text, str):
        raise VLMError(f"A {what} must be text, got {type(text).__name__}: give a str.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise VLMError(f"The {what} holds {text[error.start]!r}, half a character that no text encodes: decode its source "
                       f"anew, or leave that out.") from error
    if tokenizer is None:
        return
    held = [token for token in special_tokens(tokenizer) if token in text]
    if held:
        raise VLMError(f"The {what} holds {held[0]!r}, which this model does not read as words: leave it out, or write it "
                       f"in another way.")


def special_tokens(tokenizer) -> list[str]:
    """The words that a tokenizer turns into single tokens with a meaning of their own, longest first."""
    added = (token.content for token in getattr(tokenizer, "added_tokens_decoder", {}).values() if token.special)
    return sorted({*getattr(tokenizer, "all_special_tokens", ()), *added}, key=lambda token: (-len(token), token))


def check_batch(prompts: Sequence[str], images: Sequence[Image.Image] | None,
                answers: Sequence[str] | None = None) -> list[Image.Image] | None:
    """The pictures `as_shown`. Raises VLMError for what is no list of texts or pictures, counts that differ, no prompts,
    and as `check_words` and `as_shown` do."""
    given = {what: group for what, group in (("pictures", images), ("answers", answers)) if group is not None}
    groups = {"prompts or questions": prompts, **given}
    for what, group in groups.items():
        if isinstance(group, (str, bytes)) or not isinstance(group, Sequence):
            raise VLMError(f"The {what} of a batch must be a list, got {type(group).__name__}: put a single one into "
                           f"brackets.")
    if not prompts or len({len(group) for group in groups.values()}) > 1:
        raise VLMError(f"A batch needs at least one prompt, and one picture and one answer for each or none at all; "
                       f"got {len(prompts)} prompts, {'no' if images is None else len(images)} pictures and "
                       f"{'no' if answers is None else len(answers)} answers.")
    for what, group in (("prompt or question", prompts), ("answer", answers or ())):
        for text in group:
            check_words(text, what)
    return None if images is None else [as_shown(image) for image in images]


def check_made(batch: Batch) -> Batch:
    """The batch itself. Raises VLMError unless it is as `VLM.batch` makes them: plain inputs do not tell where an answer
    starts."""
    made = isinstance(batch, Batch) and {"input_ids", "attention_mask"} <= batch.keys()
    if not made or len(getattr(batch, "answer_lengths", ())) != len(batch["input_ids"]):
        raise VLMError(f"A batch must be as VLM.batch makes it, got {type(batch).__name__} that does not tell where each "
                       f"row's answer starts: call vlm.batch(prompts, pictures, answers) and pass what it returns.")
    return batch
