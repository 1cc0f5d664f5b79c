"""Vision tower, connector and word embeddings of every family, found by what they do and not by their names alone."""

import pytest
import torch
from families import FAMILIES, WIDTH, family, other_picture
from small_models import one_sentence, tiny_vlm
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from paperlib.models.capture import token_states
from paperlib.models.input_checks import VLMError
from paperlib.models.parts import check_sees, connector, tied, vision_parameters, vision_tower, word_embeddings

SEVERAL = {"qwen3-vl": 3}  # connectors: one for layer 0, and two for what DeepStack adds above


@pytest.fixture(params=FAMILIES)
def name(request):
    return request.param


def test_what_leaves_the_connector_becomes_the_image_tokens(name):
    """Its output is as wide as words, and every vector of it stands at an image token of layer 0."""
    vlm, batch = family(name)
    seen = []
    handle = connector(vlm.model).register_forward_hook(lambda module, args, output: seen.append(output))
    try:
        rows = torch.cat([row[0] for row in token_states(vlm, batch, [0])])
    finally:
        handle.remove()
    given = torch.cat([output.reshape(-1, output.shape[-1]) for output in seen])
    newline = getattr(vlm.model.model, "image_newline", None)
    if newline is not None:  # ends of lines stand among them
        given = torch.cat([given, newline[None]])
    near = (rows[:, None] - given).abs().amax(-1).amin(1) < 1e-5
    assert near.all()


def test_the_tower_sees_pixels_and_the_connector_is_no_part_of_its_parameters(name):
    vlm, batch = family(name)
    outputs = []
    handle = vision_tower(vlm.model).register_forward_hook(lambda module, args, output: outputs.append(output[0]))
    try:
        with torch.no_grad():
            vlm.model(**batch)
            vlm.model(**other_picture(batch))
    finally:
        handle.remove()
    half = len(outputs) // 2
    assert half and all(not torch.equal(a, b) for a, b in zip(outputs[:half], outputs[half:]))
    own = {id(p) for p in connector(vlm.model).parameters()}
    tower = dict(vision_parameters(vlm.model))
    assert own and tower and not own & {id(p) for p in tower.values()}
    decoder = {id(p) for p in vlm.model.get_decoder().parameters()}
    head = {id(p) for p in vlm.model.get_output_embeddings().parameters()}
    everything = own | {id(p) for p in tower.values()} | decoder | head
    rest = [key for key, p in vlm.model.named_parameters() if id(p) not in everything]
    assert all(key.endswith("image_newline") for key in rest)  # nothing of a model is forgotten


def test_deepstack_has_connectors_of_its_own():
    vlm, _ = family("qwen3-vl")
    mergers = [m for m in vision_tower(vlm.model).modules() if type(m) is type(vlm.model.model.visual.merger)]
    assert len(mergers) == SEVERAL["qwen3-vl"]
    assert {id(p) for m in mergers for p in m.parameters()} == {id(p) for p in connector(vlm.model).parameters()}


def test_word_embeddings_and_whether_the_head_is_tied(name):
    vlm, batch = family(name)
    assert word_embeddings(vlm.model).weight.shape == (64, WIDTH)
    head = vlm.model.get_output_embeddings().weight
    assert tied(vlm.model) == (head.data_ptr() == word_embeddings(vlm.model).weight.data_ptr())


def test_every_family_sees_and_what_does_not_is_told_in_a_sentence(name):
    vlm, _ = family(name)
    check_sees(vlm.model, name)


class Blind(nn.Module):
    """A model with image tokens, and nothing to see with."""

    def __init__(self):
        super().__init__()
        self.model, self.config = nn.Module(), type("Config", (), {"image_token_id": 3})()


def test_models_without_image_tokens_or_parts():
    text = LlamaForCausalLM(LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                                        num_attention_heads=1))  # fmt: skip
    for model, said in ((text, "no image tokens"), (Blind(), "no connector")):
        with pytest.raises(VLMError, match=said) as error:
            check_sees(model, "some/model")
        one_sentence(error.value)
    with pytest.raises(VLMError, match="no vision tower") as error:
        vision_tower(Blind())
    one_sentence(error.value)
    blind = tiny_vlm().model
    blind.get_decoder().layers = nn.Identity()
    with pytest.raises(VLMError, match="no decoder with blocks") as error:
        check_sees(blind, "some/model")
    one_sentence(error.value)
