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


def test_half_transparent_pixels_are_mixed_with_white():
    picture = Image.new("RGBA", (2, 1), (100, 0, 0, 255))
    picture.putpixel((0, 0), (0, 0, 0, 128))
    assert as_shown(picture).getpixel((0, 0)) == (127, 127, 127)
    assert as_shown(picture.convert("LA")).getpixel((0, 0)) == (127, 127, 127)


def test_a_palette_and_its_transparent_colour():
    picture = Image.new("P", (2, 1), 1)
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putpixel((0, 0), 0)
    assert [as_shown(picture).getpixel((x, 0)) for x in (0, 1)] == [(10, 20, 30), (200, 100, 50)]
    picture.info["transparency"] = 0
    assert [as_shown(picture).getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (200, 100, 50)]


@pytest.mark.parametrize(
    "inks, shown", [((0, 0, 0, 0), (255, 255, 255)), ((0, 255, 255, 0), (255, 0, 0)), ((9, 9, 9, 255), (0, 0, 0))]
)
def test_inks_become_light(inks, shown):
    assert as_shown(Image.new("CMYK", (2, 2), inks)).getpixel((1, 1)) == shown


def test_an_inverted_cmyk_file_is_shown_right(tmp_path):
    """Adobe's JPEGs hold inks the other way round; Pillow writes and reads them so."""
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "red.jpg", quality=95)
    red, green, blue = PictureFile(tmp_path / "red.jpg").render().getpixel((8, 8))
    assert red > 245 and green < 10 and blue < 10


@pytest.mark.parametrize("name, dtype", [("I;16", "<u2"), ("I;16B", ">u2")])
def test_greys_of_16_bits_in_files(name, dtype, tmp_path):
    values = np.array([[0, 257 * 9, 65535, 300]], dtype)
    Image.frombytes(name, (4, 1), values.tobytes()).save(tmp_path / "grey.tif")
    assert np.asarray(PictureFile(tmp_path / "grey.tif").render())[0, :, 1].tolist() == [0, 9, 255, 1]


def test_colours_of_16_bits_in_a_file(tmp_path):
    """Pillow reads the upper byte of each channel."""
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = struct.pack(">6H", 65535, 0x8040, 0, 0, 65535, 0x1234)
    header, data = struct.pack(">2I5B", 2, 1, 16, 2, 0, 0, 0), zlib.compress(b"\0" + pixels)
    parts = (b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b""))
    (tmp_path / "deep.png").write_bytes(b"".join(parts))
    shown = PictureFile(tmp_path / "deep.png").render()
    assert [shown.getpixel((x, 0)) for x in (0, 1)] == [(255, 0x80, 0), (0, 255, 0x12)]


@pytest.mark.parametrize(
    "orientation, corner",
    [(1, (0, 0)), (2, (2, 0)), (3, (2, 1)), (4, (0, 1)), (5, (0, 0)), (6, (1, 0)), (7, (1, 2)), (8, (0, 2))],
)
@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_exif_turns_and_mirrors(orientation, corner, form, tmp_path):
    """Where the black pixel at the upper left of the stored 3 x 2 picture is shown."""
    picture, exif = Image.new("RGB", (3, 2), (255, 255, 255)), Image.Exif()
    picture.putpixel((0, 0), (0, 0, 0))
    exif[0x0112] = orientation
    picture.save(tmp_path / "turned", form, exif=exif)
    shown = PictureFile(tmp_path / "turned").render()
    assert shown.size == ((3, 2) if orientation < 5 else (2, 3))
    black = [(x, y) for x in range(shown.width) for y in range(shown.height) if shown.getpixel((x, y)) == (0, 0, 0)]
    assert black == [corner]


def test_of_an_animation_the_first_frame(tmp_path):
    first, second = Image.new("RGB", (4, 4), (255, 0, 0)), Image.new("RGB", (4, 4), (0, 0, 255))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    assert PictureFile(tmp_path / "a.gif").render().getpixel((1, 1)) == (255, 0, 0)


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
