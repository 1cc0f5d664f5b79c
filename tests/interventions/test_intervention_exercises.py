"""Tests of paperlib.interventions.intervention_exercises: the page's solutions pass, and wrong answers are refused."""

import contextlib
import re

import pytest
import torch

from paperlib.interventions import knockout
from paperlib.interventions.intervention_exercises import _hidden, asked, check_found, check_intervention, hidden_block
from paperlib.models.token_sets import edge
from paperlib.study import CODE_ROOT

PAGE = (CODE_ROOT / "docs" / "teach" / "exercises.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["check_found", "check_intervention"])
def test_the_pages_solution_runs_passes_and_ends_in_a_sentence(name, capsys):
    (code,) = [c for c in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if f"print({name}(" in c]
    exec(code, {})  # noqa: S102
    assert capsys.readouterr().out.startswith("Right: ")
    after = PAGE.split(code)[1].split("</details>")[0].strip().removeprefix("```").strip()
    assert after.endswith(".") and len(after.split()) > 8


@pytest.mark.parametrize("seed", range(6))
@torch.no_grad()
def test_the_hidden_block_alone_brings_the_picture_to_the_answer(seed):
    vlm = hidden_block(seed)
    batch, hidden = asked(vlm), _hidden(vlm, seed)
    clean = vlm.model(**batch).logits[0, -1]
    for block in range(len(vlm.layers)):
        with knockout(vlm, [block], *edge(vlm, batch, "image->answer")):
            changed = not torch.equal(vlm.model(**batch).logits[0, -1], clean)
        assert changed == (block == hidden) == check_found(vlm, block, seed).right


def test_seeds_hide_different_blocks():
    vlm = hidden_block()
    assert len({_hidden(vlm, seed) for seed in range(20)}) == len(vlm.layers)


@contextlib.contextmanager
def always(vlm, batch, factor):
    hook = vlm.layers[0].register_forward_pre_hook(lambda block, arguments: (arguments[0] * 1.5, *arguments[1:]))
    try:
        yield
    finally:
        hook.remove()


@contextlib.contextmanager
def never(vlm, batch, factor):
    yield


def scaled(vlm, factor):
    return vlm.layers[0].register_forward_pre_hook(lambda block, arguments: (arguments[0] * factor, *arguments[1:]))


@contextlib.contextmanager
def left_on(vlm, batch, factor):
    scaled(vlm, factor)
    yield


@contextlib.contextmanager
def left_on_after_an_error(vlm, batch, factor):
    hook = scaled(vlm, factor)
    yield
    hook.remove()


@pytest.mark.parametrize(("wrong", "said"), [
    (always, "must do nothing"), (never, "stay as they are"), (left_on, "has ended"),
    (left_on_after_an_error, "after an error"),
])  # fmt: skip
def test_wrong_interventions_are_told_apart(wrong, said):
    check = check_intervention(wrong)
    assert not check.right and said in check.said
