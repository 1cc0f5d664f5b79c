"""Tests of paperlib.study.timings."""

import json
import math
import subprocess
import sys

import pytest

from paperlib.study.study import CODE_ROOT
from paperlib.study.timings import Timing, TimingError, clock, read_timing, table


def executed(path, duration, cells):
    """A notebook with the metadata that papermill leaves."""
    path.write_text(
        json.dumps(
            {
                "metadata": {"papermill": {"duration": duration}},
                "cells": [
                    {"cell_type": "markdown", "metadata": {"papermill": {"duration": 99.0}}},
                    *({"cell_type": "code", "metadata": {"papermill": {"duration": d}}} for d in cells),
                ],
            }
        )
    )
    return path


def test_read_timing(tmp_path):
    path = executed(tmp_path / "00_a_b.ipynb", 61.5, [1.0, 40.25, None])
    assert read_timing(path)[:3] == ("00_a_b", 61.5, 40.25)


@pytest.mark.parametrize(
    "content, memory",
    [
        ("s\th:m:s\tmax_rss\tmax_vms\n5.1\t0:00:05\t812.5\t9000\n", 812.5),
        ("s\th:m:s\tmax_rss\n0.2\t0:00:00\tNA\n", None),
        ("s\th:m:s\tmax_rss\n0.2\t0:00:00\t-\n", None),
        ("", None),
    ],
)
def test_peak_memory_from_the_benchmark_beside_it(tmp_path, content, memory):
    (tmp_path / "00_a_b.tsv").write_text(content)
    found = read_timing(executed(tmp_path / "00_a_b.ipynb", 1.0, [1.0])).memory
    assert found == memory or (memory is None and math.isnan(found))


def test_a_notebook_that_did_not_end_is_refused(tmp_path):
    with pytest.raises(TimingError, match="00_a_b.ipynb holds no papermill duration"):
        read_timing(executed(tmp_path / "00_a_b.ipynb", None, [1.0]))


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0, "0.0 s"),
        (59.9, "59.9 s"),
        (59.96, "1 min 00 s"),
        (245.4, "4 min 05 s"),
        (3599.7, "1 h 00 min"),
        (3725, "1 h 02 min"),
        (7190, "2 h 00 min"),
    ],
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_table_sums_times_and_takes_the_largest_memory():
    timings = [Timing("00_a_b", 60.0, 50.0, 1234.4), Timing("01_c_d", 3.25, 1.0, math.nan)]
    lines = table(timings).splitlines()
    assert len({len(line) for line in lines}) == 1  # columns line up
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines]
    assert cells[2] == ["00_a_b", "1 min 00 s", "50.0 s", "1,234 MB"]
    assert cells[3] == ["01_c_d", "3.2 s", "1.0 s", "-"]
    assert cells[4] == ["all", "1 min 03 s", "50.0 s", "1,234 MB"]


def test_command_line(tmp_path):
    path = executed(tmp_path / "00_a_b.ipynb", 1.0, [1.0])

    def run(path):
        return subprocess.run(
            [sys.executable, "-m", "paperlib.study.timings", str(path)], cwd=CODE_ROOT, capture_output=True, text=True
        )

    assert "00_a_b" in run(path).stdout
    failed = run(executed(tmp_path / "01_c_d.ipynb", None, []))
    assert failed.returncode == 1 and "01_c_d.ipynb holds no" in failed.stderr
    assert "Traceback" not in failed.stderr
