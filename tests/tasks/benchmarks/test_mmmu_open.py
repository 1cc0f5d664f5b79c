"""MMMU's open questions, as the official script scores them."""

import pytest
from public_rows import replies

from paperlib.tasks.benchmarks.mmmu_open import normalised, open_match, pieces


def test_replies_score_as_in_the_official_script():
    for case in replies("mmmu_open"):
        assert open_match(case["reply"], case["answers"]) is bool(case["official"]), case


def test_lmms_eval_scores_every_open_answer_as_wrong():
    """Why its rule is not taken."""
    cases = replies("mmmu_open")
    assert sum(case["official"] for case in cases) > 20 and not any(case["lmms-eval"] for case in cases)


@pytest.mark.parametrize(
    "reply, found",
    [
        ("It is 4.", {4.0}),
        ("x = 4\nso y = 12.345 m", {"12.345 m", 12.35}),  # "=" counts in the last line alone
        ("Red Fox", {"red fox"}),
        # As the script has it, the ends of longer numbers count too.
        ("the answer is 1,200 or 3e2", {"1,200 or 3e2", 1200.0, 300.0, 200.0, 2.0}),
    ],
)
def test_pieces_of_a_reply(reply, found):
    assert set(pieces(reply)) == found


def test_one_character_needs_a_blank_beside_it():
    assert normalised("A") == [" a", "a "] and not open_match("banana", ["a"]) and open_match("is a b", ["a"])
