"""Tests of paperlib.study.class_times: the guide's times are those that were measured."""

import json

import pytest

from paperlib.study import CODE_ROOT
from paperlib.study.class_times import BEGIN, END, class_table, main, with_times
from paperlib.study.timings import TimingError

MEASURED = [
    {"preset": "mini", "precision": "float32", "seconds": {"00_a": 90.0, "01_b": 30.0}},
    {"preset": "mini", "precision": "bfloat16", "seconds": {"00_a": 30.0, "01_b": 20.0}},
    {"preset": "gpu", "precision": "bfloat16", "seconds": {"00_a": 1.0, "01_b": 1.0}},
]


def test_a_row_for_each_notebook_and_their_sum_for_each_machine():
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in class_table(MEASURED).splitlines()]
    assert rows[0] == ["notebook", "a CPU with AMX", "a CPU with AVX2 only"]
    assert rows[2:] == [["00_a", "30.0 s", "1 min 30 s"], ["01_b", "20.0 s", "30.0 s"], ["all", "50.0 s", "2 min 00 s"]]


def test_what_was_not_measured_is_said():
    with pytest.raises(TimingError, match="no run of preset mini on a CPU with AMX"):
        class_table(MEASURED[:1])
    other = [MEASURED[0], MEASURED[1] | {"seconds": {"00_a": 1.0}}]
    with pytest.raises(TimingError, match="other notebooks"):
        class_table(other)
    with pytest.raises(TimingError, match="once each"):
        with_times("no marks", "table")


def test_stale_is_noticed_and_mended(tmp_path):
    (tmp_path / "docs" / "teach").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    with pytest.raises(SystemExit, match="class_times"):
        main([], tmp_path)
    (tmp_path / "data" / "timings.json").write_text(json.dumps(MEASURED))
    guide = tmp_path / "docs" / "teach" / "guide.md"
    guide.write_text(f"above\n{BEGIN}\n{END}\nbelow\n")
    with pytest.raises(SystemExit, match="stale"):
        main(["--check"], tmp_path)
    main([], tmp_path)
    main(["--check"], tmp_path)
    text = guide.read_text()
    assert text.startswith("above\n") and text.endswith("below\n") and "1 min 30 s" in text
    with pytest.raises(SystemExit, match="Say --check"):
        main(["--chek"], tmp_path)


def test_the_committed_guide_says_what_was_measured():
    main(["--check"], CODE_ROOT)
