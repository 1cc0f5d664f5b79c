"""The explaining figures draw what their data say."""

import numpy as np
from matplotlib.colors import to_hex

from paperlib.figures import style
from paperlib.figures.diagrams import by_question
from paperlib.figures.publish import DRAW


def test_packed_mask_shows_exactly_what_may_be_attended_to():
    branch = [0, 0, 1, 1, 1, 2, 2]
    fig = DRAW["packed_mask"]({"turns": ["a?", "b?"], "branch": branch})
    drawn = np.asarray(fig.axes[0].images[0].get_array()) > 0
    for i, mine in enumerate(branch):
        for j, theirs in enumerate(branch):
            assert drawn[i, j] == (j <= i and theirs in (0, mine)), (i, j)
    labels = [text.get_text() for text in fig.axes[0].texts]
    assert labels == ["template and picture", "a?", "b?"]


def test_choice_probabilities_draws_every_share_and_marks_the_answer():
    question = {
        "question": "Where?",
        "answer": "here",
        "choices": ["here", "there"],
        "stages": {"untrained": [0.5, 0.5], "tuned": [0.9, 0.1]},
    }
    fig = DRAW["choice_probabilities"]({"questions": [question, question]})
    assert len(fig.axes) == 2
    assert sorted(round(bar.get_height()) for bar in fig.axes[0].patches) == [10, 50, 50, 90]
    bold = [label.get_text() for label in fig.axes[0].get_xticklabels() if label.get_fontweight() == "bold"]
    assert bold == ["here"]
    assert "%" in fig.axes[0].get_ylabel()


def test_lens_grid_puts_every_word_on_its_place():
    from paperlib.tasks.scenes import compose

    words = [["sky", "dog"], ["", "$5"]]
    data = {
        "picture": compose({"top right": "large red star"}).to_dict(),
        "credit": "credit",
        "panels": [{"title": "layer 0", "words": words}, {"title": "layer 9", "words": words}],
    }
    fig = DRAW["lens_grid"](data)
    assert [ax.get_title(loc="left") for ax in fig.axes] == ["layer 0", "layer 9"]
    placed = {text.get_text(): text.get_position() for text in fig.axes[0].texts}
    assert placed["sky"] == (32, 32) and placed["dog"] == (96, 32)  # of 128 x 128 pixels


def test_lens_grid_marks_right_words_and_a_panel_may_have_its_own_picture():
    from paperlib.tasks.scenes import compose

    first, second = (compose({"top right": f"large {colour} star"}).to_dict() for colour in ("red", "blue"))
    panels = [
        {"title": "a", "words": [["sky", "dog"]], "right": [[0, 1]], "n": 2},
        {"title": "b", "words": [["sky", "dog"]], "picture": second},
    ]
    left, right = DRAW["lens_grid"]({"picture": first, "credit": "credit", "panels": panels}).axes
    assert [text.get_text() for text in left.texts if text.get_fontweight() == "bold"] == ["dog"]
    assert not any(text.get_fontweight() == "bold" for text in right.texts)
    assert (np.asarray(left.images[0].get_array()) != np.asarray(right.images[0].get_array())).any()
    assert left.get_title(loc="left") == "a (n = 2)"


def test_bars_of_a_stage_have_its_colour():
    stages = {"untouched": [0.5, 0.5], "stage 1": [0.2, 0.8], "tuned": [1, 0]}
    question = {"question": "Where?", "answer": "here", "choices": ["here", "there"], "stages": stages, "n": 1}
    ax = DRAW["choice_probabilities"]({"questions": [question]}).axes[0]
    drawn = {bars.get_label(): to_hex(bars[0].get_facecolor()).upper() for bars in ax.containers}
    assert drawn.items() >= {stage: style.STAGE_COLOURS[stage] for stage in ("stage 1", "tuned")}.items()
    assert drawn["untouched"] not in style.STAGE_COLOURS.values()
    assert ax.get_title(loc="left") == "Where? (n = 1)"


def test_rows_become_questions():
    rows = [
        {"stage": stage, "question": q, "answer": "a", "choices": ["a", "b"], "probabilities": [p, 1 - p]}
        for stage, q, p in [("stage 1", "one?", 0.1), ("stage 1", "two?", 0.2), ("tuned", "one?", 0.3)]
    ]
    one, two = by_question(rows, "stage")
    assert one["stages"] == {"stage 1": [0.1, 0.9], "tuned": [0.3, 0.7]} and one["question"] == "one?"
    assert list(two["stages"]) == ["stage 1"] and two["choices"] == ["a", "b"] and two["answer"] == "a"
