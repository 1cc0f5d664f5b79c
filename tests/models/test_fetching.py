"""From a source to something that can be opened; what is not there is said in one sentence."""

import httpx
import pytest
import torch
from huggingface_hub.errors import GatedRepoError
from miniature_hub import REVISION

from paperlib.models import fetching
from paperlib.models.fetching import commit_of, open_llm, open_tensors, open_vlm, place_of
from paperlib.models.input_checks import VLMError
from paperlib.models.lineages import Source, shipped

LLAVA = shipped()["llava-1.5-7b"]


def one_sentence(error):
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_a_cached_repository_serves_when_the_hub_does_not_answer(hub):
    place, options = place_of(LLAVA.tuned)
    assert place.startswith(str(hub)) and options == {} and commit_of(LLAVA.tuned) == REVISION
    assert type(open_vlm(LLAVA.tuned, torch.float32)).__name__ == "LlavaForConditionalGeneration"
    assert type(open_llm(LLAVA.llm, torch.bfloat16)).__name__ == "LlamaForCausalLM"


def test_a_connector_of_a_folder_of_a_repository(hub):
    source = shipped()["onevision-0.5b"].connector
    assert set(open_tensors(source)) == {
        f"model.mm_projector.{i}.{kind}" for i in (0, 2) for kind in ("weight", "bias")
    }
    assert commit_of(source, source.file) == REVISION


def test_a_local_folder(hub, tmp_path):
    place, _ = place_of(LLAVA.tuned)
    local = Source(place)
    assert place_of(local) == (place, {}) and commit_of(local) == REVISION
    assert open_vlm(local, torch.float32).config.model_type == "llava"


def test_what_is_nowhere(hub):
    with pytest.raises(VLMError, match="can't be reached on the hub and is not in the local cache") as error:
        place_of(Source("org/nothing"))
    one_sentence(error)


def test_a_gated_repository(hub, monkeypatch):
    def refuse(url):
        raise GatedRepoError("gated", response=httpx.Response(403, request=httpx.Request("GET", url)))

    monkeypatch.setattr(fetching, "get_hf_file_metadata", refuse)
    with pytest.raises(VLMError, match="hf auth login") as error:
        place_of(Source("google/gemma-3-4b-it"))
    one_sentence(error)


def test_folders_that_hold_no_such_model(hub, tmp_path):
    with pytest.raises(VLMError, match="holds no image-text model") as error:
        open_vlm(Source(str(tmp_path)), torch.float32)
    one_sentence(error)
    with pytest.raises(VLMError, match="holds no image-text model"):
        open_vlm(LLAVA.llm, torch.float32)


def test_a_connector_file_that_is_none(tmp_path):
    for content in (b"", b"no tensors"):
        (tmp_path / "c.bin").write_bytes(content)
        with pytest.raises(VLMError, match="cannot be read") as error:
            open_tensors(Source(str(tmp_path), file="c.bin"))
        one_sentence(error)
    torch.save([torch.ones(1)], tmp_path / "c.bin")
    with pytest.raises(VLMError, match="cannot be read"):
        open_tensors(Source(str(tmp_path), file="c.bin"))
