"""Models that share a device: who stays, who waits, and that what is shared moves once.

There is no GPU here. The device pretends: it has a size and keeps a list of what is on it, and the weights lie on the
CPU in truth. So what is decided is tested, and that models compute the same throughout; a GPU tests the moves.
"""

import copy
import gc

import pytest
import torch
from families import FAMILIES, family, other_picture
from pretended import Pretended, size
from small_models import logits, one_sentence, picture, tiny_vlm

from paperlib.interventions.edits import transplant
from paperlib.interventions.tracing import trace
from paperlib.models.before_after import weight_changes, with_connector
from paperlib.models.grafting import shared
from paperlib.models.input_checks import VLMError
from paperlib.models.parts import vision_tower
from paperlib.models.placement import Accelerator, Placement
from paperlib.models.vlm import VLM


def three(capacity_in_models):
    models = [tiny_vlm(seed) for seed in range(3)]
    device = Pretended(int(capacity_in_models * size(models[0].model)))
    placement = Placement(device)
    for vlm in models:
        placement.add(vlm)
    return models, device, placement


def batch_of(vlm):
    return vlm.batch([vlm.prompt("What is it?")], [picture(0)])


def test_models_that_fit_stay_beside_each_other():
    models, device, _ = three(4)
    for vlm in models:
        vlm.ready()
    assert all(device.holds_all(vlm) for vlm in models)
    moved = device.moved
    for vlm in models * 2:
        logits(vlm.model, batch_of(vlm))
    assert device.moved == moved


def test_the_one_unused_for_longest_leaves_first():
    models, device, _ = three(2.3)
    a, b, c = models
    a.ready(), b.ready(), a.ready(), c.ready()
    assert device.holds_all(a) and device.holds_all(c) and not any(map(device.holds, b.model.parameters()))
    b.ready()
    assert device.holds_all(b) and device.holds_all(c) and not device.holds_all(a)


def test_a_model_that_waits_comes_back_before_any_of_its_parts_runs():
    models, device, _ = three(1.3)
    a, b, _ = models
    batch, states = batch_of(a), torch.zeros(1, 32)
    expected = logits(tiny_vlm(0).model, batch)
    traced = trace(a, batch, at=[2])
    for run in (
        lambda: a.model(**batch).logits,
        lambda: a.unembed(states),
        lambda: a.head(states),
        lambda: traced.resume(2),
        lambda: a.model.get_image_features(batch["pixel_values"]),
        lambda: a.answer(picture(0), "Who?", 2),
        lambda: batch_of(a),
        lambda: a.model.get_input_embeddings()(batch["input_ids"]),
    ):
        b.ready()
        assert device.holds_all(b) and not device.holds_all(a)
        run()
        assert device.holds_all(a) and not device.holds_all(b)
    b.ready()
    assert torch.equal(logits(a.model, batch), expected)


def test_what_two_models_share_moves_once_and_stays():
    tuned = tiny_vlm()
    before = VLM("before", shared(tuned.model), tuned.processor)
    for layer, other in zip(before.layers, tiny_vlm(1).layers):
        for name, parameter in other.named_parameters():
            path, _, leaf = name.rpartition(".")
            setattr(layer.get_submodule(path), leaf, parameter)
    device = Pretended(int(1.3 * size(tuned.model)))
    placement = Placement(device)
    placement.add(tuned), placement.add(before)
    tuned.ready()
    moved = device.moved
    assert moved == size(tuned.model)
    before.ready()
    assert device.moved - moved == sum(size(block) for block in before.layers)
    assert all(map(device.holds, vision_tower(tuned.model).parameters()))
    assert not any(map(device.holds, tuned.layers.parameters()))


def test_a_model_that_does_not_fit_even_alone():
    models, _, _ = three(0.5)
    with pytest.raises(VLMError, match=r"needs 0\.0 GB more on cpu") as error:
        models[0].ready()
    one_sentence(error.value)


def test_a_transplant_brings_the_model_and_not_its_donor():
    models, device, _ = three(1.3)
    a, b, _ = models
    batch = batch_of(a)
    b.ready()
    with transplant(a, b, [1]):
        assert device.holds_all(VLM("", torch.nn.ModuleList(a.layers[:1]), None))
        found = logits(a.model, batch)
        assert device.holds(a.layers[2].mlp.up_proj.weight) and not device.holds(b.layers[2].mlp.up_proj.weight)
    plain, donor = tiny_vlm(0), tiny_vlm(1)
    with transplant(plain, donor, [1]):
        assert torch.equal(found, logits(plain.model, batch))


def test_copies_and_models_made_of_others():
    models, device, placement = three(1.3)
    a, b, c = models
    assert copy.deepcopy(a).placement is None
    c.ready()
    logits(shared(a.model), batch_of(c))  # no hook came along that would bring the original
    assert device.holds_all(c)
    made = with_connector(a, b)
    made.ready()
    assert made.placement is placement and device.holds_all(made) and not device.holds_all(c)
    assert weight_changes(a, made) == [0, 0, 0, 0]


def test_a_model_that_nobody_holds_is_forgotten():
    models, device, placement = three(1.3)
    models[0].ready()
    count = len(placement._held)
    models.clear()
    gc.collect()
    assert count == 3 and not placement._held and placement._current is None


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_computes_the_same_wherever_it_waited(name):
    vlm, batch = family(name)
    expected = logits(vlm.model, batch)
    own, other = (VLM(name, copy.deepcopy(vlm.model), None) for _ in range(2))
    device = Pretended(int(1.3 * size(vlm.model)))
    placement = Placement(device)
    placement.add(own), placement.add(other)
    for _ in range(2):
        assert torch.equal(logits(own.model, batch), expected) and device.holds_all(own)
        logits(other.model, other_picture(batch))
        assert device.holds_all(other) and not device.holds_all(own)


def test_where_nobody_can_be_asked_and_on_a_cpu():
    assert Accelerator(torch.device("cpu")).free() == 0
    assert Accelerator(torch.device("mps")).free() > 2**60
    there = torch.zeros(3, device="meta")
    assert Accelerator(torch.device("meta")).holds(there) and not Accelerator(torch.device("cpu")).holds(there)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
def test_moves_on_a_gpu():
    class Small(Accelerator):
        def free(self):
            super().free()
            return int(1.3 * each) - torch.cuda.memory_allocated(self.device)

    models = [tiny_vlm(seed) for seed in range(2)]
    each, batch = size(models[0].model), batch_of(models[0])
    expected = [logits(vlm.model, batch) for vlm in models]
    placement = Placement(Small(torch.device("cuda")))
    for vlm in models:
        placement.add(vlm)
    for vlm, truth, other in zip(models, expected, models[::-1]):
        found = logits(vlm.model, vlm.batch([vlm.prompt("What is it?")], [picture(0)]))
        torch.testing.assert_close(found.cpu(), truth, rtol=1e-3, atol=1e-3)
        assert {p.device.type for p in vlm.model.parameters()} == {"cuda"}
        assert {p.device.type for p in other.model.parameters()} == {"cpu"}
