"""Sentences follow from intervals: each is tried where it must say one thing and where it must say another."""

import numpy as np
import pytest

from paperlib.geometry.alignment_measures import KEPT, MEASURES, OVERLAP
from paperlib.geometry.dimension import Dimension
from paperlib.geometry.entry_depth import EntryDepth
from paperlib.geometry.geometry_words import (
    drift_sentences,
    entry_sentences,
    gain_sentences,
    meeting_sentences,
    null_sentence,
    phase_sentence,
    scale_sentence,
)
from paperlib.stats.bootstrap import Interval
from paperlib.stats.conditions import INCONCLUSIVE, Verdict


def around(value, reach=0.1):
    return Interval(value, value - reach, value + reach, 100)


def dimensions(*values):
    return [Dimension(value, 0.1, 1.0, 2**i) for i, value in enumerate(values)]


def test_scales():
    level = scale_sentence("captions", dimensions(9, 9, 9, 9, 9.0), 1000)
    assert "9.0 at k = 16" in level and "plateau at 9.0 for k = 1 to 16" in level
    steep = scale_sentence("captions", dimensions(160, 80, 40, 20, 500.0), 1000)
    assert "no plateau" in steep and "more dimensions than the calibration holds" in steep


@pytest.mark.parametrize(
    "rise, peak, says",
    [
        (around(0.5), around(1), ("profile rises above both", "the peak's dimension grows (+1.00 [+0.90, +1.10])")),
        (around(0.05), around(-1), ("does not clearly rise", "the peak's dimension shrinks")),
        (around(0.05), around(0.05), ("does not clearly rise", "the peak's dimension does not change clearly")),
    ],
)
def test_phases(rise, peak, says):
    found = phase_sentence("captions", {"rise": rise}, {"peak": peak, "width": around(0)}, ([4, 9, 5], [6, 8, 7]))
    assert all(part in found for part in says) and "the width does not change clearly" in found
    assert "from 4.0 to 6.0, the largest from 9.0 to 8.0" in found


def test_meeting():
    values = {"untrained": 5, "stage 1": 10, "tuned": 20}
    rows = [
        {"measure": name + kept, "stage": stage, "depth": depth, "value": around(value + (2 if kept else 0))}
        for name in MEASURES
        for kept in ("", KEPT)
        for stage, value in values.items()
        for depth in (0.5, 1.0)
    ]
    found = meeting_sentences(rows, dict.fromkeys(MEASURES, 5.0))
    assert found[0] == f"- {OVERLAP}: tuned is closer at 2 of 2 layers, further apart at 0."
    assert "closer at 0 of 2 layers, further apart at 2" in found[4], "a larger imbalance is further apart"
    assert "5.0 to 5.0 %" in found[5] and "above the null of 5.0 % at 0 of 2 layers" in found[5]
    assert "2.0 points" in found[6]
    assert "at 2 of 2 layers" in meeting_sentences(rows, dict.fromkeys(MEASURES, 4.0))[5]


@pytest.mark.parametrize(
    "depth, margin, says",
    [
        (
            around(0.5),
            around(0.2),
            ("lies at or above one quarter", "is larger than the mean", "+20.0 [+10.0, +30.0] points"),
        ),
        (around(0.1), around(-0.2), ("lies below one quarter", "is smaller than the mean")),
        (around(0.3), around(0.0), ("may lie on either side", "is not clearly different than the mean")),
    ],
)
def test_entry(depth, margin, says):
    connectors = {"untrained": np.array([1.0, 2]), "tuned": np.array([5.0, 9])}
    entry = EntryDepth(depth, margin, margin, margin, Verdict(INCONCLUSIVE))
    found = " ".join(entry_sentences(entry, connectors, [0.9, 0.1], [0.1, 0.9], 1.6, 0.25))
    assert all(part.replace("different than", "different from") in found for part in says)
    assert "untrained connector the best match is the caption layer at depth 0.90, with 2.0 % overlap" in found
    assert "between depths 0.10 and 0.90; for the last picture layer at 0.10" in found


@pytest.mark.parametrize(
    "middle, early, blocks, says",
    [
        (3, 1, 0, ("overlap of pictures rises", "lies clear above", "change nothing clearly")),
        (3, 3, 1, ("overlap of pictures rises", "does not lie clear above", "add to that")),
        (-3, 0, -1, ("overlap of pictures falls", "does not lie clear above", "take from that")),
        (0, -1, 0, ("does not change clearly", "lies clear above", "gains nothing clear")),
    ],
)
def test_gains(middle, early, blocks, says):
    gained = {("all", "early"): around(early), ("all", "middle"): around(middle)}
    gained |= {("connector", "middle"): around(middle), ("blocks", "middle"): around(blocks)}
    found = " ".join(gain_sentences(gained))
    assert all(part in found for part in says)


def test_nulls_and_drift():
    assert "keep 4.0 to 7.0 %" in null_sentence([around(5), around(7)], [4, 7])
    assert "at 1 of 2 layers" in null_sentence([around(5), around(7)], [4, 7])
    kept = {
        "Captions": [around(60), around(20)],
        "Pictures": [around(20), around(20.1)],
        "Charts": [around(1), around(9)],
    }
    found = drift_sentences(kept, {"early": [1.0, 3.0], "middle": [], "late": [5.0]}, 7)
    assert [word in line for word, line in zip(("is smaller", "about the same", "is larger"), found)] == [True] * 3
    assert "2.0 % in the early third and 5.0 % in the late third" in found[3] and "most in block 7 (5.0 %)" in found[3]
