"""Tests of paperlib.figures.notebook: what the cells of a notebook leave behind."""

import time

import pytest

from paperlib.figures import notebook
from paperlib.figures.notebook import Notebook
from paperlib.figures.publish import redraw
from paperlib.stats.bootstrap import Interval
from paperlib.stats.conditions import Verdict
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
    book.claim("C2", "probe transfer", Verdict("supported"), "It is so.", 4)
    book.claim("C1", "bypass", Verdict("inconclusive", 2.6), "It is not.", 4, "entry", Verdict("supported"))
    done, open_ = book.read("02_claims")
    assert (done["claim"], done["verdict"], done["event"], done["needed"]) == (
        "C2",
        "supported",
        "probe transfer",
        None,
    )
    assert (open_["verdict"], open_["event"], open_["needed"]) == ("inconclusive", "entry", 11), (
        "2.6 times 4, rounded up"
    )
    assert done["by the paper's band"] is None and open_["by the paper's band"] == "supported"


def test_an_open_claim_names_the_n_that_would_decide(book, monkeypatch):
    shown = []
    monkeypatch.setattr(notebook, "display", shown.append)
    book.claim("C1", "bypass", Verdict("inconclusive", 2.6), "It is not.", 400, "entry", Verdict("supported"))
    book.claim("C1", "other", Verdict("inconclusive"), "It is not.", 400)
    book.claim("C1", "third", Verdict("precondition not met", 3.0), "It is not.", 400)
    book.claim("C1", "fourth", Verdict("supported"), "It is.", 400)
    first, second, third, fourth = (text.data for text in shown)
    assert "n = 400. An n of about 1,000 would decide with a power of 80 %" in first and "middle: *supported*" in first
    assert "No n can be named" in second and "about 1,200 would show the precondition" in third
    assert fourth.endswith("It is. n = 400.")


def test_nothing_is_shown_where_there_is_nothing_to_say(book, monkeypatch):
    shown = []
    monkeypatch.setattr(notebook, "display", shown.append)
    book.say()
    assert not shown
    book.say("It is so.", "It is not.")
    assert [text.data for text in shown] == ["It is so.\n\nIt is not."]


def test_what_an_earlier_run_lacked_or_claimed_does_not_stay(book, study):
    book.absent("pictures", "there are none")
    book.claim("C2", "probe transfer", Verdict("supported"), "It is so.", 4)
    book.finish()
    kept = [study.results / f"02_{name}.json" for name in ("absent", "claims")]
    assert all(path.is_file() for path in kept)
    Notebook("02_probe_layers", PARAMETERS).finish()
    assert not any(path.exists() for path in kept)


def test_bad_parameters_are_refused(study):
    with pytest.raises(StudyError):
        Notebook("02_probe_layers", {"preset": "huge", "seed": 0, "overrides": {}})


def test_rows_are_shown_with_their_intervals(book, monkeypatch):
    shown = []
    monkeypatch.setattr(notebook, "display", shown.append)
    rows = [
        {"kind": "name", "accuracy": Interval(0.5, 0.25, 0.75, 8), "n": 8},
        {"kind": "size", "accuracy": None, "n": 9},
    ]
    book.show(rows, {"accuracy": ".0%"})
    assert shown[0].index.tolist() == ["name", "size"]
    assert shown[0]["accuracy"].tolist() == ["50 % [25, 75]", "–"] and shown[0]["n"].tolist() == ["8", "9"]


def test_a_figure_names_the_tables_that_it_was_drawn_from(book):
    with pytest.raises(ResultError, match="There is no table '02_transfer'"):
        book.publish("curve", "layer_curves", DRAWING, results=["02_transfer"])
    book.write("transfer", [{"x": 1}])
    book.publish("curve", "layer_curves", DRAWING, n=8, results=["02_transfer"])
    path = book.study.figures / "02_curve.json"
    assert read_result(path)["data"]["results"] == ["02_transfer"]
    assert redraw(path).axes[0].get_title(loc="left") == "t"
