"""Natural pictures with captions: a folder in either form, broken pictures left out, every bad set refused."""

import json
import logging
import sys

import pytest
from PIL import Image

from paperlib.study.study import Study
from paperlib.tasks.natural_pairs import PairsError, natural_pairs


def study(pairs, seed=0):
    return Study.make("smoke", pairs=str(pairs), seed=seed)


@pytest.fixture
def folder(tmp_path):
    for i in range(5):
        Image.new("RGBA" if i % 2 else "L", (8, 6 + i), i * 40 if i % 2 == 0 else (9, 9, 9, 255)).save(
            tmp_path / f"{i}.png"
        )
    captions = {f"{i}.png": [f"first {i}", f"second {i}"] for i in range(5)}
    (tmp_path / "captions.json").write_text(json.dumps(captions))
    return tmp_path


def test_no_set_no_pairs():
    assert natural_pairs(Study.make("smoke"), 10) == []


def test_a_folder_gives_each_picture_once_with_one_of_its_captions(folder):
    pairs = natural_pairs(study(folder), 10)
    assert sorted(pair.id for pair in pairs) == [f"{i}.png" for i in range(5)]
    for pair in pairs:
        number = pair.id[0]
        assert pair.caption in (f"first {number}", f"second {number}")
        assert pair.render().mode == "RGB" and pair.render().size == (8, 6 + int(number))
    assert natural_pairs(study(folder), 10) == pairs and len(natural_pairs(study(folder), 3)) == 3
    assert natural_pairs(study(folder), 3) == pairs[:3]
    assert [p.id for p in natural_pairs(study(folder, seed=1), 10)] != [p.id for p in pairs]


def test_lines_as_the_imagefolder_convention_has_them(folder):
    (folder / "metadata.jsonl").write_text(
        '{"file_name": "1.png", "text": "one"}\n{"file_name": "3.png", "text": "three"}\n'
    )
    assert {pair.caption for pair in natural_pairs(study(folder), 10)} == {"one", "three"}


def test_a_broken_picture_is_left_out_and_named(folder, caplog):
    (folder / "2.png").write_bytes(b"no picture")
    with caplog.at_level(logging.WARNING):
        assert len(natural_pairs(study(folder), 10)) == 4
    assert "2.png is left out" in caplog.text


@pytest.mark.parametrize(
    "content, says",
    [
        (None, "neither metadata.jsonl nor captions.json"),
        ("{", "cannot be read"),
        ('{"0.png": []}', "cannot be read"),
        ('{"0.png": 3}', "cannot be read"),
        ('{"none.png": "x"}', "no picture with a caption that can be shown"),
    ],
)
def test_folders_that_cannot_be_used(folder, content, says):
    if content is None:
        (folder / "captions.json").unlink()
    else:
        (folder / "captions.json").write_text(content)
    with pytest.raises(PairsError, match=says) as error:
        natural_pairs(study(folder), 10)
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_a_data_set_of_the_hub_needs_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(PairsError, match="pip install datasets") as error:
        natural_pairs(study("org/pictures"), 10)
    assert "\n" not in str(error.value)
