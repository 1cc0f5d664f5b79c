"""A model is the same object with LoRA around it and without."""

from small_models import tiny_vlm

from paperlib.models.adapters import add_lora
from paperlib.models.unwrapping import base_model


def test_lora_is_unwrapped_and_a_plain_model_is_itself():
    plain = tiny_vlm().model
    tuned = add_lora(plain, 2, [1])
    assert tuned is not plain
    assert base_model(tuned) is plain and base_model(plain) is plain
