"""From a source to something that can be opened; what is not there is said in one sentence."""

import httpx
import pytest
import torch
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from miniature_hub import REVISION
from safetensors.torch import save_file
from small_models import changed, tiny_vlm, weights
from small_models import one_sentence as sentence
from transformers import LlamaForCausalLM

from paperlib.models import fetching
from paperlib.models.fetching import open_llm, open_tensors, open_vlm, place_of
from paperlib.models.input_checks import VLMError
from paperlib.models.lineages import Source, shipped
from paperlib.study import results
from paperlib.study.study import Study

LLAVA = shipped()["llava-1.5-7b"]


def one_sentence(error):
    return sentence(error.value)


@pytest.fixture(autouse=True)
def read(monkeypatch):
    """What this test's process has read, for provenance: nothing at first."""
    monkeypatch.setattr(results, "_read", {})
    return results._read


def test_a_cached_repository_serves_when_the_hub_does_not_answer(hub):
    place, options = place_of(LLAVA.tuned)
    assert place.startswith(str(hub)) and options == {}
    assert type(open_vlm(LLAVA.tuned, torch.float32)).__name__ == "LlavaForConditionalGeneration"
    assert type(open_llm(LLAVA.llm, torch.bfloat16)).__name__ == "LlamaForCausalLM"


def test_a_connector_of_a_folder_of_a_repository(hub):
    source = shipped()["onevision-0.5b"].connector
    assert set(open_tensors(source)) == {
        f"model.mm_projector.{i}.{kind}" for i in (0, 2) for kind in ("weight", "bias")
    }


def test_provenance_names_the_commits_that_were_read(hub, read):
    study = Study.make("smoke")
    assert "sources" not in results.provenance(study, 1, 1)
    open_vlm(LLAVA.tuned, torch.float32)
    open_tensors(shipped()["onevision-0.5b"].connector)
    place_of(Source(str(hub)))  # a local folder has no commit, and its path is nobody's business
    made = results.provenance(study, 1, 1)["sources"]
    assert made == {LLAVA.tuned.repo: REVISION, "lmms-lab/llava-onevision-projectors": REVISION}


def test_a_hub_that_answers_says_the_commit(read, monkeypatch):
    answers = type("Meta", (), {"commit_hash": "c" * 40})
    monkeypatch.setattr(fetching, "get_hf_file_metadata", lambda url: answers())
    assert place_of(Source("org/model", "v1")) == ("org/model", {"revision": "v1"}) and read == {"org/model": "c" * 40}


def test_a_local_folder(hub, tmp_path):
    place, _ = place_of(LLAVA.tuned)
    local = Source(place)
    assert place_of(local) == (place, {})
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


@pytest.mark.parametrize("status, says", [(404, "holds no config.json at revision v9"), (401, "hf auth login")])
def test_what_the_hub_refuses(status, says, monkeypatch):
    def refuse(url):
        response = httpx.Response(status, request=httpx.Request("GET", url))
        raise RepositoryNotFoundError("no", response=response)

    monkeypatch.setattr(fetching, "get_hf_file_metadata", refuse)
    with pytest.raises(VLMError, match=says) as error:
        place_of(Source("org/model", "v9"))
    one_sentence(error)


class Planted:
    """Pickled, it would run code when it is read."""

    def __reduce__(self):
        return (print, ("run",))


def test_a_connector_file_that_would_run_code(tmp_path, capsys):
    torch.save({"model.mm_projector.0.weight": Planted()}, tmp_path / "c.bin")
    with pytest.raises(VLMError, match="no file of tensors") as error:
        open_tensors(Source(str(tmp_path), file="c.bin"))
    one_sentence(error)
    assert "run" not in capsys.readouterr().out


def test_a_connector_as_safetensors_in_a_folder_of_a_folder(tmp_path):
    (tmp_path / "7b").mkdir()
    save_file({"linear_1.weight": torch.ones(2)}, tmp_path / "7b" / "c.safetensors")
    source = Source(str(tmp_path), file="c.safetensors", folder="7b")
    assert torch.equal(open_tensors(source)["linear_1.weight"], torch.ones(2))
    with pytest.raises(VLMError, match="holds no 8b/c.safetensors") as error:
        open_tensors(Source(str(tmp_path), file="c.safetensors", folder="8b"))
    one_sentence(error)


@pytest.mark.parametrize("form", ["safetensors", "pickled", "sharded"])
def test_llms_in_any_form(tmp_path, form):
    vlm = tiny_vlm()
    llm = LlamaForCausalLM(vlm.model.config.text_config)
    llm.save_pretrained(tmp_path, max_shard_size="40KB" if form == "sharded" else "1GB")
    if form == "pickled":
        torch.save(llm.state_dict(), tmp_path / "pytorch_model.bin")
        (tmp_path / "model.safetensors").unlink()
    files = len(list(tmp_path.glob("*.safetensors")))
    assert files > 1 if form == "sharded" else files == (form == "safetensors")
    found = open_llm(Source(str(tmp_path)), torch.float32)
    assert not changed(weights(llm), weights(found))


def test_folders_that_hold_no_such_model(hub, tmp_path):
    with pytest.raises(VLMError, match="holds no image-text model") as error:
        open_vlm(Source(str(tmp_path)), torch.float32)
    one_sentence(error)
    with pytest.raises(VLMError, match="holds no image-text model"):
        open_vlm(LLAVA.llm, torch.float32)


def test_a_connector_file_that_is_none(tmp_path):
    for content in (b"", b"no tensors"):
        (tmp_path / "c.bin").write_bytes(content)
        with pytest.raises(VLMError, match="no file of tensors") as error:
            open_tensors(Source(str(tmp_path), file="c.bin"))
        one_sentence(error)
    torch.save([torch.ones(1)], tmp_path / "c.bin")
    with pytest.raises(VLMError, match="no file of tensors"):
        open_tensors(Source(str(tmp_path), file="c.bin"))
