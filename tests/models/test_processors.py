"""Processors of every family in miniature, without torchvision: prompts, pictures and answers go through."""

import pytest
from miniature_hub import LINEAGES
from PIL import Image
from transformers import AutoConfig

from paperlib.models.fetching import place_of
from paperlib.models.input_checks import VLMError
from paperlib.models.lineages import shipped
from paperlib.models.processors import load_processor


@pytest.mark.parametrize("name", LINEAGES)
def test_a_picture_becomes_image_tokens_in_a_chat(hub, name):
    place, options = place_of(shipped()[name].tuned)
    processor = load_processor(place, **options)
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}]
    text = processor.apply_chat_template(chat, add_generation_prompt=True)
    made = processor(text=[text], images=[[Image.new("RGB", (20, 30), "red")]], return_tensors="pt")
    token = AutoConfig.from_pretrained(place, **options).image_token_id
    assert "What is it?" in text and (made["input_ids"] == token).sum() >= 4


def test_a_missing_package_is_named(hub, monkeypatch):
    from transformers import AutoProcessor

    def fail(*args, **kwargs):
        raise ImportError("needs the package num2words")

    monkeypatch.setattr(AutoProcessor, "from_pretrained", fail)
    place, options = place_of(shipped()["llava-1.5-7b"].tuned)
    with pytest.raises(VLMError, match="LlavaProcessor.*needs a package that is not here.*num2words"):
        load_processor(place, **options)
