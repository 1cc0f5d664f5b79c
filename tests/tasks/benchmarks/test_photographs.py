"""The photographs of installed packages: they are there, can be shown, and are asked evenly."""

from collections import Counter

from paperlib.tasks.benchmarks.photographs import PHOTOGRAPHS, photographs


def test_every_photograph_is_there_and_asked_evenly():
    found = photographs()
    assert len({e.id for e in found}) == len(found) == 18
    assert Counter((e.group, e.answer) for e in found) == {
        (f"photo {name}", answer): 3 for name in PHOTOGRAPHS for answer in ("yes", "no")
    }
    assert len({e.group for e in found[:3]}) == 3  # the first few are about all
    for e in found:
        picture = e.picture.render()
        assert picture.mode == "RGB" and min(picture.size) > 200
