"""Results as text, by hand."""

from paperlib.stats.bootstrap import Interval
from paperlib.stats.shown import by_word, frame, written

ROWS = [{"arm": "mid", "gains": Interval(93.1, 74.3, 118.2, 9), "n": 9}, {"arm": "late", "gains": None, "n": 12}]


def test_a_table_names_its_lines_and_writes_intervals():
    table = frame(ROWS, ".0f")
    assert table.index.name == "arm" and list(table.columns) == ["gains", "n"]
    assert table.loc["mid", "gains"] == "93 [74, 118]" and table.loc["late"].tolist() == ["–", "12"]


def test_columns_can_be_chosen_and_written_each_in_its_way():
    table = frame([{"a": "x", "b": 1.25, "c": 0.5}], {"c": ".2f"}, ["a", "c", "b"])
    assert table.loc["x"].tolist() == ["0.50", "1.25"] and list(table.columns) == ["c", "b"]


def test_a_value_that_is_missing_says_so():
    assert written(None, none="no number of") == "no number of"
    assert [written(v, ".1f") for v in (2.0, 3000, "two")] == ["2.0", "3,000", "two"]
    assert written(Interval(0.5, 0.25, 0.75, 4), ".0%") == "50 % [25, 75]"


def test_names_are_grouped_by_the_word_that_holds_of_them():
    assert by_word({"a": "ahead of", "b": "behind", "c": "ahead of"}) == "ahead of a and c; behind b"
    assert by_word({}) == ""
