"""Intervals in texts, in JSON and in pickles, and what is no interval."""

import json
import pickle

import numpy as np
import pytest
from small_models import one_sentence

from paperlib.stats import accuracy, bootstrap
from paperlib.stats.interval import Interval


def test_interval_in_texts():
    i = Interval(0.933, 0.7512, 1.1749, 9)
    assert f"{i:.0%}" == "93 % [75, 117]" and f"{i:+.1%}" == "+93.3 % [+75.1, +117.5]"
    assert f"{i:+.0p}" == "+93 [+75, +117]" and i.scaled(100) == (100 * 0.933, 100 * 0.7512, 100 * 1.1749, 9)
    assert [f"{Interval(2.94, 2, 3.8, 9):{s}.1f}" for s in ("", "+")] == ["2.9 [2.0, 3.8]", "+2.9 [+2.0, +3.8]"]
    assert f"{i}" == str(i) == "0.933 [0.751, 1.17]" and f"{Interval(0, 0, 0, 1)}" == "0 [0, 0]"
    assert f"{Interval(-0.001, -0.04, 0.2, 3):z.1f}" == "0.0 [0.0, 0.2]"


def test_interval_is_a_tuple_that_json_and_pickle_keep():
    i = Interval(0.5, 0.25, 1, 4)
    assert (
        i == (0.5, 0.25, 1, 4)
        and (i.value, i.low, i.high, i.n) == i
        and accuracy.Interval is bootstrap.Interval is Interval
    )
    assert Interval(*json.loads(json.dumps(i))) == pickle.loads(pickle.dumps(i)) == i
    assert repr(i) == "Interval(value=0.5, low=0.25, high=1, n=4)"


@pytest.mark.parametrize(
    "numbers",
    [
        (np.nan, 0, 1),
        (0.5, np.nan, 1),
        (0.5, 0, np.nan),
        (0.5, -np.inf, 1),
        (0, 0, np.inf),
        (np.inf, 0, 1),
        (0.5, 0.6, 0.4),
        (0.5, 1, 0),
    ],
)
def test_interval_refuses_what_is_none(numbers):
    with pytest.raises(ValueError) as error:
        Interval(*numbers, 9)
    assert "interval" in one_sentence(error.value)


def test_what_rounds_to_zero_has_no_minus():
    near = Interval(-0.001, -0.04, 0.02, 5)
    assert (
        f"{near:.1f}" == "0.0 [0.0, 0.0]"
        and f"{near:+.0%}" == "+0 % [-4, +2]"
        and f"{near:+.1f}" == "+0.0 [+0.0, +0.0]"
    )
