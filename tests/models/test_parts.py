"""The parts of every family: a connector between tower and decoder, and word embeddings."""

import pytest
import torch
from families import FAMILIES, family
from torch import nn

from paperlib.models.input_checks import VLMError
from paperlib.models.parts import connector, tied, vision_parameters, vision_tower, word_embeddings


@pytest.fixture(params=FAMILIES)
def name(request):
    return request.param


def test_the_connector_writes_what_the_decoder_reads(name):
    """Scaling its output moves image tokens at layer 0, and nothing else there."""
    vlm, batch = family(name)
    seen = []
    hook = vlm.layers[0].register_forward_pre_hook(lambda block, args, kwargs: seen.append(args[0]), with_kwargs=True)
    part = connector(vlm.model)
    merger = part["merger"] if isinstance(part, nn.ModuleDict) else part
    with torch.no_grad():
        vlm.model(**batch)
        scaled = merger.register_forward_hook(lambda module, inputs, output: output * 2)
        vlm.model(**batch)
        scaled.remove()
    hook.remove()
    moved = (seen[0] != seen[1]).any(-1)
    image = batch["input_ids"] == vlm.image_token_id
    assert moved.any() and not (moved & ~image).any()


def test_parts_hold_every_parameter_once(name):
    vlm, _ = family(name)
    tower = {id(p) for _, p in vision_parameters(vlm.model)}
    between = {id(p) for p in connector(vlm.model).parameters()}
    decoder = {id(p) for p in vlm.model.get_decoder().parameters()}
    assert tower and between and not (tower & between or tower & decoder or between & decoder)
    rest = {id(p) for p in vlm.model.parameters()} - tower - between - decoder
    head = {id(vlm.base.get_output_embeddings().weight)}
    names = [n for n, p in vlm.model.named_parameters() if id(p) in rest - head]
    assert all("image_newline" in n for n in names), names  # a learnt line end of crops


def test_word_embeddings_are_the_decoders(name):
    vlm, _ = family(name)
    assert word_embeddings(vlm.model) is vlm.model.get_decoder().embed_tokens
    assert tied(vlm.model) == (vlm.base.get_output_embeddings().weight is word_embeddings(vlm.model).weight)


def test_a_model_without_a_connector_is_refused():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = nn.Linear(2, 2)

    for part in (connector, vision_tower):
        with pytest.raises(VLMError, match="no (connector|vision tower) where one is looked for") as error:
            part(Plain())
        assert "\n" not in str(error.value)
