"""Pictures of rows: every form in which they are stored, every mode by its pixels, and refusals with the row's id."""

import io

import numpy as np
import pytest
from PIL import Image
from public_rows import BLUE, FIXTURES, GREEN, RED, WHITE
from small_models import one_sentence

from paperlib.tasks.benchmarks import PictureFile
from paperlib.tasks.benchmarks.example import content_key, stored_picture
from paperlib.tasks.pictures import PictureError

FOLDER = FIXTURES / "json"


def png(picture):
    data = io.BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()


def test_a_file_that_is_no_picture_is_refused_in_one_sentence(tmp_path):
    good = tmp_path / "good.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(good)
    assert PictureFile(good).render().size == (32, 32)
    (tmp_path / "words.png").write_text("no picture", encoding="utf-8")
    (tmp_path / "empty.png").touch()
    (tmp_path / "half.png").write_bytes(good.read_bytes()[:600])
    spoilt = bytearray(good.read_bytes())
    spoilt[60:2000] = bytes(1940)
    (tmp_path / "spoilt.png").write_bytes(spoilt)
    for name in ("words.png", "empty.png", "half.png", "spoilt.png", "missing.png"):
        with pytest.raises(ValueError) as caught:
            PictureFile(tmp_path / name).render()
        assert name in str(caught.value) and str(tmp_path) not in str(caught.value)
        assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


@pytest.mark.parametrize("form", ["bytes", "dict", "dict with a path too", "PIL", "file", "dict with a file"])
def test_a_picture_in_every_form(form, tmp_path):
    picture = Image.new("RGB", (3, 2), RED)
    picture.save(tmp_path / "red.png")
    value = {
        "bytes": png(picture),
        "dict": {"bytes": png(picture), "path": None},
        "dict with a path too": {"bytes": png(picture), "path": "elsewhere.png"},
        "PIL": picture,
        "file": "red.png",
        "dict with a file": {"bytes": None, "path": "red.png"},
    }[form]
    shown = stored_picture(value, "7", tmp_path).render()
    assert shown.mode == "RGB" and shown.size == (3, 2) and shown.getpixel((2, 1)) == RED


@pytest.mark.parametrize(
    "file, inside, outside, size",
    [
        ("pope/pictures/see_through.png", RED, WHITE, (24, 16)),  # RGBA; what is transparent holds black
        ("scienceqa/pictures/palette.png", GREEN, WHITE, (24, 16)),
        ("scienceqa/pictures/cmyk.jpg", RED, WHITE, (24, 16)),
        ("mmmu/pictures/blue.jpg", BLUE, WHITE, (24, 16)),
        ("scienceqa/pictures/deep_grey.png", (0, 0, 0), WHITE, (24, 16)),  # 16 bits
    ],
)
def test_modes_by_their_pixels(file, inside, outside, size):
    shown = stored_picture(file, "7", FOLDER).render()
    assert shown.mode == "RGB" and shown.size == size
    near = 12 if file.endswith("jpg") else 0  # JPEG loses some
    assert np.abs(np.subtract(shown.getpixel((5, 8)), inside)).max() <= near
    assert np.abs(np.subtract(shown.getpixel((20, 2)), outside)).max() <= near


def test_a_picture_is_turned_as_its_exif_says():
    shown = stored_picture("pope/pictures/turned.jpg", "7", FOLDER).render()
    plain = stored_picture("mmmu/pictures/blue.jpg", "7", FOLDER).render()
    assert shown.size == (16, 24) and plain.size == (24, 16)
    assert np.abs(np.asarray(shown, int) - np.rot90(np.asarray(plain, int), -1)).max() <= 12


@pytest.mark.parametrize("value", [None, 3, "", {"bytes": None, "path": None}, [1]])
def test_what_is_no_picture_is_refused_with_the_row(value, tmp_path):
    with pytest.raises(PictureError, match="row POPE/test/7 must be bytes, a PIL image or the name of a file") as error:
        stored_picture(value, "POPE/test/7", tmp_path)
    one_sentence(error.value)


def test_a_file_needs_a_folder():
    with pytest.raises(PictureError, match="row 7 must be"):
        stored_picture("red.png", "7")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"no picture",
        {"bytes": b"no picture", "path": "a.png"},
        png(Image.new("RGB", (40, 40), RED))[:-30],
        "missing.png",
        Image.new("RGBA", (2, 2)),
        Image.new("F", (2, 2), 0.5),
        Image.new("I", (2, 2), 70000),
    ],
)
def test_a_picture_that_cannot_be_shown_is_refused_with_the_row(value, tmp_path):
    with pytest.raises(PictureError, match=r"The picture of row POPE/test/7 ") as error:
        stored_picture(value, "POPE/test/7", tmp_path).render()
    one_sentence(error.value)


def test_a_key_is_of_pixels_not_of_files():
    red = Image.new("RGB", (4, 2), RED)
    keys = {
        content_key(stored_picture(value, "x"))
        for value in (red, png(red), png(red.quantize(2)), png(red.convert("RGBA")))
    }
    assert len(keys) == 1 and len(keys.pop()) == 16
    assert content_key(stored_picture(red, "x")) != content_key(stored_picture(red.resize((2, 4)), "x"))
    assert content_key(stored_picture(red, "x")) != content_key(stored_picture(Image.new("RGB", (4, 2), GREEN), "x"))
