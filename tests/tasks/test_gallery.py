"""Pictures and questions to show a reader."""

import pytest

from paperlib.tasks.charts import Chart
from paperlib.tasks.concepts import concepts
from paperlib.tasks.gallery import gallery, held_out_scene, one_of_each, own_example, picture_credit
from paperlib.tasks.questions import KINDS
from paperlib.tasks.scenes import compose


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_the_gallery_shows_what_its_captions_say(seed):
    pictures, captions = gallery(seed)
    assert len(pictures) == len(captions) == 8 and isinstance(pictures[-1], Chart)
    assert all(picture.caption in caption for picture, caption in zip(pictures, captions))
    origin, other = pictures[4:6]
    changed = [i for i, pair in enumerate(zip(origin.things, other.things)) if pair[0] != pair[1]]
    assert len(origin.things) == len(other.things) and len(changed) == 1
    assert "counterfactual" in captions[5] and captions[6].startswith("Held out")
    assert any(t.concept and concepts()[t.concept].held_out for t in held_out_scene(seed).things)
    assert pictures[6] == held_out_scene(seed)
    assert gallery(seed) == (pictures, captions)


def test_a_question_of_each_kind():
    pictures = gallery(0)[0][:4]
    found = one_of_each(pictures, 0)
    assert [question.kind for _, question in found] == list(KINDS)
    assert all(question.answer in question.choices and scene in pictures for scene, question in found)
    with pytest.raises(ValueError, match="No picture allows a question of kind 'name'"):
        one_of_each([compose({"top left": "large red star"})], 0)


def test_questions_of_ones_own_differ_by_id():
    scene = compose({"top left": "large red star"})
    a, b = (own_example(scene, q, "yes", ("yes", "no")) for q in ("Is it red?", "Is it blue?"))
    assert a.id != b.id and a.group == b.group and a.picture is scene and a.answer in a.choices


def test_the_credit_names_the_pictures_and_their_licence():
    assert "Twemoji" in picture_credit() and "CC-BY 4.0" in picture_credit()
