"""The benchmarks' own metrics against hand-computed cases and scikit-learn."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import one_sentence

from paperlib.scoring.metrics import object_f1, relaxed_match, yes_no_report
from paperlib.scoring.records import Record


def record(i, answer, prediction):
    return Record(str(i), "existence", "pope", str(i), answer, prediction, answer == prediction, (-1.0, -2.0), (1, 1))


def test_yes_no_report_by_hand():
    """8 questions: 3 hits, 1 miss, 2 false alarms, 2 correct rejections."""
    pairs = [("yes", "yes")] * 3 + [("yes", "no")] + [("no", "yes")] * 2 + [("no", "no")] * 2
    records = [record(i, a, p) for i, (a, p) in enumerate(pairs)]
    assert yes_no_report(records) == pytest.approx(
        {"accuracy": 5 / 8, "precision": 3 / 5, "recall": 3 / 4, "f1": 2 / 3, "yes_rate": 5 / 8, "n": 8}
    )


def test_yes_no_report_of_a_model_that_never_says_yes():
    records = [record(0, "yes", "no"), record(1, "no", "no")]
    report = yes_no_report(records)
    assert (report["precision"], report["recall"], report["f1"], report["yes_rate"]) == (0, 0, 0, 0)


@settings(deadline=None)  # scikit-learn's first call is slow
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_yes_no_report_against_scikit_learn(pairs):
    metrics = pytest.importorskip("sklearn.metrics")
    word = ("no", "yes")
    records = [record(i, word[a], word[p]) for i, (a, p) in enumerate(pairs)]
    answers, predictions = zip(*pairs)
    p, r, f, _ = metrics.precision_recall_fscore_support(
        answers, predictions, pos_label=True, average="binary", zero_division=0, labels=[False, True]
    )
    report = yes_no_report(records)
    assert (report["precision"], report["recall"], report["f1"]) == pytest.approx((p, r, f))


VOCABULARY = ("dog", "hot dog", "cat", "t-rex", "hot air balloon")


@pytest.mark.parametrize(
    "captions, truths, precision, recall",
    [
        (["A dog and a cat."], [{"dog", "cat"}], 1, 1),
        (["A dog, a dog and a cat."], [{"dog"}], 1 / 2, 1),
        (["a hot dog"], [{"dog"}], 0, 0),
        (["a hot dog beside a dog"], [{"dog", "hot dog"}], 1, 1),
        (["a hot hot dog, a hot air balloon, hot air"], [{"hot dog", "hot air balloon"}], 1, 1),
        (["a doghouse, a T-Rex"], [{"t-rex", "dog"}], 1, 1 / 2),
        (["", "nothing"], [{"dog"}, set()], 0, 0),
        (["a dog", "a cat", "a dog"], [{"dog"}, {"dog"}, {"dog", "cat", "t-rex"}], 2 / 3, 2 / 5),
    ],
)
def test_object_f1_by_hand(captions, truths, precision, recall):
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0
    expected = {"precision": precision, "recall": recall, "f1": f1}
    assert object_f1(captions, truths, VOCABULARY) == pytest.approx(expected)


def test_object_f1_refuses():
    with pytest.raises(ValueError, match="as many captions as truths"):
        object_f1(["a dog"], [], VOCABULARY)
    with pytest.raises(ValueError, match="lacks 'zebra'"):
        object_f1(["a dog"], [{"zebra"}], VOCABULARY)


@pytest.mark.parametrize(
    "prediction, answer, match",
    [
        ("42", "42", True),
        ("42.0", "42", True),
        ("40", "42", True),
        ("39.9", "42", True),
        ("39.8", "42", False),
        ("44.1", "42", True),
        ("44.2", "42", False),
        ("-42", "42", False),
        ("-41", "-42", True),
        ("0", "0", True),
        ("0.0", "0", True),
        ("0.001", "0", False),
        ("1,200", "1200", True),
        (" 42 ", "42", True),
        ("45%", "0.45", True),
        ("45", "45%", False),
        ("45.", "45", True),
        ("1e3", "1000", True),
        ("Blue", "blue", True),
        ("blueish", "blue", False),
        ("forty", "40", False),
        ("nan", "nan", True),
        ("inf", "40", False),
        ("", "40", False),
        ("12 apples", "12", False),
    ],
)
def test_relaxed_match(prediction, answer, match):
    assert relaxed_match(prediction, answer) is match


def test_relaxed_match_tolerance():
    assert not relaxed_match("41", "42", tolerance=0.0)
    assert relaxed_match("50", "42", tolerance=0.2)


@pytest.mark.parametrize(
    "records, message",
    [
        ([], "no records"),
        ([record(0, "red", "yes")], "yes/no questions, but '0'"),
        ([record(1, "no", "no")] * 2, "repeat"),
    ],
)
def test_yes_no_report_refuses(records, message):
    with pytest.raises(ValueError, match=message) as error:
        yes_no_report(records)
    one_sentence(error.value)
