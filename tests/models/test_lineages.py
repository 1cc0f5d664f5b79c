"""Lineages: those that come with the project, a reader's own, and every way in which a file can be wrong."""

import pytest

from paperlib.models import lineages
from paperlib.models.lineages import LineageError, Source, is_lineage, lineage_of, read, shipped

GOOD = '[mine]\ntuned = { repo = "org/model" }\n'


def one_sentence(error):
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_the_shipped_lineages_are_those_that_the_study_speaks_of():
    names = shipped().keys()
    for name in ("mini", "tiny", "llava-1.5-7b", "llava-1.5-13b", "llava-next-7b", "onevision-0.5b", "onevision-7b"):
        assert name in names
    for start in ("internvl3", "qwen2-vl", "qwen2.5-vl", "smolvlm-256m", "smolvlm-500m", "paligemma", "gemma-3"):
        assert any(name.startswith(start) for name in names)
    for name, lineage in shipped().items():
        assert lineage.note and (lineage.built or (lineage.tuned and lineage.licence)), name


def test_llava_has_its_llm_its_connector_and_the_authors_bands():
    llava = lineage_of("llava-1.5-7b")
    assert llava.llm == Source("lmsys/vicuna-7b-v1.5")
    assert llava.connector.file == "mm_projector.bin" and llava.tuned_parts == ("connector", "LLM")
    assert llava.bands and all(source.repo.startswith("lbasile/llava_7b") for source in llava.bands.values())


def test_a_folder_or_a_hub_id_is_a_lineage_of_one(tmp_path):
    assert lineage_of("org/model").tuned == Source("org/model")
    assert lineage_of(str(tmp_path)).llm is None


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(LineageError, match="did you mean llava-1.5-7b") as error:
        lineage_of("llava1.5-7b")
    one_sentence(error)


@pytest.mark.parametrize("model", ["./no/such/folder", "~/models/x", "a/b/c", "", "https://x.org/a/b"])
def test_what_is_neither_a_folder_nor_a_hub_id(model):
    with pytest.raises(LineageError, match="There is no model") as error:
        lineage_of(model)
    one_sentence(error)


def test_names_and_files_of_lineages_are_told_from_hub_ids():
    assert is_lineage("llava-1.5-7b") and is_lineage("mini") and is_lineage("x/mine.toml") and is_lineage("m.toml#a")
    assert not is_lineage("org/model") and not is_lineage("mini-stage1")


def test_a_readers_own_file(tmp_path):
    (tmp_path / "weights").mkdir()
    path = tmp_path / "mine.toml"
    path.write_text(
        '[a]\ntuned = { repo = "weights" }\nllm = { repo = "org/llm", revision = "abc" }\n'
        'connector = { repo = "org/c", file = "c.safetensors", keys = { "x." = "linear_1." } }\n'
        'tuned_parts = ["LLM"]\nlicence = "MIT"\ngated = true\n[a.bands]\n"0:2" = { repo = "org/band" }\n'
        '[b]\ntuned = { repo = "org/other" }\n'
    )
    found = lineage_of(f"{path}#a")
    assert found.tuned.repo == str(tmp_path / "weights")  # folders are relative to the file
    assert found.llm.revision == "abc" and found.connector.keys == {"x.": "linear_1."}
    assert found.gated and found.bands["0:2"].repo == "org/band"
    assert lineage_of(f"{path}#b").tuned.repo == "org/other"
    with pytest.raises(LineageError, match="say which") as error:
        lineage_of(str(path))
    one_sentence(error)
    path.write_text(GOOD)
    assert lineage_of(str(path)).name == "mine"


@pytest.mark.parametrize(
    "text, says",
    [
        ("", "must hold a table"),
        ("x = 1", "must hold a table"),
        ("[mine", "is no TOML"),
        ("[mine]\nnote = 'x'\n", "must say where the tuned model is"),
        ("[mine]\ntuned = 'org/model'\n", "must name a repository"),
        ("[mine]\ntuned = { repo = '' }\n", "must name a repository"),
        (GOOD + "llms = 1\n", "no entry 'llms'"),
        ("[mine]\ntuned = { repo = 'a/b', branch = 'x' }\n", "no entry 'branch'"),
        ("[mine]\ntuned = { repo = 'a/b', revision = 3 }\n", "needs revision as a text"),
        ("[mine]\ntuned = { repo = 'a/b', keys = { a = 1 } }\n", "needs keys"),
        (GOOD + "tuned_parts = ['tower']\n", "tunes 'tower'"),
        (GOOD + "gated = 'no'\n", "needs gated as bool"),
        (GOOD + "bands = ['0:2']\n", "needs bands as a table"),
        (GOOD + "built = 'large'\n", "built is one of mini, tiny"),
        (GOOD + "connector = { repo = 'a/b' }\n", "connector, must name its file"),
        ("[mine]\ntuned = { repo = './gone' }\n", "no folder beside mine.toml and no hub id"),
        ("[mine]\ntuned = { repo = '~/gone' }\n", "no folder beside mine.toml and no hub id"),
        (GOOD + "llm = { repo = 'vicuna' }\n", "llm, names 'vicuna', which is no folder"),
    ],
)
def test_files_that_say_too_little_or_too_much(tmp_path, text, says):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(LineageError, match=says) as error:
        read(path)
    one_sentence(error)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(LineageError, match="cannot be read") as error:
        lineage_of(str(tmp_path / "none.toml"))
    one_sentence(error)


def test_no_revision_is_pinned_without_the_hub():
    """What is not known is not typed in: results record the commit that was read."""
    every = [
        s for line in shipped().values() for s in (line.tuned, line.llm, line.connector, *line.bands.values()) if s
    ]
    assert {source.revision for source in every} == {"main"}
    assert lineages.SHIPPED.is_file()
