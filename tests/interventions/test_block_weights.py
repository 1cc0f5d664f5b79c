"""Blocks with other parameters: given back in any case, and registered. What transplants do is in test_edits.py."""

import pytest
import torch
from small_models import one_sentence, picture, tiny_vlm
from torch import nn

from paperlib.interventions.block_weights import check_donor, lent, replacing
from paperlib.interventions.edits import random_change, transplant
from paperlib.models.adapters import add_lora
from paperlib.models.residual import interventions


def test_only_the_named_blocks_change_and_only_meanwhile():
    vlm = tiny_vlm()
    own = [dict(block.named_parameters()) for block in vlm.layers]
    with replacing(vlm, [2, 1], lambda i, name, parameter: nn.Parameter(parameter + i)):
        assert list(interventions(vlm).values()) == [1]
        for i, block in enumerate(vlm.layers):
            for name, parameter in block.named_parameters():
                assert torch.equal(parameter, own[i][name] + (i if i in (1, 2) else 0))
    assert interventions(vlm) == {}
    for i, block in enumerate(vlm.layers):
        assert all(parameter is own[i][name] for name, parameter in block.named_parameters())


def test_an_error_halfway_gives_back_what_was_replaced():
    vlm = tiny_vlm()
    own = [dict(block.named_parameters()) for block in vlm.layers]

    def new(i, name, parameter):
        return nn.Parameter(parameter * 0) if i == 0 else 1 / 0

    with pytest.raises(ZeroDivisionError), replacing(vlm, [0, 1], new):
        pass
    for i, block in enumerate(vlm.layers):
        assert all(parameter is own[i][name] for name, parameter in block.named_parameters())
    assert interventions(vlm) == {}


def test_donors_that_do_not_fit_are_refused():
    vlm, half, adapted = tiny_vlm(), tiny_vlm(), tiny_vlm()
    check_donor(vlm, tiny_vlm(1))
    half.model.half()
    adapted.model = add_lora(adapted.model, 2, [1])
    for said, donor in {"do not fit": half, "merge_and_unload": adapted}.items():
        with pytest.raises(ValueError, match=said) as error:
            check_donor(vlm, donor)
        one_sentence(error.value)


def test_a_donor_on_another_device_lends_copies_of_the_replaced_blocks_alone():
    """The device "meta" keeps shapes and no numbers: where things are can be seen without a GPU."""
    waiting, vlm = tiny_vlm(1), tiny_vlm()
    vlm.model.to("meta")
    check_donor(vlm, waiting)
    own = [list(block.parameters()) for block in vlm.layers]
    before = {name: (id(p), p.device.type) for name, p in waiting.model.named_parameters()}
    for edit in (transplant, random_change):
        with edit(vlm, waiting, [1, 2]):
            for i, block in enumerate(vlm.layers):
                lent_here = [p is not q for p, q in zip(block.parameters(), own[i])]
                assert all(lent_here) if i in (1, 2) else not any(lent_here)
                assert {p.device.type for p in block.parameters()} == {"meta"}
        assert {name: (id(p), p.device.type) for name, p in waiting.model.named_parameters()} == before
    assert all(p is q for i, block in enumerate(vlm.layers) for p, q in zip(block.parameters(), own[i]))


def test_a_donor_on_the_same_device_lends_its_own():
    vlm, donor = tiny_vlm(), tiny_vlm(1)
    for name, own in vlm.layers[2].named_parameters():
        assert lent(donor, 2, name, own) is donor.layers[2].get_parameter(name)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
@torch.no_grad()
def test_a_waiting_donor_changes_as_much_as_one_beside():
    vlm, donor = tiny_vlm(), tiny_vlm(1)
    batch = vlm.batch([vlm.prompt("What is it?")], [picture(0)])
    with transplant(vlm, donor, [1, 2]):
        expected = vlm.model(**batch).logits
    vlm.model.to("cuda")
    batch = vlm.batch([vlm.prompt("What is it?")], [picture(0)])
    with transplant(vlm, donor, [1, 2]):
        found = vlm.model(**batch).logits
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-3, atol=1e-3)
