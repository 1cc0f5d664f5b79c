"""The data of the explorer's page: made on a tiny model, and the committed ones against a recomputation."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_models import one_sentence, tiny_vlm

from paperlib.geometry.similarity import neighborhood_overlap
from paperlib.interventions import explorer_page as page
from paperlib.interventions.explorer_answers import INTERVENTIONS, Answers, chosen_scenes
from paperlib.models.modalities import caption_states, picture_states
from paperlib.models.vlm import load_vlm
from paperlib.study.results import ResultError
from paperlib.study.study import CODE_ROOT
from paperlib.tasks.scene_sets import distinct_scenes

COMMITTED = CODE_ROOT / page.FOLDER
SCENES = distinct_scenes(60, 0)
SHOWN = chosen_scenes(distinct_scenes(200, 0), 2)


def test_every_question_has_every_choice_in_every_window():
    said = []
    data = page.answers_data(tiny_vlm(), tiny_vlm(1), SHOWN, said.append)
    assert data["depth"] == 4 and data["tokens"] == 16 and said[0] == "clean"
    assert [i["name"] for i in data["interventions"]] == list(INTERVENTIONS)
    for scene in data["scenes"]:
        for question in scene["questions"]:
            rows = [question["clean"], question["counterfactual"]]
            for intervention in data["interventions"]:
                under = question["under"][intervention["name"]]
                assert len(under) == len(intervention["windows"])
                rows += under
            assert {len(row) for row in rows} == {len(question["choices"])}
            assert np.sum(rows, axis=1) == pytest.approx(1, abs=1e-3)


def test_tables_are_by_the_layer_of_pictures_and_that_of_captions():
    vlm, pictures, captions = tiny_vlm(), [s.render() for s in SCENES], [s.caption for s in SCENES]
    data = page.neighbors_data({"tuned": vlm}, pictures, captions, [5, 7])
    found = data["stages"]["tuned"]
    assert data["layers"] == [0, 1, 2, 3, 4] and data["chance"] == pytest.approx(page.K / 59, abs=1e-4)
    seen, read = picture_states(vlm, pictures)["image mean"], caption_states(vlm, captions)["text mean"]
    assert found["overlap"][1][3] == pytest.approx(neighborhood_overlap(seen[:, 1], read[:, 3], page.K), abs=2e-4)
    for near, rank in zip(found["nearest"][1][3], found["rank"][1][3], strict=True):
        assert len(set(near)) == page.NEAREST and 1 <= rank <= 60
    assert (found["nearest"][1][3][0][0] == 5) == (found["rank"][1][3][0] == 1)


def test_files_are_read_back_and_an_edit_is_noticed(tmp_path):
    data = page.answers_data(tiny_vlm(), tiny_vlm(1), SHOWN[:1], lambda what: None)
    files = page.page_files(data, {"seed": 0}, SHOWN[:1])
    assert set(map(str, files)) == {"data.js", "pictures/00.png", "pictures/00-counterfactual.png"}
    assert Image.open(io.BytesIO(files[Path("pictures/00.png")])).size == (128, 128)
    path = tmp_path / "data.js"
    path.write_bytes(files[Path("data.js")])
    assert page.read_data(path)["provenance"] == {"seed": 0}
    path.write_text(path.read_text().replace('"depth":4', '"depth":5'))
    with pytest.raises(ResultError) as error:
        page.read_data(path)
    assert "make explorer" in str(error.value)
    path.write_text("window.OTHER = {};\n")
    with pytest.raises(ResultError) as error:
        page.read_data(path)
    one_sentence(error.value)


def test_what_is_committed_is_small_and_says_what_made_it():
    found = page.read_data(COMMITTED / "data.js")
    made, data = found["provenance"], found["data"]
    assert made["seed"] == 0 and made["code"]["commit"] and not made["code"]["modified"] and made["packages"]["torch"]
    assert set(made["weights"]) == {"tuned", "stage 1"}
    files = [path for path in COMMITTED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 5e6
    named = {scene[key] for scene in data["scenes"] for key in ("picture", "other_picture")}
    assert named == {path.relative_to(COMMITTED).as_posix() for path in COMMITTED.rglob("*.png")}
    assert len(data["scenes"]) == page.SCENES and len(data["neighbors"]["captions"]) == page.POINTS


@pytest.mark.assets
@pytest.mark.slow
def test_a_cell_of_the_committed_data_comes_out_again():
    """Float32 on another CPU adds in another order: probabilities agree to a hundredth."""
    data = page.read_data(COMMITTED / "data.js")["data"]
    tuned, before = load_vlm("mini", device="cpu"), load_vlm("mini-stage1", device="cpu")
    shown = chosen_scenes(distinct_scenes(page.POINTS, 0), page.SCENES)[1]
    stored = data["scenes"][1]
    assert stored["caption"] == shown.scene.caption and stored["other_caption"] == shown.other.caption
    answers = Answers(tuned, before, shown.examples, shown.others)
    for q, (example, p) in enumerate(zip(shown.examples, answers.clean(), strict=True)):
        question = stored["questions"][q]
        assert (question["question"], question["answer"]) == (example.question, example.answer)
        assert question["clean"] == pytest.approx(p, abs=0.01)
    for name in ("image->answer", "patch", "transplant"):
        number = next(i for i, x in enumerate(data["interventions"]) if x["name"] == name)
        windows = data["interventions"][number]["windows"]
        w = len(windows) // 2
        for question, p in zip(stored["questions"], answers.under(name, range(*windows[w])), strict=True):
            assert question["under"][name][w] == pytest.approx(p, abs=0.01)
