"""Instructions of the hub: streams at a pinned commit, pictures encoded, and files that are fetched."""

import json
import sys
import types
from itertools import islice

import pytest
from instruction_rows import FIXTURES, MIX
from small_models import one_sentence

from paperlib.tasks.benchmarks import hub_rows
from paperlib.tasks.benchmarks.card import SourceError
from paperlib.tasks.instructions import open_instructions

ROWS = [json.loads(line) for line in (FIXTURES / "messages" / "train.jsonl").read_text().splitlines()]
COMMIT = "c" * 40


class Stream(list):
    features = None


@pytest.fixture
def hub(monkeypatch):
    """-> what was asked of the stand-ins for `datasets` and the hub's files; every branch is at one commit."""
    asked = []

    def load_dataset(*arguments, **named):
        asked.append((arguments, named))
        return Stream(ROWS)

    def download(repository, file, **named):
        asked.append(((repository, file), named))
        return str(MIX)

    module = types.SimpleNamespace(
        Image=type("Image", (), {}),
        get_dataset_config_names=lambda repository, revision: ["default"],
        get_dataset_split_names=lambda repository, config, revision: ["train", "test"],
        load_dataset=load_dataset,
    )
    monkeypatch.setitem(sys.modules, "datasets", module)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    branch = types.SimpleNamespace(sha=COMMIT)
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda self, repository, revision, timeout: branch)
    return module, asked


def test_each_pass_streams_from_the_same_commit(hub, monkeypatch):
    data = open_instructions("owner/set", pictures=FIXTURES / "messages")
    assert data.name == f"owner/set@{COMMIT}" and not hub[1]
    later = types.SimpleNamespace(sha="d" * 40)  # someone pushes
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda self, repository, revision, timeout: later)
    whole = [one.id for one in islice(data.examples(), 7)]
    assert sorted(whole[:3]) == ["0", "1", "2"]
    assert hub[1] == [(("owner/set", None), {"split": "train", "revision": COMMIT, "streaming": True})] * 3
    again = open_instructions(f"owner/set@{COMMIT}", pictures=FIXTURES / "messages")
    assert [one.id for one in islice(again.examples(2), 5)] == whole[2:]


def test_a_split_or_column_that_changed_is_told(hub):
    hub[0].get_dataset_split_names = lambda repository, config, revision: ["training"]
    with pytest.raises(SourceError, match="needs the split 'train', but owner/set has training") as error:
        next(open_instructions("owner/set").examples())
    one_sentence(error.value)
    hub[0].get_dataset_split_names = lambda repository, config, revision: ["train"]
    hub[0].load_dataset = lambda *_, **__: Stream([{"messages": [], "pictures": []}])
    with pytest.raises(SourceError) as error:
        next(open_instructions("owner/set").examples())
    says = one_sentence(error.value)
    assert "conversations, or messages and images, but owner/set@c" in says and "has messages, pictures" in says


@pytest.mark.parametrize(
    "source, asked",
    [
        ("owner/set:rows/mix.json", ("owner/set", "rows/mix.json")),
        (f"owner/set@{COMMIT}:mix.json", ("owner/set", "mix.json")),
        ("liuhaotian/LLaVA-Instruct-150K", ("liuhaotian/LLaVA-Instruct-150K", "llava_v1_5_mix665k.json")),
        ("liuhaotian/LLaVA-Pretrain@main", ("liuhaotian/LLaVA-Pretrain", "blip_laion_cc_sbu_558k.json")),
    ],
)
def test_a_file_is_fetched_at_a_commit(hub, source, asked):
    data = open_instructions(source, pictures=MIX.parent)
    assert hub[1] == [(asked, {"repo_type": "dataset", "revision": COMMIT})]
    assert data.size == 6 and data.name == f"{asked[0]}@{COMMIT}:{asked[1]}"
    with pytest.raises(SourceError, match="These rows name files of pictures") as error:
        open_instructions(source)
    one_sentence(error.value)


def test_a_file_that_cannot_be_fetched(monkeypatch):
    def fails(*arguments, **named):
        raise ConnectionError("many\nlines")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fails)
    monkeypatch.setattr(hub_rows, "_commit", lambda repository, revision: revision)
    for source, says in [
        ("owner/set@v2:mix.json", r"'mix.json' cannot be fetched from 'owner/set' at 'v2' \(ConnectionError\)"),
        ("owner/set/more:mix.json", "'owner/set/more' is no data set of the hub"),
    ]:
        with pytest.raises(SourceError, match=says) as error:
            open_instructions(source)
        one_sentence(error.value)


def test_the_package_datasets_streams_pictures_in_lists_encoded(tmp_path, monkeypatch):
    """`datasets` reads a folder as it reads a data set of the hub."""
    pytest.importorskip("datasets", reason="the extra benchmarks is not installed")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    from paperlib.tasks.instructions.opening import CARD

    rows = list(hub_rows._of_hub(CARD, str(FIXTURES / "parquet"), "main", "train"))
    assert [type(image["bytes"]) for row in rows for image in row["images"]] == [bytes] * 5
    assert rows == list(hub_rows.rows_of_files([FIXTURES / "parquet/data/train-00000-of-00001.parquet"]))
