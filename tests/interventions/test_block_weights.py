"""Blocks with other parameters: given back in any case, and registered. What transplants do is in test_edits.py."""

import pytest
import torch
from small_models import one_sentence, tiny_vlm
from torch import nn

from paperlib.interventions.block_weights import check_donor, replacing
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
