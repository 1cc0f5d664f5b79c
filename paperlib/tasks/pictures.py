"""Pictures as a viewer shows them: any PIL image in RGB, 8 bits a channel, or a sentence that says why not."""

from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from PIL import ExifTags, Image, ImageOps

WHITE = (255, 255, 255)


class Picture(Protocol):
    """Whatever can be shown to a model: a scene, a chart, a file."""

    def render(self) -> Image.Image:
        """The picture, RGB."""


class PictureError(ValueError):
    """A picture cannot be shown; the message is one sentence that says what to do."""


def opened(file: Path | BinaryIO, what: str) -> Image.Image:
    """The picture in a file, in RGB as a viewer shows it; of an animation, the first frame.

    what: how messages name it. Raises PictureError for a file that is not there or no picture, and as `as_shown`.
    """
    try:
        with Image.open(file) as image:
            return as_shown(image, what).copy()  # what is shown outlives the open file
    except PictureError:
        raise
    except Exception as error:  # the system, and each of Pillow's readers in its own way
        raise PictureError(f"{what} is not a picture that can be opened.") from error


def as_shown(picture: Image.Image, what: str = "The picture") -> Image.Image:
    """The picture in RGB, 8 bits a channel, as a viewer shows it. The given one is not changed.

    It is turned as its EXIF data say. Transparent pixels become white, as on a page, not the colour hidden there.
    16-bit greys (mode "I;16") are divided by 257, so that 65535 is white. 32-bit whole numbers ("I") are taken as 8-bit
    greys if all lie in 0 to 255. Floats ("F") are refused: their white may be 1 or 255.

    what: how messages name it. Raises PictureError for anything that is not a PIL image, for an image without pixels,
    all transparent, closed, cut off or damaged, and for a mode or range that is not clear.
    """
    if not isinstance(picture, Image.Image):
        raise PictureError(
            f"A picture must be a PIL image, got {type(picture).__name__}: open files with PIL.Image.open(path)."
        )
    if not all(picture.size):
        raise PictureError(f"{what} has no pixels ({picture.width} x {picture.height}): give one with at least one.")
    try:
        picture.load()
        if picture.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            picture = ImageOps.exif_transpose(picture)
        return picture if picture.mode == "RGB" and not picture.has_transparency_data else _on_white(picture, what)
    except PictureError:
        raise
    except Exception as error:  # each of Pillow's decoders fails in its own way
        raise PictureError(
            f"{what} (mode {picture.mode}, {picture.width} x {picture.height}) cannot be read "
            f"({type(error).__name__}): open its file again, or convert it to RGB."
        ) from error


def _on_white(picture: Image.Image, what: str) -> Image.Image:
    """A picture of any mode in RGB, what is transparent white."""
    if picture.mode == "F" or picture.mode.startswith("I"):
        return _grey(picture, what).convert("RGB")
    if not picture.has_transparency_data and picture.mode not in ("La", "RGBa"):
        return picture.convert("RGB")
    layer = picture.convert({"La": "LA"}.get(picture.mode, picture.mode)).convert("RGBA")
    _check_visible(np.asarray(layer)[..., 3].any(), what)
    return Image.alpha_composite(Image.new("RGBA", layer.size, (*WHITE, 255)), layer).convert("RGB")


def _grey(picture: Image.Image, what: str) -> Image.Image:
    """A grey picture of more than 8 bits, in 8 bits (mode "L")."""
    values = np.asarray(picture)
    if picture.mode == "F" or (picture.mode == "I" and not 0 <= values.min() <= values.max() <= 255):
        raise PictureError(
            f"{what} holds values (mode {picture.mode}, {values.min():g} to {values.max():g}) that do not say "
            f"what is white: scale them to 0 to 255 and give Image.fromarray(values.astype('uint8'))."
        )
    grey = values if picture.mode == "I" else np.rint(values / 257)
    if "transparency" in picture.info:  # a PNG of 16 bits names one value that is transparent
        hidden = values == picture.info["transparency"]
        _check_visible(not hidden.all(), what)
        grey = np.where(hidden, 255, grey)
    return Image.fromarray(grey.astype(np.uint8))


def _check_visible(visible: bool | np.bool, what: str) -> None:
    if not visible:
        raise PictureError(
            f"{what} shows nothing, for all of it is transparent: give one with something to see, or drop "
            f"its alpha channel with picture.convert('RGB')."
        )
