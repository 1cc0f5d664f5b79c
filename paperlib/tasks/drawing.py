"""What scenes are drawn from: grounds and filled shapes, and checks of their values."""

from collections.abc import Container
from numbers import Integral

import numpy as np
from PIL import Image, ImageDraw


def ground(colour: tuple[int, int, int], texture: str, seed: int, side: int) -> np.ndarray:
    """[side, side, 3] uint8: a pale colour, plain or with a faint pattern that the seed fixes."""
    rng = np.random.default_rng(seed)
    pattern = np.zeros((side, side))
    if texture == "grain":
        pattern = rng.normal(0, 6, size=(side, side))
    elif texture == "stripes":
        y, x = np.mgrid[:side, :side]
        angle, period = rng.uniform(0, np.pi), rng.uniform(8, 24)
        pattern = 7 * np.sign(np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period))
    return np.clip(np.array(colour) + pattern[..., None], 0, 255).astype(np.uint8)


def filled(shape: str, colour: tuple[int, int, int], side: int = 240) -> Image.Image:
    """A filled shape, RGBA, drawn large so that shrinking it smooths the edges."""
    image = Image.new("RGBA", (side, side), (*colour, 0))
    draw, m = ImageDraw.Draw(image), side - 1
    if shape == "circle":
        draw.ellipse((0, 0, m, m), fill=colour)
    elif shape == "square":
        draw.rectangle((side * 0.06, side * 0.06, side * 0.94, side * 0.94), fill=colour)
    elif shape == "triangle":
        draw.polygon([(m / 2, 0), (m, m), (0, m)], fill=colour)
    elif shape == "star":
        turn = np.arange(10) * np.pi / 5
        radius = np.where(np.arange(10) % 2, 0.4, 1.0) * m / 2
        draw.polygon(
            [(m / 2 + r * np.sin(a), m / 2 - r * np.cos(a)) for r, a in zip(radius, turn, strict=True)], fill=colour
        )
    else:  # cross
        draw.rectangle((side * 0.34, 0, side * 0.66, m), fill=colour)
        draw.rectangle((0, side * 0.34, m, side * 0.66), fill=colour)
    return image


def among(value: object, known: Container[str]) -> bool:
    """Whether a value is a word, and one of those known."""
    return isinstance(value, str) and value in known


def whole(values: object, n: int) -> bool:
    """Whether these are n whole numbers in a tuple."""
    return (
        isinstance(values, tuple)
        and len(values) == n
        and all(isinstance(v, Integral) and not isinstance(v, bool) for v in values)
    )
