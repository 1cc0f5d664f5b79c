"""What is taken from another model, and how far weights are said to have moved."""

import copy

import pytest
import torch
from small_models import tiny_vlm

from paperlib.models.before_after import weight_changes, with_connector
from paperlib.models.parts import connector
from paperlib.models.vlm import VLM


def test_the_connector_is_the_others_and_all_else_is_kept():
    vlm, other = tiny_vlm(0), tiny_vlm(1)
    before = {name: value.clone() for name, value in vlm.model.state_dict().items()}
    made = with_connector(vlm, other)
    theirs, ours = connector(other.model).state_dict(), connector(vlm.model).state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in connector(made.model).state_dict().items())
    assert any(not torch.equal(theirs[name], value) for name, value in ours.items())
    within = {id(value) for value in connector(made.model).parameters()}
    for (name, value), own in zip(made.model.named_parameters(), vlm.model.parameters(), strict=True):
        assert id(value) in within or torch.equal(value, own), name
    assert all(torch.equal(value, before[name]) for name, value in vlm.model.state_dict().items())


def test_change_is_relative_and_counts_matrices_alone():
    before = tiny_vlm()
    after = VLM("after", copy.deepcopy(before.model), before.processor)
    with torch.no_grad():
        for name, weight in after.layers[1].named_parameters():
            weight.mul_(1.1 if weight.ndim > 1 else 5.0)
    found = weight_changes(before, after)
    assert found == pytest.approx([0, 0.1, *[0] * (len(found) - 2)], abs=1e-6) and len(found) == len(before.layers)


def test_matrices_weigh_by_their_size():
    before = tiny_vlm()
    after = VLM("after", copy.deepcopy(before.model), before.processor)
    matrices = [weight for weight in after.layers[0].parameters() if weight.ndim > 1]
    with torch.no_grad():
        matrices[0].mul_(2)
    wanted = (matrices[0].norm() / 2).square() / sum(
        w.square().sum() for w in before.layers[0].parameters() if w.ndim > 1
    )
    assert weight_changes(before, after)[0] == pytest.approx(float(wanted.sqrt().detach()), rel=1e-5)
