"""Grafts: weights put in by name, memory shared, every mismatch refused with one sentence."""

import copy

import pytest
import torch
from families import FAMILIES, family
from small_models import logits, one_sentence
from transformers import GemmaConfig, GemmaForCausalLM, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from paperlib.models.grafting import LLAVA_KEYS, graft_connector, graft_llm, put, randomized, share_equal, shared
from paperlib.models.input_checks import VLMError
from paperlib.models.parts import connector, vision_parameters


def llm_like(model, **changes):
    text = model.config.text_config
    keys = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    config = LlamaConfig(**{key: getattr(text, key) for key in (*keys, "vocab_size")} | changes)
    torch.manual_seed(3)
    return LlamaForCausalLM(config).eval()


def pointers(model):
    return {name: p.data_ptr() for name, p in model.named_parameters()}


@pytest.fixture
def model():
    return shared(family("llava-1.5")[0].model)


def test_shared_models_hold_the_same_memory_and_separate_modules(model):
    other = shared(model)
    assert pointers(other) == pointers(model)
    put(other.get_decoder().layers[0], "mlp.up_proj.weight", torch.nn.Parameter(torch.zeros(64, 32)))
    assert model.get_decoder().layers[0].mlp.up_proj.weight.any()
    other.get_decoder().layers[1].register_forward_hook(lambda block, args, out: out * 0)
    _, batch = family("llava-1.5")
    assert torch.equal(logits(model, batch), logits(family("llava-1.5")[0].model, batch))


def test_a_graft_puts_in_the_whole_llm_and_nothing_else(model):
    before, llm = pointers(model), llm_like(model)
    assert graft_llm(model, llm, "another") == [
        "Beside the blocks, tuning changed the word embeddings, the head and the final norm."
    ]
    now, theirs = dict(model.named_parameters()), dict(llm.named_parameters())
    for name, parameter in now.items():
        if "language_model" in name:
            other = theirs["model." + name.split("language_model.")[1]]
            assert torch.equal(parameter, other) and parameter.data_ptr() == other.data_ptr()
        elif "lm_head" in name:
            assert torch.equal(parameter, theirs["lm_head.weight"])
        else:
            assert parameter.data_ptr() == before[name]


def test_a_text_passes_a_grafted_model_as_it_passes_the_llm(model):
    llm = llm_like(model)
    graft_llm(model, llm, "another")
    ids = torch.tensor([[1, 5, 9, 30]])
    assert torch.equal(logits(model, {"input_ids": ids}), logits(llm, {"input_ids": ids}))


def test_rows_that_one_side_lacks(model):
    own = model.get_input_embeddings().weight.clone()
    head = model.get_output_embeddings().weight.clone()
    small = llm_like(model, vocab_size=60)
    said, _ = graft_llm(model, small, "small")
    assert "lacks 4 rows" in said and said.endswith(".")
    assert torch.equal(model.get_input_embeddings().weight[:60], small.get_input_embeddings().weight)
    assert torch.equal(model.get_input_embeddings().weight[60:], own[60:])
    assert torch.equal(model.get_output_embeddings().weight[60:], head[60:])
    large = llm_like(model, vocab_size=70)
    said, _ = graft_llm(model, large, "large")
    assert "6 rows" in said and "left out" in said and len(model.get_input_embeddings().weight) == 64


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"intermediate_size": 48}, "of shape"),
        ({"num_hidden_layers": 3}, "does not fit the tuned model"),
        ({"num_attention_heads": 8, "num_key_value_heads": 4}, "has num_attention_heads 8, but the tuned model has 4"),
        ({"hidden_act": "gelu"}, "has hidden_act gelu"),
        ({"hidden_size": 16}, "of shape"),
        ({"attention_bias": True}, "too many"),
    ],
)
def test_llms_that_do_not_fit(model, changes, says):
    before = pointers(model)
    with pytest.raises(VLMError, match=says) as error:
        graft_llm(model, llm_like(model, **changes), "wrong")
    assert "wrong" in one_sentence(error.value)
    assert pointers(model) == before  # refused before anything was put in


def test_another_architecture_of_the_same_names_and_shapes(model):
    """Gemma's parameters are called as Llama's, and mean something else."""
    text = model.config.text_config
    keys = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    gemma = GemmaForCausalLM(GemmaConfig(head_dim=8, vocab_size=64, **{key: getattr(text, key) for key in keys}))
    assert set(dict(gemma.model.named_parameters())) == set(dict(model.get_decoder().named_parameters()))
    with pytest.raises(VLMError, match="is a gemma, but the tuned model's is a llama") as error:
        graft_llm(model, gemma, "gemma")
    one_sentence(error.value)


def test_settings_that_no_weight_carries_are_said(model):
    llm = llm_like(model, rms_norm_eps=1e-3, rope_parameters={"rope_type": "default", "rope_theta": 5e5})
    said = graft_llm(model, llm, "another")
    assert any("rms_norm_eps 0.001" in sentence for sentence in said)
    assert any("rope_theta 500000; every stage here has the tuned model's, 10000." in sentence for sentence in said)


def test_a_tied_head_fills_one_that_is_not(model):
    """SmolVLM's head has weights of its own, and SmolLM2's scores words with its word embeddings."""
    llm = llm_like(model, tie_word_embeddings=True)
    said = graft_llm(model, llm, "tied")
    assert any("scores words with its word embeddings" in sentence for sentence in said)
    ids = torch.tensor([[1, 5, 9, 30]])
    assert torch.equal(logits(model, {"input_ids": ids}), logits(llm, {"input_ids": ids}))


def test_a_head_of_its_own_does_not_fit_a_tied_one():
    model = shared(family("smolvlm")[0].model)
    model.config.text_config.tie_word_embeddings = True
    model.get_output_embeddings().weight = model.get_input_embeddings().weight
    with pytest.raises(VLMError, match="has a head of its own, and the tuned model's is tied") as error:
        graft_llm(model, llm_like(model), "wrong")
    one_sentence(error.value)


def test_parts_of_qwen_are_those_of_its_llm():
    """Its text model has a name of its own; the LLM that it was made of is a Qwen2."""
    model = shared(family("qwen2.5-vl")[0].model)
    text = model.config.text_config
    keys = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    llm = Qwen2ForCausalLM(Qwen2Config(vocab_size=64, **{key: getattr(text, key) for key in keys}))
    graft_llm(model, llm, "qwen")
    assert all(p is dict(llm.model.named_parameters())[n] or torch.equal(p, dict(llm.model.named_parameters())[n])
               for n, p in model.get_decoder().named_parameters())  # fmt: skip


def test_equal_numbers_are_held_once(model):
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.get_decoder().layers[2].mlp.up_proj.weight += 1
        other.get_output_embeddings().weight.data = other.get_output_embeddings().weight.data.half()
    saved = share_equal(other, model)
    differ = [name for name, p in other.named_parameters() if p.data_ptr() != pointers(model)[name]]
    assert differ == ["model.language_model.layers.2.mlp.up_proj.weight", "lm_head.weight"]
    left = sum(dict(model.named_parameters())[name].numel() for name in differ)
    assert saved == 4 * (sum(p.numel() for p in model.parameters()) - left)


def test_an_untrained_model_has_a_configuration_of_its_own(model):
    fresh = randomized(model)
    assert fresh.config is not model.config and fresh.config.to_dict() == model.config.to_dict()
    model.set_attn_implementation("eager")
    assert fresh.config._attn_implementation == "sdpa"
    assert randomized(model).get_decoder().config._attn_implementation == "eager"
    model.set_attn_implementation("sdpa")


def test_a_connector_in_llavas_own_names(model):
    own = {name: torch.randn_like(t) for name, t in connector(model).state_dict().items()}
    file = {f"model.mm_projector.{n.replace('linear_1', '0').replace('linear_2', '2')}": t for n, t in own.items()}
    graft_connector(model, file, LLAVA_KEYS, "file")
    assert all(torch.equal(t, own[name]) for name, t in connector(model).state_dict().items())


def test_connectors_that_do_not_fit(model):
    good = connector(model).state_dict()
    lacking = {name: t for name, t in good.items() if name != "linear_2.bias"}
    for tensors, says in (
        (lacking, "lacks linear_2.bias"),
        (good | {"extra": torch.zeros(1)}, "holds extra"),
        (good | {"linear_1.bias": torch.zeros(5)}, "of shape"),
        ({}, "does not fit"),
        (good | {"linear_1.bias": good["linear_1.bias"] * torch.nan}, "not finite"),
    ):
        with pytest.raises(VLMError, match=says) as error:
            graft_connector(model, tensors, {}, "file")
        one_sentence(error.value)


@pytest.mark.parametrize("name", FAMILIES)
def test_an_untrained_model_keeps_the_tower_and_nothing_else(name):
    vlm, batch = family(name)
    fresh = randomized(vlm.model, seed=1)
    assert [p.data_ptr() for _, p in vision_parameters(fresh)] == [
        p.data_ptr() for _, p in vision_parameters(vlm.model)
    ]
    for part in (fresh.get_decoder().layers, connector(fresh)):
        for weight in part.parameters():
            assert weight.ndim == 1 or weight.any()
    assert not torch.equal(fresh.get_input_embeddings().weight, vlm.model.get_input_embeddings().weight)
    assert torch.isfinite(logits(fresh.eval(), batch)).all()
    again, other = randomized(vlm.model, seed=1).eval(), randomized(vlm.model, seed=2).eval()
    assert torch.equal(logits(again, batch), logits(fresh, batch))
    assert not torch.equal(logits(other, batch), logits(fresh, batch))


def test_the_default_precision_comes_back():
    model = copy.deepcopy(family("llava-1.5")[0].model).to(torch.bfloat16)
    assert randomized(model).dtype == torch.bfloat16 and torch.get_default_dtype() == torch.float32
