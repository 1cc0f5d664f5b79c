"""The shipped table: that it is what the code measures, and that readings are looked up in it as documented."""

import math

import numpy as np
import pytest
from small_models import one_sentence

from paperlib.geometry import calibration
from paperlib.geometry.calibration import calibrated, measure, read_calibration, write_calibration
from paperlib.geometry.distances import GeometryError
from paperlib.study.results import ResultError, read_result


def reading(dimension, n, k, method="gride"):
    rows = [r for r in read_calibration() if (r["dimension"], r["n"], r["k"], r["method"]) == (dimension, n, k, method)]
    assert len(rows) == 1
    return rows[0]


@pytest.mark.parametrize("n, expected", [(2500, (8.9, 14.5, 22.7)), (500, (7.8, 12.4, 18.9))])
def test_the_table_says_what_is_known(n, expected):
    """Readings at k = 16 for true dimensions 10, 20, 40, measured apart from this code."""
    assert [reading(d, n, 16)["mean"] for d in (10, 20, 40)] == pytest.approx(expected, abs=0.1)


def test_the_table_is_whole_and_in_order():
    """Every cell once; readings rise with the truth and with N, and fall with k where the dimension is high."""
    rows = read_calibration()
    ks = [1, 2, 4, 8, 16, 32, 64]
    cells = {(r["method"], r["dimension"], r["n"], r["k"]) for r in rows}
    assert len(rows) == len(cells) == len(calibration.DIMENSIONS) * len(calibration.COUNTS) * (len(ks) + 1)
    for n in calibration.COUNTS:
        for k in ks:
            assert (np.diff([reading(d, n, k)["mean"] for d in calibration.DIMENSIONS]) > 0).all()
        assert (np.diff([reading(40, n, k)["mean"] for k in ks]) < 0).all()
    for d in (10, 20, 40, 80):
        assert (np.diff([reading(d, n, 16)["mean"] for n in calibration.COUNTS]) > 0).all()
    assert all(0 < r["sd"] < 0.2 * r["mean"] and r["error"] > 0 for r in rows)
    made = read_result(calibration.TABLE)["provenance"]
    assert made["command"] == "python -m paperlib.geometry.calibration" and made["draws"] == calibration.DRAWS
    assert made["seed"] == calibration.SEED and "scikit-dimension" in made["packages"]


def test_the_table_is_what_the_command_measures(monkeypatch, tmp_path):
    """One corner of it, measured again."""
    monkeypatch.setattr(calibration, "COUNTS", (250,))
    monkeypatch.setattr(calibration, "DIMENSIONS", (5,))
    again = read_calibration(write_calibration(tmp_path / "dimension.json"))
    assert len(again) == 8
    for row in again:
        shipped = reading(5, 250, row["k"], row["method"])
        assert [row[c] for c in ("mean", "sd", "error")] == pytest.approx(
            [shipped[c] for c in ("mean", "sd", "error")], rel=1e-3, abs=2e-4
        )


def test_another_seed_gives_other_samples():
    one, two = (measure(2, 40, k_max=2, draws=2, seed=s) for s in (0, 1))
    assert [r["k"] for r in one] == [1, 2, 1] and [r["method"] for r in one] == ["gride", "gride", "twonn"]
    assert all(a["mean"] != b["mean"] for a, b in zip(one, two))


@pytest.mark.parametrize("method, k", [("gride", 4), ("gride", 64), ("twonn", 1)])
def test_calibrated_turns_readings_into_truths(method, k):
    for n in (250, 2500):
        for d in calibration.DIMENSIONS:
            assert calibrated(reading(d, n, k, method)["mean"], n, k, method) == pytest.approx(d)
    low, high = (reading(d, 500, k, method)["mean"] for d in (10, 20))
    assert calibrated((low + high) / 2, 500, k, method) == pytest.approx(15)


def test_calibrated_between_counts_and_at_the_ends():
    between = math.sqrt(500 * 1000)  # half way on a logarithmic scale
    means = [reading(20, n, 16)["mean"] for n in (500, 1000)]
    assert calibrated(sum(means) / 2, between, 16) == pytest.approx(20)
    assert calibrated(0, 500) == 0 and calibrated(reading(2, 500, 16)["mean"] / 2, 500) == pytest.approx(1)
    top = reading(80, 500, 16)["mean"]
    assert calibrated(top, 500) == pytest.approx(80) and calibrated(top + 0.1, 500) == math.inf


@pytest.mark.parametrize(
    "arguments",
    [(9, 249), (9, 2501), (9, 500, 3), (9, 500, 1, "mle"), (9, 500, 16, "twonn"), (-1, 500), (math.nan, 500)],
)
def test_what_the_table_does_not_hold(arguments):
    with pytest.raises(GeometryError) as error:
        calibrated(*arguments)
    assert "n from 250 to 2500" in one_sentence(error.value)


def test_a_missing_table(tmp_path):
    with pytest.raises(ResultError, match="There is no result"):
        read_calibration(tmp_path / "none.json")
