"""A lineage whose tuning changed nothing: whatever compares before and tuned finds exactly nothing."""

import numpy as np
import pytest
import torch
from miniature_hub import plant

from paperlib.interventions.sweep_scores import answer_probabilities, with_donor, with_random_change
from paperlib.interventions.sweeps import Sweep, windows
from paperlib.models.before_after import weight_changes, with_blocks, with_connector
from paperlib.models.modalities import picture_states
from paperlib.study.study import Study
from paperlib.tasks import draw_scene, examples
from paperlib.tuning import stages_of


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    path = plant(tmp_path_factory.mktemp("planted"))
    return stages_of(Study.make("smoke", model=str(path), n_eval=2, retrain=False))


def test_the_stages_are_a_folders_own(models):
    assert models.names == ("untrained", "stage 1", "tuned") and models.note == "tuning that changed nothing"


def test_no_weight_has_moved(models):
    assert weight_changes(models["stage 1"], models["tuned"]) == [0.0] * len(models["tuned"].layers)


def test_a_transplant_changes_no_score(models):
    tuned, before = models["tuned"], models["stage 1"]
    sweep = Sweep(tuned, examples("pictures", 1)[:6], at=range(len(tuned.layers)))
    spans = windows(len(tuned.layers), 1, 1)
    clean = answer_probabilities(sweep.examples, sweep.clean())
    assert np.abs(with_donor(sweep, before, spans) - clean).max() == 0
    assert np.abs(with_random_change(sweep, before, spans) - clean).max() == 0


def test_pictures_have_not_drifted(models, tmp_path):
    pictures = [draw_scene("test", 0, i).render() for i in range(4)]
    found = [
        picture_states(vlm, pictures, tmp_path)["image mean"]
        for vlm in (
            models["tuned"],
            models["stage 1"],
            with_blocks(models["tuned"], models["stage 1"]),
            with_connector(models["stage 1"], models["tuned"]),
        )
    ]
    assert all(torch.equal(states, found[0]) for states in found[1:])
    assert not torch.equal(picture_states(models["untrained"], pictures, tmp_path)["image mean"], found[0])
