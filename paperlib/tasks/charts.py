"""Small bar charts with an exact truth, for a miniature ChartQA. Splits are disjoint by content, as for scenes."""

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np
from PIL import Image, ImageDraw

from paperlib.tasks.scenes import COLOURS, SIDE, SPLITS, sentence

TOP = 6  # the largest value; one unit is 18 pixels


@dataclass(frozen=True)
class Chart:
    """Bars from left to right: (colour, value), values 1 to 6, no two alike in colour or value."""

    bars: tuple[tuple[str, int], ...]

    @property
    def key(self) -> str:
        """Content hash: charts that show the same share it."""
        return hashlib.sha256(json.dumps(self.bars).encode()).hexdigest()[:16]

    @property
    def caption(self) -> str:
        """'A bar chart with a red bar of 3 and a blue bar of 5.'"""
        listed = sentence([f"a {colour} bar of {value}" for colour, value in self.bars])
        return f"A bar chart with {listed[0].lower()}{listed[1:]}"

    def render(self) -> Image.Image:
        """The picture, RGB, 128 x 128: faint grid lines at every unit, the base line at the bottom."""
        picture = Image.new("RGB", (SIDE, SIDE), (250, 250, 250))
        draw, base, unit = ImageDraw.Draw(picture), SIDE - 10, 18
        for value in range(1, TOP + 1):
            draw.line((4, base - value * unit, SIDE - 5, base - value * unit), fill=(214, 214, 214))
        width = (SIDE - 16) // len(self.bars)
        for i, (colour, value) in enumerate(self.bars):
            left = 8 + i * width + width // 6
            draw.rectangle((left, base - value * unit, left + width * 2 // 3, base), fill=COLOURS[colour])
        draw.line((4, base, SIDE - 5, base), fill=(40, 40, 40), width=2)
        return picture

    def to_dict(self) -> dict:
        """The chart as plain JSON types (tuples become lists there)."""
        return asdict(self)

    @staticmethod
    def from_dict(data: dict) -> "Chart":
        """The inverse of `to_dict`."""
        return Chart(tuple((colour, value) for colour, value in data["bars"]))


def draw_chart(split: str, seed: int, index: int) -> Chart:
    """The ``index``-th chart of a split: two to four bars. Raises ValueError for a split that has no charts."""
    if split not in SPLITS or split == "held-out":
        raise ValueError(f"There are no charts in split {split!r}: use train, validation or test.")
    rng = np.random.default_rng([7, sorted(SPLITS).index(split), seed, index])
    while True:
        n = int(rng.integers(2, 5))
        colours = rng.choice(tuple(COLOURS), size=n, replace=False)
        values = rng.choice(np.arange(1, TOP + 1), size=n, replace=False)
        chart = Chart(tuple((str(c), int(v)) for c, v in zip(colours, values, strict=True)))
        if int(chart.key, 16) % 10 in SPLITS[split]:
            return chart
