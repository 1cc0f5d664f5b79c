"""Tests of paperlib.stats.tables: results as named tables."""

import json

import pytest

from paperlib.stats.bootstrap import Interval
from paperlib.stats.tables import read_table, read_table_file, table_path, write_table
from paperlib.study.results import ResultError

ROWS = [
    {"task": "colour", "accuracy": Interval(0.5, 0.4, 0.6, 20), "note": None},
    {"task": "count", "accuracy": None, "note": "no gap"},
]
MADE = {"preset": "smoke"}


def test_what_is_written_is_read_back_intervals_and_gaps_included(study):
    assert write_table(study, "02_probes", ROWS, {"accuracy": "%"}, MADE) == ROWS
    found = read_table(study, "02_probes")
    assert found == ROWS and isinstance(found[0]["accuracy"], Interval)
    assert table_path(study, "02_probes") == study.root / "results" / study.run / "02_probes.json"


def test_the_file_says_units_and_provenance(study):
    write_table(study, "02_probes", ROWS, {"accuracy": "%"}, MADE)
    whole = json.loads(table_path(study, "02_probes").read_text())
    assert whole["data"]["units"] == {"accuracy": "%"} and whole["provenance"] == MADE


@pytest.mark.parametrize(
    ("rows", "units", "message"),
    [
        ([], {}, "no rows"),
        ([{"a": 1}, {"b": 1}], {}, "different columns"),
        ([{"a": 1}], {"b": "%"}, "a unit for 'b'"),
        ([{"a": float("nan")}], {}, "finite"),
    ],
)
def test_refused_and_nothing_is_written(study, rows, units, message):
    with pytest.raises(ValueError, match=message):
        write_table(study, "02_x", rows, units, MADE)
    assert not table_path(study, "02_x").exists()


def test_a_missing_or_foreign_or_edited_table_is_named(study, tmp_path):
    with pytest.raises(ResultError, match="02_nothing.json"):
        read_table(study, "02_nothing")
    write_table(study, "02_probes", ROWS, {}, MADE)
    path = table_path(study, "02_probes")
    path.write_text(path.read_text().replace("colour", "color"))
    with pytest.raises(ResultError, match="do not match"):
        read_table(study, "02_probes")
    from paperlib.study.results import write_result

    with pytest.raises(ResultError, match="holds no table"):
        read_table_file(write_result(tmp_path / "x.json", {"drawn": 1}, MADE))


@pytest.mark.parametrize("other", [0.5, [1, 2], "x", [1, 2, 3, 4]])
def test_a_column_of_intervals_holds_nothing_else(study, other):
    """It could be written, and not be read again."""
    with pytest.raises(ValueError, match="'a' of table '01_t' holds intervals and"):
        write_table(study, "01_t", [{"a": Interval(0.5, 0, 1, 3)}, {"a": other}], {}, {})


@pytest.mark.parametrize("name", ["../../mini/02_transfer", "a/b", "", ".", "a\n", "a\0", None, 5])
def test_a_table_stays_in_its_folder(study, name):
    with pytest.raises(ValueError, match="A table's name is letters"):
        write_table(study, name, [{"a": 1}], {}, {})
