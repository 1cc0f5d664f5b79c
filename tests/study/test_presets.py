"""Presets: each is a whole study, and every limit is of a field that there is."""

import dataclasses

import pytest

from paperlib.study.presets import CHOICES, LIMITS, PRESETS, WHERE
from paperlib.study.study import Study

FIELDS = {field.name for field in dataclasses.fields(Study)}


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_a_study_named_after_it(preset):
    study = Study.make(preset)
    assert study.run == preset and all(getattr(study, name) == value for name, value in PRESETS[preset].items())


def test_limits_choices_and_places_are_of_fields():
    assert set(LIMITS) | set(CHOICES) | set(WHERE) <= FIELDS


def test_the_papers_preset_asks_2500_inputs_of_a_model_of_the_hub():
    study = Study.make("paper")
    assert (study.n_eval, study.model) == (2500, "llava-1.5-7b") and study.pairs


def test_where_a_run_is_computed_is_no_part_of_its_name():
    assert Study.make("mini", eval_batch=8, device="cpu").run == "mini"
    assert Study.make("mini", dtype="bfloat16").run == "mini-mini-seed0-dtype_bfloat16"
    assert Study.make("mini", pairs="/some/folder").run.startswith("mini-mini-seed0-pairs_")
