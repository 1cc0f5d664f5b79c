"""The prefill with and without late entry: the model is as before, and the untrained entry is the arm's."""

import pytest
from small_models import one_sentence, picture, tiny_vlm

from paperlib.models.late_entry import entry_of, install
from paperlib.tuning.arms import arm_config
from paperlib.tuning.prefill import LATE, late_entry_model, time_prefill
from paperlib.tuning.stages import load_stage, tune


def batch_of(vlm):
    return vlm.batch([vlm.prompt("How many things are there?")] * 2, [picture(0), picture(1)])


def test_it_is_timed_in_turns_and_undone():
    vlm = tiny_vlm()
    install(vlm.model, 2, 1.5)
    took = time_prefill(vlm, batch_of(vlm), rounds=3)
    assert 0 < took.low <= took.value <= took.high and took.n == 3
    assert (entry_of(vlm.model).block, entry_of(vlm.model).scale) == (2, 1.5)


def test_a_model_without_late_entry_is_refused():
    vlm = tiny_vlm()
    with pytest.raises(ValueError, match="no late entry") as error:
        time_prefill(vlm, batch_of(vlm))
    one_sentence(error.value)


def test_without_adapters_the_stage_1_model_enters_where_the_arm_does(study):
    tune(study, progress=False)
    batch = batch_of(load_stage(study, "stage 1"))
    entry = entry_of(late_entry_model(study, trained=False, batch=batch).model)
    assert entry.block == arm_config(study, LATE).enter > 0 and entry.scale > 0
