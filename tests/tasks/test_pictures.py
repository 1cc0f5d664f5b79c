"""Pictures of every mode become what a viewer shows, in RGB."""

import numpy as np
import pytest
from PIL import Image
from small_models import one_sentence

from paperlib.tasks.benchmarks import PictureFile
from paperlib.tasks.pictures import PictureError, as_shown


def test_an_rgb_picture_is_itself():
    picture = Image.new("RGB", (3, 2), (1, 2, 3))
    assert as_shown(picture) is picture


def test_transparent_pixels_are_white_and_the_given_picture_stays():
    picture = Image.new("RGBA", (2, 1), (10, 20, 30, 255))
    picture.putpixel((1, 0), (10, 20, 30, 0))
    shown = as_shown(picture)
    assert [shown.getpixel((x, 0)) for x in (0, 1)] == [(10, 20, 30), (255, 255, 255)] and picture.mode == "RGBA"


def test_greys_of_16_bits_are_scaled():
    values = np.array([[0, 257, 65535]], np.uint16)
    assert np.asarray(as_shown(Image.fromarray(values)))[0, :, 0].tolist() == [0, 1, 255]


@pytest.mark.parametrize(
    "picture, message",
    [
        ("dog.png", "must be a PIL image, got str"),
        (Image.new("RGB", (0, 4)), "no pixels"),
        (Image.new("RGBA", (2, 2)), "all of it is transparent"),
        (Image.new("F", (2, 2), 0.5), "what is white"),
    ],
)
def test_what_cannot_be_shown_is_refused(picture, message):
    with pytest.raises(PictureError, match=message) as error:
        as_shown(picture)
    one_sentence(error.value)


@pytest.mark.parametrize("start", [b"P6\n6z 4\n255\n", b"P5\n" + b"9" * 30 + b" 4\n255\n", b"P6\n4 4\n2{5\n"])
def test_a_file_whose_beginning_is_damaged(start, tmp_path):
    """Pillow's reader of such files raises a ValueError of its own."""
    (tmp_path / "a.ppm").write_bytes(start + bytes(48))
    with pytest.raises(PictureError, match="a.ppm is not a picture that can be opened"):
        PictureFile(tmp_path / "a.ppm").render()
