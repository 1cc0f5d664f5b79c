"""Tests of paperlib.figures.claim_methods: every method that claims something is described, and its test is there."""

import re

import pytest

from paperlib.figures.claim_methods import METHODS, PUBLISHED
from paperlib.figures.claims import CLAIMS, claim_rows
from paperlib.study import CODE_ROOT


def test_every_method_that_claims_is_described():
    assert {(row["claim"], row["method"]) for row in claim_rows(CODE_ROOT / "results" / "mini")} == set(METHODS)
    assert {claim for claim, _ in METHODS} == set(CLAIMS)


@pytest.mark.parametrize("method", METHODS.values(), ids=[" ".join(key) for key in METHODS])
def test_the_known_answer_is_a_test_of_this_repository(method):
    path, name = method.known.split("::")
    assert re.search(rf"^def {name}\(", (CODE_ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)


def test_the_published_figures_are_those_that_notebook_05_names():
    text = (CODE_ROOT / "notebooks" / "05_tune_a_band.ipynb").read_text(encoding="utf-8")
    assert all(f"{row[what]} %" in text for row in PUBLISHED for what in ("keeps", "time"))
