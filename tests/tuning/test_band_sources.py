"""What is there is compared, and what is missing is said: the shipped results and adapters beside an empty cache."""

import pytest

from paperlib.study.results import ResultError
from paperlib.study.study import CODE_ROOT, Study
from paperlib.tuning.arms import ARMS, SWEEPS
from paperlib.tuning.band_sources import find_sources


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A root with what the project ships, and an empty cache but for assets and base models."""
    (tmp_path / "data" / "cache").mkdir(parents=True)
    for name in ("reference", "adapters", "cache/assets", "cache/models"):
        (tmp_path / "data" / name).symlink_to(CODE_ROOT / "data" / name)
    monkeypatch.setenv("PAPERLIB_ROOT", str(tmp_path))


def test_the_shipped_study_lacks_complement_on_two_seeds_alone(shipped):
    found = find_sources(Study.make("mini"))
    assert found.results.seeds == [0, 1, 2] and found.arms == tuple(ARMS) and found.live == Study.make("mini")
    assert len(found.missing) == 1 and "*complement*" in found.missing[0] and "seed 0 alone" in found.missing[0]


def test_another_seed_lets_the_shipped_adapters_answer(shipped):
    found = find_sources(Study.make("mini", seed=1, n_eval=8))
    assert (found.live.seed, found.live.n_eval, found.results.seed) == (0, 8, 1)
    assert any("no adapters of seed 1" in said for said in found.missing)


def test_a_seed_that_was_not_compared_says_so(shipped):
    assert any("Seed 7 has no recorded" in said for said in find_sources(Study.make("mini", seed=7)).missing)


def test_a_preset_without_results_reads_the_shipped_ones(shipped):
    found = find_sources(Study.make("gpu"))
    assert (found.preset, found.live.preset, found.results.seeds) == ("mini", "mini", [0, 1, 2])
    assert any("no recorded results of preset gpu" in said and "PRESET=gpu" in said for said in found.missing)


def test_without_any_results_the_message_says_how_to_make_them(tmp_path, monkeypatch):
    monkeypatch.setenv("PAPERLIB_ROOT", str(tmp_path))
    with pytest.raises(ResultError, match="make them with"):
        find_sources(Study.make("gpu"))


@pytest.mark.slow
def test_with_retrain_everything_is_trained_and_nothing_is_missing(study):
    found = find_sources(study)
    assert found.missing == () and found.live == study and found.results.seeds == [study.seed]
    assert all(found.results.losses(arm) for arm in (*ARMS, *SWEEPS))
