"""Checkpoints are written whole or not at all, the newest is taken, and those of other settings are refused."""

import json
from dataclasses import replace

import pytest
import torch
from scaled_runs import SHORT, Memory, Stopped, run
from small_models import changed, one_sentence

from paperlib.tuning import scaled_checkpoints
from paperlib.tuning.processes import Processes
from paperlib.tuning.scaled_checkpoints import MEANS, STATE, WEIGHTS, newest
from paperlib.tuning.train_config import TrainingError


@pytest.fixture(scope="module")
def alone():
    return Processes("cpu")


@pytest.fixture(scope="module")
def trained(alone, tmp_path_factory):
    """A finished run of two steps: its folder, record and weights."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, *run(alone, replace(SHORT, steps=2), Memory(), folder, every=1)


@pytest.fixture
def copied(trained, tmp_path):
    """A copy of its checkpoint."""
    place = tmp_path / "run" / "step-000002"
    place.mkdir(parents=True)
    for path in newest(trained[0]).iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    return place


def test_one_checkpoint_is_left_with_what_was_trained(trained):
    folder, record, weights = trained
    assert [path.name for path in folder.iterdir()] == ["step-000002"]
    state = json.loads((newest(folder) / STATE).read_text())
    assert state["losses"] == record["loss"] and state["tokens"] == record["tokens"] and state["rows"] == record["rows"]
    assert (state["data"], state["data_seed"], state["start"], state["processes"]) == ("memory", 0, "tiny", 1)
    assert state["recipe"]["layers"] == [1, 2] and state["precision"] == "float32"
    from safetensors.torch import load_file

    held, means = load_file(newest(folder) / WEIGHTS), load_file(newest(folder) / MEANS)
    assert set(held) == set(record["trained"])
    assert all(torch.equal(weights[name.replace(".base_layer.", ".")], value) for name, value in held.items())
    assert set(means) == {f"{kind} {name}" for name in held for kind in ("exp_avg", "exp_avg_sq")}
    assert any(value.any() for value in means.values())


@pytest.mark.parametrize(
    "other",
    [
        {"config": replace(SHORT, steps=3)},
        {"config": replace(SHORT, steps=2, lr=1e-4)},
        {"config": replace(SHORT, steps=2, layers=(1,))},
        {"name": "other data"},
        {"seed": 3},
        {"start": "another"},
    ],
)
def test_other_settings_data_or_models_are_refused(alone, copied, other, monkeypatch):
    source = Memory()
    source.name, source.seed = other.get("name", "memory"), other.get("seed", 0)
    if "start" in other:
        usual = scaled_checkpoints.data_digest
        monkeypatch.setattr(
            scaled_checkpoints, "data_digest", lambda parts: usual([*parts[:3], other["start"], *parts[4:]])
        )
    with pytest.raises(TrainingError) as error:
        run(alone, other.get("config", replace(SHORT, steps=2)), source, copied.parent)
    assert "run/step-000002" in one_sentence(error.value) and "remove that folder" in str(error.value)


@pytest.mark.parametrize("name", [WEIGHTS, MEANS, STATE])
@pytest.mark.parametrize("how", ["cut", "gone"])
def test_a_damaged_checkpoint_is_refused(alone, copied, name, how):
    path = copied / name
    if how == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.unlink()
    with pytest.raises(TrainingError) as error:
        run(alone, replace(SHORT, steps=2), Memory(), copied.parent)
    assert "cannot be read" in one_sentence(error.value)


def test_how_the_machine_computes_is_no_setting(alone, copied, trained):
    config = replace(SHORT, steps=2, micro_batch=4, checkpointing=False)
    record, weights = run(alone, config, Memory(), copied.parent)
    assert record["loss"] == trained[1]["loss"] and not changed(trained[2], weights)


def test_what_a_killed_run_left_half_written_is_ignored_and_removed(alone, tmp_path):
    (tmp_path / ".step-000009.tmp").mkdir()
    (tmp_path / ".step-000009.tmp" / WEIGHTS).write_bytes(b"half")
    (tmp_path / "step-000001").mkdir()  # an older one, which a kill kept from being removed
    (tmp_path / "notes").mkdir()
    assert newest(tmp_path).name == "step-000001" and newest(tmp_path / "nowhere") is None and newest(None) is None
    (tmp_path / "step-000001").rmdir()
    run(alone, replace(SHORT, steps=1), Memory(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes", "step-000001"]


@pytest.mark.parametrize("room", [100, 20_000])
def test_a_full_disk_leaves_the_checkpoint_before(alone, tmp_path, limited, room):
    with pytest.raises(InterruptedError):
        run(alone, replace(SHORT, steps=20), Stopped(), tmp_path, every=5)
    before = {path.name: path.read_bytes() for path in newest(tmp_path).iterdir()}
    with pytest.raises(TrainingError) as error, limited(room):
        run(alone, replace(SHORT, steps=20), Memory(), tmp_path, every=6)
    assert "room" in one_sentence(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000005"]
    assert {path.name: path.read_bytes() for path in newest(tmp_path).iterdir()} == before
