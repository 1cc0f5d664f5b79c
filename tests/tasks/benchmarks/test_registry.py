"""What every public benchmark must do: load rows in each form, draw, prompt, score, and refuse in one sentence."""

import json
import shutil

import pytest
from public_rows import FIXTURES, example
from small_models import one_sentence

from paperlib.tasks.benchmarks import PUBLIC, Example, SourceError, public

EVERY = pytest.mark.parametrize("name", PUBLIC)
WITH_PICTURES = pytest.mark.parametrize("name", [name for name in PUBLIC if name != "mmlu_pro"])


def folder_of(name, form="json"):
    return FIXTURES / form / name


@pytest.fixture
def copy(tmp_path):
    """-> a copy of a fixture's folder, and the path of its file of rows."""

    def of(name):
        shutil.copytree(folder_of(name), tmp_path / name)
        folder = tmp_path / name / ("add_obj" if name == "sugarcrepe" else "")
        return folder, folder / f"{public(name).CARD.split}.json"

    return of


def comparable(examples):
    return [(ex.id, ex.kind, ex.question, ex.answer, ex.choices, ex.group, ex.info["parts"]) for ex in examples]


def test_every_module_has_what_a_run_needs():
    for name, module in PUBLIC.items():
        assert module.__name__ == f"paperlib.tasks.benchmarks.{name}" and public(name) is module
        assert all(callable(getattr(module, part)) for part in ("load", "prompt", "score"))


@pytest.mark.parametrize("name", ["POPE", "scenes", None, []])
def test_an_unknown_name(name):
    with pytest.raises(ValueError, match="Unknown public benchmark .*: use one of pope, chartqa") as error:
        public(name)
    one_sentence(error.value)


@EVERY
def test_json_needs_no_package_and_every_example_is_whole(name):
    card, found = public(name).CARD, public(name).load(folder_of(name))
    assert len(found) >= 3 and len({ex.id for ex in found}) == len(found)
    for ex in found:
        assert isinstance(ex, Example) and (ex.benchmark, ex.split) == (card.name, card.split) and ex.question
        assert ex.answer in ex.choices if ex.choices else ex.answer
        assert name == "mmlu_pro" or ex.picture.render().mode == "RGB"
        assert public(name).prompt(ex) == ex.question == card.prompt(ex.info["parts"])
        json.dumps(ex.info["parts"])


@EVERY
def test_parquet_gives_the_same_as_json(name):
    pytest.importorskip("pyarrow", reason="parquet is read by pyarrow, of the extra benchmarks")
    load = public(name).load
    assert comparable(load(folder_of(name, "parquet"))) == comparable(load(folder_of(name)))


@EVERY
def test_draws_are_seeded_and_nested(name):
    load = public(name).load
    n = len([ex for ex in load(folder_of(name)) if name != "sugarcrepe" or ex.kind == "add_obj"])
    folder = folder_of(name) / ("add_obj" if name == "sugarcrepe" else "")
    drawn = [load(folder, n, seed) for seed in range(8)]
    assert len({tuple(ex.id for ex in found) for found in drawn}) > 1
    assert load(folder, 1, 5) == drawn[5][:1] and load(folder, n, 5) == drawn[5]


@EVERY
def test_every_variant_of_a_prompt_holds_the_question(name):
    module = public(name)
    for variant in module.CARD.prompts:
        for ex in module.load(folder_of(name), variant=variant):
            assert ex.question == module.prompt(ex, variant) and "{" not in ex.question
            assert ex.info["parts"].get("question", "") in ex.question


@EVERY
def test_an_unknown_variant(name):
    with pytest.raises(ValueError, match="has no prompt 'polite': use one of") as error:
        public(name).load(folder_of(name), variant="polite")
    one_sentence(error.value)


@EVERY
def test_the_right_reply_scores_1_and_nonsense_0(name):
    if name == "flickr30k":
        pytest.importorskip("pycocoevalcap", reason="CIDEr is computed by pycocoevalcap, of the extra benchmarks")
    for ex in public(name).load(folder_of(name)):
        assert public(name).score(ex.answer, ex)["correct"] >= 1
        scored = public(name).score("qqq", ex)
        assert scored["correct"] == 0 or scored["guessed"]


@EVERY
def test_a_renamed_column_is_told_with_what_was_found(name, copy):
    folder, file = copy(name)
    rows = json.loads(file.read_text())
    column = public(name).CARD.columns[-1]
    file.write_text(json.dumps([{f"new_{c}" if c == column else c: v for c, v in row.items()} for row in rows]))
    with pytest.raises(SourceError) as error:
        public(name).load(folder)
    assert f"needs the columns {', '.join(public(name).CARD.columns)}, but" in str(error.value)
    assert f"new_{column}" in str(error.value) and "\n" not in str(error.value) and str(error.value).endswith(".")


@EVERY
def test_another_split_is_told_with_what_was_found(name, copy):
    folder, file = copy(name)
    file.rename(file.with_name("dev.json"))
    with pytest.raises(SourceError) as error:
        public(name).load(folder)
    assert f"needs the split {file.stem!r}, but the folder" in str(error.value) and "dev" in str(error.value)


@WITH_PICTURES
def test_a_broken_picture_is_left_out_with_its_row_and_counted(name, copy, caplog):
    folder, file = copy(name)
    whole = public(name).load(folder)
    picture = next(v for v in json.loads(file.read_text())[0].values() if str(v).startswith("pictures/"))
    (folder / picture).write_bytes((folder / picture).read_bytes()[:40])
    gone = [ex for ex in whole if ex.group == whole[0].group]
    left = public(name).load(folder)
    assert [ex.id for ex in left] == [ex.id for ex in whole if ex not in gone]
    assert f"The picture of row {whole[0].id} " in caplog.text
    assert f"of {len(whole)} rows looked at, {len(gone)} are left out" in caplog.text


def test_examples_for_scoring_need_no_picture():
    assert public("pope").score("yes", example("yes"))["correct"] == 1
