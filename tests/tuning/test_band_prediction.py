"""The predicted band: interpolation and rescaling by hand, and a band that is planted."""

import numpy as np
import pytest
from small_models import one_sentence

from paperlib.stats.bootstrap import Interval
from paperlib.tuning.band_prediction import (
    GEOMETRY,
    PROBES,
    nearly_best,
    predicted,
    predictors,
    profile,
    profile_rows,
    rescaled,
)


def row(depth, value, stage="stage 1"):
    return {"depth": depth, "stage": stage, "value": Interval(value, value - 1, value + 2, 8)}


def curve(*values):
    return np.array([values, values, values], float)


def test_a_profile_is_read_at_what_each_block_returns():
    rows = [row(1.0, 8), row(0.0, 4), row(0.5, 2), row(0.5, 99, "tuned")]
    found = profile(rows, "value", 4, stage="stage 1")
    assert found[0].tolist() == [3, 2, 5, 8], "blocks return layers 1 to 4, at 1/4 to 1 of the depth"
    assert found[1].tolist() == [2, 1, 4, 7] and found[2].tolist() == [5, 4, 7, 10]


def test_a_table_without_such_rows_is_refused():
    with pytest.raises(ValueError, match="no rows with") as error:
        profile([row(0, 1)], "value", 4, stage="untrained")
    assert "untrained" in one_sentence(error.value)


def test_values_are_rescaled_with_the_ends_of_their_intervals():
    found = rescaled(np.array([[2.0, 4.0, 6.0], [1.0, 4.0, 5.0], [2.0, 4.0, 8.0]]))
    assert found.tolist() == [[0, 0.5, 1], [-0.25, 0.5, 0.75], [0, 0.5, 1.5]]
    assert rescaled(curve(3, 3, 3)) is None


def test_probes_count_alike_and_flat_ones_not_at_all():
    found = predictors(curve(0, 9, 0, 0), {"a": curve(0, 1, 0, 0), "b": curve(0, 0, 50, 0), "c": curve(7, 7, 7, 7)})
    assert list(found) == [GEOMETRY, PROBES] and found[GEOMETRY][0].tolist() == [0, 1, 0, 0]
    assert found[PROBES].tolist() == [[0, 0.5, 0.5, 0], [0, 0, 0, 0], [0, 1, 1, 0]], "mean, lowest and highest probe"


def test_a_planted_band_is_predicted():
    hill = curve(0, 1, 4, 6, 5, 1)
    chosen, scores = predicted({"one": hill, "other": 2 * hill}, 3)
    assert chosen == (2, 3, 4) and len(scores) == 4 and scores.argmax() == 2
    assert nearly_best(scores) == (2, 2) and nearly_best(scores, within=1.0) == (0, 3)


def test_flat_profiles_predict_nothing():
    flat = predictors(curve(1, 1, 1), {"a": curve(2, 2, 2)})
    assert flat == {} and predicted(flat, 1)[0] == ()
    assert list(predictors(curve(1, 1, 1), {"a": curve(0, 1, 0)})) == [PROBES]


def test_profiles_become_rows_at_the_centres_of_blocks():
    rows = profile_rows({"a": np.array([[0.5, 1.0], [0.25, 0.75], [0.5, 1.5]])}, 12)
    assert [r["depth"] for r in rows] == [0.25, 0.75] and rows[0]["value"] == Interval(0.5, 0.25, 0.5, 12)
