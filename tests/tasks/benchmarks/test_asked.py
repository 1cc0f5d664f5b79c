"""Which benchmarks a study asks: the miniature ones, those of a folder, and what is said of those that are missing."""

import importlib.util
import shutil
from dataclasses import replace

import pytest
from public_rows import FIXTURES
from small_models import one_sentence

from paperlib.study.study import Study
from paperlib.tasks.benchmarks.asked import LIKE, asked_benchmarks
from paperlib.tasks.benchmarks.card import SourceError
from paperlib.tasks.benchmarks.registry import PUBLIC

SMOKE = Study.make("smoke")


def test_the_miniature_ones_by_kind():
    found, missing = asked_benchmarks(SMOKE, 3)
    assert list(found) == [*LIKE, "photographs"] and not missing
    assert len(found["pope"]) == 9 and all(e.benchmark == name for name, of in found.items() for e in of)


def test_a_folder_of_public_ones():
    found, missing = asked_benchmarks(replace(SMOKE, benchmarks=str(FIXTURES / "json")), 14)
    names = {module.CARD.name for module in PUBLIC.values()}
    assert set(found) | set(missing) == names and not set(found) & set(missing)
    assert {"POPE", "ChartQA", "ScienceQA-IMG", "MMMU", "MMLU-Pro", "SugarCrepe"} <= set(found)
    assert ("Flickr30K" in found) == (importlib.util.find_spec("pycocoevalcap") is not None)
    assert found["MMLU-Pro"][0].question.endswith("directly.")  # not the chain of thought


def test_what_a_folder_lacks_is_missing_with_the_reason(tmp_path):
    shutil.copytree(FIXTURES / "json" / "pope", tmp_path / "pope")
    (tmp_path / "chartqa").mkdir()
    (tmp_path / "chartqa" / "test.json").write_text('[{"question": "Q?", "answer": "3"}]')
    found, missing = asked_benchmarks(replace(SMOKE, benchmarks=str(tmp_path)), 5)
    assert list(found) == ["POPE"]
    assert "columns" in missing["ChartQA"] and "no folder mmmu" in missing["MMMU"]


@pytest.mark.parametrize("folder", ["nowhere", ""])
def test_no_such_place_is_one_sentence(tmp_path, folder):
    with pytest.raises(SourceError) as error:
        asked_benchmarks(replace(SMOKE, benchmarks=str(tmp_path / folder)), 5)
    assert "pope" in one_sentence(error.value)
