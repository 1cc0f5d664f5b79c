"""A training run that is killed goes on from its checkpoint to the same end; damaged or foreign ones are refused."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_models import changed, one_sentence, tiny_vlm, tower_vlm, weights

from paperlib.study.study import CODE_ROOT
from paperlib.tuning import finetune
from paperlib.tuning.checkpoints import make_way, save
from paperlib.tuning.finetune import train, trainable
from paperlib.tuning.train_config import TrainingError

from test_finetune import Killed, colour_talk, config, run, stop_at  # isort: skip
from test_finetune import finished, one_thread, short_talks  # noqa: F401  # isort: skip


@pytest.mark.parametrize(
    "step, settings",
    [
        (1, config(2, 7)),
        (2, config(2, 7)),
        (5, config(2, 7)),
        (5, config(1, 7)),
        (5, config(2, 7, method="full", layers=(1, 2))),
    ],
)
def test_a_killed_run_goes_on_to_the_same_end(settings, step, tmp_path, monkeypatch):
    """Checkpoints come every 2 steps: killed before the first, at one, and between two."""
    whole = tiny_vlm()
    expected = run(whole, settings, tmp_path / "whole.checkpoint", every=2)
    path = tmp_path / "some" / "run.checkpoint"
    lift = stop_at(monkeypatch, step, Killed())
    with pytest.raises(Killed):
        run(tiny_vlm(), settings, path, every=2)
    lift()
    assert path.is_file() == (step >= 2)
    vlm = tiny_vlm()
    torch.manual_seed(1234)
    result = run(vlm, settings, path, every=2)
    assert result["loss"] == expected["loss"] and result["tokens"] == expected["tokens"]
    assert result["trained"] == expected["trained"]
    assert not changed(weights(whole.model), weights(vlm.model))
    # A finished run is not trained further, and its weights come back.
    lift = stop_at(monkeypatch, step, AssertionError("trained again"))
    again = tiny_vlm()
    assert run(again, settings, path)["loss"] == expected["loss"]
    assert not changed(weights(whole.model), weights(again.model))
    lift()


def killed_while_saving(path):
    """For a process of its own: killed between writing the second checkpoint and putting it in place."""
    finetune.conversation = colour_talk
    replace_file, calls = os.replace, []

    def kill(source, target):
        calls.append(target)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        replace_file(source, target)

    os.replace = kill
    run(tiny_vlm(), config(2, 7), Path(path), every=2)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_sigkill_in_the_middle_of_a_checkpoint(tmp_path):
    path = tmp_path / "run.checkpoint"
    code = "import sys, test_checkpoints; test_checkpoints.killed_while_saving(sys.argv[1])"
    folders = os.pathsep.join(map(str, (CODE_ROOT, CODE_ROOT / "tests", Path(__file__).parent)))
    environment = {**os.environ, "PYTHONPATH": folders, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code, path], env=environment, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    assert len(torch.load(path, weights_only=True)["losses"]) == 2  # the first checkpoint, whole
    whole, vlm = tiny_vlm(), tiny_vlm()
    expected, result = run(whole, config(2, 7)), run(vlm, config(2, 7), path, every=2)
    assert result["loss"] == expected["loss"] and not changed(weights(whole.model), weights(vlm.model))


def test_a_checkpoint_that_cannot_be_written_spares_the_last(tmp_path, monkeypatch):
    path, save, settings = tmp_path / "run.checkpoint", torch.save, config(1, 7)

    def full_disk(state, target):
        if len(state["losses"]) > 2:
            Path(target).write_bytes(b"half")
            raise OSError("No space left on device")
        save(state, target)

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(TrainingError, match="No space") as error:
        run(tiny_vlm(), settings, path, every=2)
    assert "run.checkpoint" in one_sentence(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["run.checkpoint"]
    monkeypatch.setattr(torch, "save", save)
    assert run(tiny_vlm(), settings, path)["loss"] == run(tiny_vlm(), settings)["loss"]
    assert [p.name for p in tmp_path.iterdir()] == ["run.checkpoint"]


@pytest.mark.parametrize("room", [0, 1000, 15_000])
def test_a_disk_that_is_full(room, tmp_path, limited):
    """The system itself refuses to write more: at once, within the header, within the tensors."""
    path = tmp_path / "run.checkpoint"
    run(tiny_vlm(), config(2, 2), path)
    before = path.read_bytes()
    with pytest.raises(TrainingError) as error, limited(room):
        parameters = trainable(tiny_vlm(), config(2, 2))
        optimizer = torch.optim.AdamW(parameters.values())
        save(
            path,
            config(2, 2),
            parameters,
            optimizer,
            torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0),
            [1.0],
            1,
            1.0,
        )
    assert "make room" in one_sentence(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["run.checkpoint"] and path.read_bytes() == before


@pytest.mark.parametrize(
    "stage, other, start", [(2, {"seed": 1}, "a"), (2, {"rank": 3}, "a"), (2, {}, "b"), (2, {}, None), (1, {}, "a")]
)
def test_way_is_made_for_other_settings_or_another_start(stage, other, start, tmp_path, caplog):
    """One line in the log; nothing is resumed. What fits stays, and goes on."""
    path = tmp_path / "run.checkpoint"
    train(tiny_vlm(), config(2, 2), path, progress=False, start="a")
    make_way(path, config(2, 2), "a")
    assert path.is_file() and not caplog.records
    settings = replace(config(stage, 2), **other)
    with pytest.raises(TrainingError, match="other settings"):
        train(tiny_vlm(), settings, path, progress=False, start=start)
    make_way(path, settings, start)
    assert not path.exists() and [r.message.count("run.checkpoint") for r in caplog.records] == [1]
    expected = train(tiny_vlm(), settings, progress=False)["loss"]
    assert train(tiny_vlm(), settings, path, progress=False, start=start)["loss"] == expected


@pytest.mark.parametrize(
    "other",
    [
        {"steps": 9},
        {"seed": 1},
        {"lr_llm": 1e-4},
        {"layers": (0, 1)},
        {"batch_size": 3},
        {"method": "full"},
        {"clip": 2.0},
        {"rank": 3},
        {"matching": 1},
    ],
)
def test_resuming_with_other_settings_is_refused(other, tmp_path, finished):  # noqa: F811
    path = tmp_path / "run.checkpoint"
    path.write_bytes(finished)
    with pytest.raises(TrainingError) as error:
        run(tiny_vlm(), replace(config(2, 2), **other), path)
    assert "run.checkpoint" in one_sentence(error.value) and str(tmp_path) not in str(error.value)
    assert path.read_bytes() == finished


def test_resuming_another_model_is_refused(tmp_path, finished):  # noqa: F811
    path = tmp_path / "run.checkpoint"
    path.write_bytes(finished)
    with pytest.raises(TrainingError, match="another model"):
        run(tower_vlm(), config(2, 2), path)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_damaged_checkpoints(content, tmp_path, finished):  # noqa: F811
    path = tmp_path / "run.checkpoint"
    path.write_bytes(finished[: len(finished) // 2] if content is None else content)
    with pytest.raises(TrainingError) as error:
        run(tiny_vlm(), config(2, 2), path)
    assert "delete it" in one_sentence(error.value)
