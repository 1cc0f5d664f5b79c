"""Tests of paperlib.figures.notebook: what the cells of a notebook leave behind."""

import time

import pytest

from paperlib.figures.notebook import Notebook
from paperlib.stats.bootstrap import Interval
from paperlib.study import StudyError
from paperlib.study.results import ResultError, read_result

PARAMETERS = {"preset": "smoke", "seed": 0, "overrides": {"n_eval": 2}}
DRAWING = {
    "xlabel": "x",
    "panels": [{"title": "t", "ylabel": "y", "lines": [{"label": "a", "x": [0, 1], "y": [0, 1]}]}],
}


@pytest.fixture
def book(study):
    return Notebook("02_probe_layers", PARAMETERS)


def test_tables_and_figures_are_named_by_the_notebook_and_kept_by_run(book):
    rows = book.write("transfer", [{"layer": 0, "gain": Interval(1.0, 0.5, 1.5, 8)}], {"gain": "points"}, n=8)
    assert book.read("02_transfer") == rows
    book.publish("curve", "layer_curves", DRAWING, n=8)
    assert (book.study.figures / "02_curve.pdf").is_file()
    assert book.study.results.name == book.study.figures.name == book.study.run


def test_seconds_are_those_since_the_one_before(book):
    time.sleep(0.2)
    book.write("a", [{"x": 1}])
    book.write("b", [{"x": 1}])
    seconds = [read_result(book.study.results / f"02_{name}.json")["provenance"]["seconds"] for name in "ab"]
    assert seconds[0] >= 0.2 > seconds[1]


def test_a_table_that_is_not_there_names_itself(book):
    with pytest.raises(ResultError, match="04_meeting"):
        book.read("04_meeting")


def test_claims_are_rows_and_are_shown(book, capsys):
    book.claim("C2", "probe transfer", "supported", "It is so.", 4)
    book.claim("C1", "bypass", "not supported", "It is not.", 4)
    assert [row["claim"] for row in book.read("02_claims")] == ["C2", "C1"]


def test_bad_parameters_are_refused(study):
    with pytest.raises(StudyError):
        Notebook("02_probe_layers", {"preset": "huge", "seed": 0, "overrides": {}})
