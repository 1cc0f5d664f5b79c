"""The runs of a grid: one study for each model and seed, and every bad list refused."""

import pytest

from paperlib.study.grid import runs_of
from paperlib.study.study import StudyError


def test_one_study_without_lists():
    (run,) = runs_of({}).values()
    assert run.study.run == "mini" and run.parameters == {"preset": "mini", "seed": 0, "overrides": {}}
    (run,) = runs_of({"preset": "smoke", "seed": 2, "n_eval": 3}).values()
    assert run.parameters == {"preset": "smoke", "seed": 2, "overrides": {"n_eval": 3}}


def test_a_run_for_each_model_and_seed():
    runs = runs_of({"preset": "smoke", "models": "tiny,a/b", "seeds": "0,1", "n_eval": 3})
    assert len(runs) == 4 and len({run.study.run for run in runs.values()}) == 4
    assert [(run.study.model, run.study.seed) for run in runs.values()] == [
        ("tiny", 0), ("tiny", 1), ("a/b", 0), ("a/b", 1)
    ]  # fmt: skip
    assert all(name == run.study.run for name, run in runs.items())
    assert list(runs.values())[3].parameters["overrides"] == {"model": "a/b", "n_eval": 3}


def test_a_single_entry_is_a_list_of_one():
    assert [run.study.seed for run in runs_of({"seeds": 3}).values()] == [3]
    assert list(runs_of({"models": "mini"})) == ["mini"]


@pytest.mark.parametrize(
    "config, says",
    [
        ({"models": "a/b,,c/d"}, "without empty places"),
        ({"models": "a/b,a/b"}, "holds 'a/b' twice"),
        ({"seeds": "0,x"}, "whole number in plain digits"),
        ({"seeds": "0,01"}, "whole number in plain digits"),
        ({"seeds": "1,1"}, "holds '1' twice"),
        ({"seeds": "0,1", "seed": 2}, "cannot both be set"),
        ({"models": "mini", "model": "mini"}, "cannot both be set"),
        ({"preset": "large", "seeds": "0,1"}, "There is no preset"),
        ({"modls": "mini"}, "There is no parameter"),
    ],
)
def test_bad_lists(config, says):
    with pytest.raises(StudyError, match=says) as error:
        runs_of(config)
    assert "\n" not in str(error.value)
