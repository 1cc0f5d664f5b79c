"""Questions of the explorer, and what a model answers to them in each window."""

from dataclasses import replace

import numpy as np
import pytest
from planted import DEPTH, planted
from small_models import one_sentence, tiny_vlm

from paperlib.interventions.explorer_answers import (
    ENTER,
    INTERVENTIONS,
    LEAVE,
    PATCH,
    TRANSPLANT,
    Answers,
    chosen_scenes,
    windows_of,
)
from paperlib.tasks.scene_sets import distinct_scenes

SHOWN = chosen_scenes(distinct_scenes(200, 0), 3)
EXAMPLES, OTHERS = [e for s in SHOWN for e in s.examples], [e for s in SHOWN for e in s.others]
NO_OP = {ENTER: range(0), LEAVE: range(4, 4), PATCH: range(1, 1)}  # for a model of four blocks


def flat(found):
    return np.concatenate(found)


def test_scenes_differ_from_their_counterfactuals_in_what_the_first_question_asks():
    assert [s.examples[0].kind for s in SHOWN] == ["concept", "colour", "shape"]
    for shown in SHOWN:
        pairs = zip(shown.scene.things, shown.other.things, strict=True)
        assert sum(a != b for a, b in pairs) == 1
        first, turned = shown.examples[0], shown.turned[0]
        assert turned != first.answer and {turned, first.answer} <= set(first.choices)
        assert len({e.question for e in shown.examples}) == 3 and shown.turned[1:] == [None, None]
        assert all(b == replace(a, picture=shown.other) for a, b in zip(shown.examples, shown.others, strict=True))


def test_scenes_that_are_not_there_are_asked_for():
    with pytest.raises(ValueError) as error:
        chosen_scenes(distinct_scenes(10, 0), 11)
    assert "draw more" in one_sentence(error.value)


@pytest.mark.parametrize("name", INTERVENTIONS)
def test_windows_cover_the_depth_and_are_few_enough_for_a_slider(name):
    for depth in (4, 30, 32):
        spans = windows_of(name, depth)
        assert 4 <= len(spans) <= 17 and spans == sorted(spans, key=lambda w: (w.start, w.stop))
        assert all(0 <= w.start <= w.stop <= depth for w in spans)


def test_an_unknown_intervention():
    with pytest.raises(ValueError) as error:
        windows_of("scissors", 4)
    assert "scissors" in one_sentence(error.value)


@pytest.mark.parametrize("name", INTERVENTIONS)
def test_a_no_op_window_equals_the_baseline_and_a_whole_one_does_not(name):
    vlm = tiny_vlm()
    answers = Answers(vlm, tiny_vlm(1), EXAMPLES, OTHERS)
    clean, depth = flat(answers.clean()), answers.depth
    if name == PATCH:
        same = Answers(vlm, vlm, EXAMPLES, EXAMPLES)  # each picture's own states
        assert flat(same.under(PATCH, NO_OP[PATCH])) == pytest.approx(clean, abs=1e-5)
        assert flat(answers.under(PATCH, range(0))) == pytest.approx(flat(answers.counterfactual()), abs=1e-5)
        assert flat(answers.counterfactual()) != pytest.approx(clean, abs=1e-4)
    else:
        assert flat(answers.under(name, NO_OP.get(name, range(0)))) == pytest.approx(clean, abs=1e-5)
        assert flat(answers.under(name, range(depth))) != pytest.approx(clean, abs=1e-4)
    assert flat(answers.clean()).tolist() == clean.tolist()  # and it is undone


def test_a_transplant_of_the_models_own_blocks_changes_nothing():
    answers = Answers(tiny_vlm(), tiny_vlm(), EXAMPLES[:2], OTHERS[:2])
    assert flat(answers.under(TRANSPLANT, range(1, 3))) == pytest.approx(flat(answers.clean()), abs=1e-5)


@pytest.mark.parametrize("window", [range(2, 3), range(2), range(3, DEPTH)])
def test_only_a_window_with_the_block_that_reads_the_picture_matters(window):
    vlm = planted(2)
    answers = Answers(vlm, vlm, EXAMPLES[:2], OTHERS[:2])
    changed = flat(answers.under("image->answer", window)) != pytest.approx(flat(answers.clean()), abs=1e-4)
    assert changed == (2 in window)


def test_other_questions_are_no_counterfactuals():
    with pytest.raises(ValueError) as error:
        Answers(tiny_vlm(), tiny_vlm(), EXAMPLES[:2], OTHERS[:1])
    assert "counterfactual" in one_sentence(error.value)
