"""Conditions and the words that follow from them, at and around every border; how many examples would decide."""

import numpy as np
import pytest
from scipy.stats import norm

from paperlib.stats.conditions import (
    INCONCLUSIVE,
    LEVEL,
    NOT_SUPPORTED,
    SUPPORTED,
    UNMET,
    Verdict,
    above,
    at_least,
    below,
    decide,
    inside,
)
from paperlib.stats.interval import Interval


def between(low, high, n=50):
    return Interval((low + high) / 2, low, high, n)


UP, DOWN, WIDE = between(0.1, 0.3), between(-0.3, -0.1), between(-0.1, 0.3)


@pytest.mark.parametrize(
    "condition, state",
    [
        (above(between(0.01, 0.2)), "holds"),
        (above(between(0, 0.2)), "open"),
        (above(between(-0.2, 0)), "open"),
        (above(between(-0.2, -0.01)), "fails"),
        (above(between(0, 0)), "open"),
        (at_least(between(0.9, 1), 0.9), "holds"),
        (at_least(between(0.89, 1), 0.9), "open"),
        (at_least(between(0.8, 0.9), 0.9), "open"),
        (at_least(between(0.8, 0.89), 0.9), "fails"),
        (below(between(0.8, 0.99), 1), "holds"),
        (below(between(0.8, 1), 1), "open"),
        (below(between(1.01, 1.2), 1), "fails"),
    ],
)
def test_a_condition_holds_fails_or_is_open(condition, state):
    assert condition.state == state


def test_words():
    assert decide([above(UP), above(UP)]).word == SUPPORTED
    assert decide([above(UP), above(WIDE)]).word == INCONCLUSIVE
    assert decide([above(UP), above(WIDE), above(DOWN)]).word == NOT_SUPPORTED
    assert decide([above(UP)], given=[above(UP)]).word == SUPPORTED
    for unmet in (
        decide([]),
        decide([above(UP), None]),
        decide([above(UP)], [None]),
        decide([above(UP)], [above(WIDE)]),
        decide([above(DOWN)], [above(DOWN)]),
    ):
        assert unmet.word == UNMET
    assert decide([above(UP)], [above(WIDE)]).times and decide([above(UP)], [above(DOWN)]).times is None


def test_what_lies_inside():
    borders = (1 / 3, 2 / 3)
    for low, high, word in ((0.34, 0.66, SUPPORTED), (0.1, 0.3, NOT_SUPPORTED), (0.7, 0.9, NOT_SUPPORTED)):
        assert decide(inside(between(low, high), borders)).word == word
    assert decide(inside(between(0.3, 0.5), borders)).word == INCONCLUSIVE


def test_verdicts_know_their_words():
    assert str(Verdict(SUPPORTED)) == "supported"
    with pytest.raises(ValueError, match="A verdict is one of"):
        Verdict("true")


def drawn(mean, spread, n, rng):
    """A mean of n and its 95 % interval."""
    values = rng.normal(mean, spread, size=n)
    half = LEVEL * values.std(ddof=1) / n**0.5
    return Interval(float(values.mean()), float(values.mean() - half), float(values.mean() + half), n)


@pytest.mark.parametrize("sign", [1, -1])
def test_so_many_examples_decide_four_times_in_five(sign):
    """An estimate at the true value 0.2 with n = 50 asks for an n; there the verdict is reached in 80 % of trials."""
    rng, half = np.random.default_rng(0), LEVEL * 1.0 / 50**0.5
    verdict = decide([above(Interval(sign * 0.2, sign * 0.2 - half, sign * 0.2 + half, 50))])
    n = round(50 * verdict.times)
    assert n == pytest.approx((LEVEL + norm.ppf(0.8)) ** 2 / 0.2**2, abs=1)
    wanted = SUPPORTED if sign > 0 else NOT_SUPPORTED
    hits = [decide([above(drawn(sign * 0.2, 1.0, n, rng))]).word == wanted for _ in range(800)]
    assert np.mean(hits) == pytest.approx(0.8, abs=0.05)


def test_several_conditions_hold_together_four_times_in_five():
    rng, half = np.random.default_rng(2), LEVEL * 1.0 / 50**0.5
    asked = [above(Interval(v, v - half, v + half, 50)) for v in (0.2, 0.2, 0.2)]
    n = round(50 * decide(asked).times)
    hits = [decide([above(drawn(0.2, 1.0, n, rng)) for _ in asked]).word == SUPPORTED for _ in range(2000)]
    assert np.mean(hits) == pytest.approx(0.8, abs=0.05)


def test_one_condition_on_the_wrong_side_is_enough_to_decide():
    near, wrong = Interval(0.01, -0.1, 0.12, 50), Interval(-0.09, -0.2, 0.02, 50)
    assert decide([above(near), above(wrong)]).times == pytest.approx(above(wrong).times())
    assert decide([above(near), above(Interval(0.0, -0.1, 0.1, 50))]).times is None, "no n tells a value from its bound"
    assert above(Interval(5.0, 4.9, 5.1, 50)).times() == 1.0


def test_a_sided_interval_counts_the_side_that_faces_the_bound():
    skewed = Interval(0.2, -0.2, 0.3, 50)
    assert above(skewed).times() == pytest.approx((1 + norm.ppf(0.8) / LEVEL) ** 2 * 4)
    assert above(skewed, 0.25).times() == pytest.approx((1 + norm.ppf(0.8) / LEVEL) ** 2 * 4)
