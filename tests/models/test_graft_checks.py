"""Whether parts fit: names and shapes are compared; what grafts make of it is in test_grafting.py."""

import pytest
import torch
from small_models import one_sentence
from transformers import Gemma3TextConfig, LlamaConfig, Qwen2_5_VLConfig, Qwen2Config, Qwen2VLConfig, Qwen3VLConfig

from paperlib.models.graft_checks import architecture, changed_settings, check_names, check_settings, check_shapes
from paperlib.models.input_checks import VLMError


def test_a_familys_text_model_is_named_as_its_llm():
    for config, name in (
        (Qwen2VLConfig().get_text_config(), "qwen2"),
        (Qwen2_5_VLConfig().get_text_config(), "qwen2"),
        (Qwen3VLConfig().get_text_config(), "qwen3"),
        (Gemma3TextConfig(), "gemma3"),
        (LlamaConfig(), "llama"),
    ):
        assert architecture(config) == name


def test_names_and_shapes():
    check_names({"a", "b"}, {"b", "a"}, "It")
    check_shapes({"a": torch.ones(2)}, {"a": torch.zeros(2), "b": torch.ones(9)}, "It")
    for mine, found, says in (
        ({"a", "b"}, {"b"}, "it lacks a (1 names lacking, 0 too many)"),
        ({"b"}, {"a", "b", "c"}, "it holds a (0 names lacking, 2 too many)"),
        ({"b"}, {"a"}, "it lacks b and holds a"),
    ):
        with pytest.raises(VLMError) as error:
            check_names(mine, found, "The part")
        assert says in one_sentence(error.value)
    with pytest.raises(VLMError, match=r"has a of shape \(3,\), but the tuned model has \(2,\)") as error:
        check_shapes({"a": torch.ones(2)}, {"a": torch.zeros(3)}, "The part")
    one_sentence(error.value)


def test_settings():
    small, other = LlamaConfig(num_attention_heads=32), Qwen2Config(num_attention_heads=32, num_key_value_heads=32)
    check_settings(small, LlamaConfig(num_attention_heads=32), "It")
    with pytest.raises(VLMError, match="num_key_value_heads 8, but the tuned model has 32") as error:
        check_settings(small, LlamaConfig(num_attention_heads=32, num_key_value_heads=8), "It")
    one_sentence(error.value)
    assert changed_settings(small, small, "It") == []
    (said,) = changed_settings(small, Qwen2Config(rms_norm_eps=1e-5), "It")
    assert "rms_norm_eps 1e-05" in said and "1e-06" in said
    assert other.rms_norm_eps == small.rms_norm_eps
