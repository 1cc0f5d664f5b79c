"""What is chosen to be trained, by a model's parts; anything else is refused."""

import copy

import pytest
from families import FAMILIES
from families import family as shared_family
from small_models import one_sentence, tiny_vlm

from paperlib.models.parts import connector
from paperlib.models.vlm import VLM
from paperlib.tuning.train_config import TrainingError
from paperlib.tuning.trained_parts import choose, split


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("with_connector", [True, False])
def test_connector_and_band_of_every_family(name, with_connector):
    shared, _ = shared_family(name)
    vlm = VLM(name, copy.deepcopy(shared.model), None)
    parameters = choose(vlm, "full", (1, 3), with_connector, 2, 0)
    bridge, rest = split(vlm, parameters)
    assert {id(p) for p in rest.values()} == {id(p) for i in (1, 3) for p in vlm.layers[i].parameters()}
    own = {id(p) for p in connector(vlm.model).parameters()} if with_connector else set()
    assert {id(p) for p in bridge.values()} == own
    assert {id(p) for p in vlm.model.parameters() if p.requires_grad} == own | {id(p) for p in rest.values()}


def test_lora_is_apart_from_the_connector():
    vlm = tiny_vlm()
    bridge, rest = split(vlm, choose(vlm, "lora", (2,), True, 3, 0))
    assert all("lora_" in name and ".layers.2." in name for name in rest) and rest
    assert len(bridge) == len(list(connector(vlm.model).parameters()))


@pytest.mark.parametrize("which", ["a norm outside", "a block too few"])
def test_anything_else_than_was_asked_for_is_refused(which, monkeypatch):
    vlm = tiny_vlm()
    if which == "a norm outside":
        usual = connector(vlm.model).requires_grad_
        norm = vlm.model.get_decoder().norm
        monkeypatch.setattr(connector(vlm.model), "requires_grad_", lambda on: (norm.requires_grad_(True), usual(on)))
    else:
        monkeypatch.setattr(vlm.layers[1], "requires_grad_", lambda on: None)
    with pytest.raises(TrainingError) as error:
        choose(vlm, "full", (1, 2), True, 2, 0)
    assert "instead of blocks [1, 2] and the connector alone" in one_sentence(error.value)
