"""Instructions for tests: the fixtures' folders, and instructions made by hand."""

from PIL import Image

from paperlib.study import CODE_ROOT
from paperlib.tasks.benchmarks.example import StoredPicture
from paperlib.tasks.instructions import Instruction, RowPicture

FIXTURES = CODE_ROOT / "tests" / "fixtures" / "instructions"
MIX = FIXTURES / "llava" / "llava_v1_5_mix665k.json"


def coloured(colour, size=(24, 24)):
    return RowPicture(StoredPicture(Image.new("RGB", size, colour), f"The {colour} picture"))


def instruction(identity, *turns, pictures=(), places=()):
    return Instruction(identity, turns, tuple(pictures), tuple(places))
