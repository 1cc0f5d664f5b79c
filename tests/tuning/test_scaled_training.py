"""Training on instructions: two processes do what one does, sharded or not; a killed run goes on to the same end."""

import copy
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from families import FAMILIES
from families import family as shared_family
from scaled_runs import BFLOAT16, CONFIG, FULL, RUNS, SHORT, Memory, Stopped, run
from small_models import changed, one_sentence, tiny_vlm, tower_vlm, weights
from torch.nn import functional

from paperlib.models import precision
from paperlib.models.parts import connector
from paperlib.models.vlm import VLM, load_vlm
from paperlib.study.study import CODE_ROOT
from paperlib.tuning import scaled_training
from paperlib.tuning.own_bands import put_weights, save_whole
from paperlib.tuning.processes import Processes
from paperlib.tuning.scaled_batches import micro_batch
from paperlib.tuning.scaled_checkpoints import newest
from paperlib.tuning.scaled_training import SummedLoss
from paperlib.tuning.train_config import TrainingError
from paperlib.tuning.trained_parts import choose

NEAR = 1e-4  # of losses [nats]; sums are made in another order


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def alone():
    return Processes("cpu")


@pytest.fixture(scope="module")
def single(alone):
    """-> what one process makes of a run of `RUNS`, computed once."""
    found = {}

    def of(name):
        kind = name.removeprefix("sharded ")
        kind = {"resumed": "sharded full" if "sharded" in name else "whole", "full": "sharded full"}.get(kind, kind)
        kind = {"killed": "whole"}.get(kind, kind)
        if kind not in found:
            config, source, _ = RUNS.get(kind, (SHORT, Memory, 0))
            found[kind] = dict(zip(("record", "weights"), run(alone, config, source()), strict=True))
        return found[kind]

    return of


@pytest.fixture(scope="module")
def two(alone, tmp_path_factory):
    """The folder that two processes left, the last of whose runs was killed by signal 9."""
    folder = tmp_path_factory.mktemp("two")
    for name, config in (("resumed", CONFIG), ("sharded resumed", FULL)):
        with pytest.raises(InterruptedError):
            run(alone, config, Stopped(), folder / name, every=6)
        assert newest(folder / name).name == "step-000006"
    words = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d"]
    words += ["--rdzv-endpoint", "localhost:0", str(CODE_ROOT / "tests" / "scaled_runs.py"), str(folder)]
    there = {"PYTHONPATH": f"{CODE_ROOT}{os.pathsep}{CODE_ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *words], env=os.environ | there, capture_output=True, text=True)
    assert done.returncode and "SIGKILL" in done.stderr, done.stderr[-3000:]
    return folder


# ---------------------------------------------------------------- two processes and one


@pytest.mark.slow
def test_two_processes_do_what_one_does(two, single, alone, tmp_path):
    """One test, so that the processes are started once: its parts are the functions below."""
    for name in (name for name in RUNS if name not in ("killed", "sharded bfloat16")):
        same(name, torch.load(two / f"{name}.pt"), single(name))
    for name in ("whole", "sharded full"):
        frozen_is_equal_to_the_bit(RUNS[name][0], torch.load(two / f"{name}.pt")["weights"])
    assert newest(two / "killed").name == "step-000006" and not (two / "killed.pt").exists()
    record, found = run(alone, CONFIG, Memory(), two / "killed")  # killed with two in step 8, gone on with one
    same("killed", {"record": record, "weights": found}, single("killed"))
    coarse = torch.load(two / "sharded bfloat16.pt")["record"]
    fine, _ = run(alone, replace(BFLOAT16, mixed=False))
    assert coarse["precision"] == "bfloat16" and coarse["loss"] == pytest.approx(fine["loss"], rel=0.02)
    loads_as_any_other(newest(two / "sharded full"), tmp_path / "band", single("sharded full")["weights"])


def same(name, found, wanted):
    """Losses, counts and the weights at the end; in one process micro-batches stand for the other."""
    assert len(wanted["record"]["loss"]) == RUNS[name][0].steps, name
    assert found["record"]["loss"] == pytest.approx(wanted["record"]["loss"], abs=NEAR), name
    for key in ("tokens", "rows", "refused", "trained", "precision"):
        assert found["record"][key] == wanted["record"][key], (name, key)
    assert found["weights"].keys() == wanted["weights"].keys()
    for key, value in wanted["weights"].items():
        torch.testing.assert_close(found["weights"][key], value, rtol=0, atol=1e-5, msg=f"{name}: {key}")


def frozen_is_equal_to_the_bit(config, after):
    before = weights(tiny_vlm().model)
    after = {key.removeprefix("base_model.model."): value for key, value in after.items() if "lora_" not in key}
    moved = changed(before, after)
    blocks = {int(key.split(".layers.")[1].split(".")[0]) for key in moved if "language_model.layers" in key}
    assert blocks == (set(config.layers) if config.method == "full" else set())
    assert {key.split(".")[1] for key in moved} <= {"multi_modal_projector", "language_model"}
    assert any("multi_modal_projector" in key for key in moved) and not any("embed" in key for key in moved)


def loads_as_any_other(checkpoint, folder, wanted):
    """Weights of a sharded run's checkpoint, in a whole model's folder."""
    vlm = tiny_vlm()
    put_weights(vlm, FULL, checkpoint)
    save_whole(folder, vlm, {"arm": "band"})
    loaded = load_vlm(folder, "cpu")
    there = weights(loaded.model)
    assert there.keys() == wanted.keys()
    for key, value in wanted.items():
        torch.testing.assert_close(there[key], value, rtol=0, atol=1e-5)
    assert isinstance(loaded.answer(None, "Is it red?", 4), str)


def test_a_mean_of_the_processes_means_would_be_seen(single):
    """The rows of two processes have so different answers that losses divided in each of them would differ."""
    vlm, source = tiny_vlm(), Memory()
    loss = SummedLoss(vlm.model, [])
    sums, counts = [], []
    for rank in (0, 1):
        rows = [source.one(i) for i in range(rank, CONFIG.batch_size, 2)]
        made = micro_batch(vlm, rows, CONFIG)
        sums.append(loss(made.inputs, made.labels).item())
        counts.append(made.tokens)
    of_all, of_each = sum(sums) / sum(counts), (sums[0] / counts[0] + sums[1] / counts[1]) / 2
    assert of_all == pytest.approx(single("whole")["record"]["loss"][0], abs=NEAR)
    assert abs(of_all - of_each) > 100 * NEAR


# ---------------------------------------------------------------- one process


@pytest.mark.parametrize("method", ["lora", "full"])
def test_how_a_step_is_divided_changes_nothing(alone, method):
    config = replace(SHORT if method == "lora" else FULL, steps=3)
    records = [
        run(alone, replace(config, micro_batch=n, checkpointing=kept))[0]["loss"]
        for n, kept in ((1, True), (3, False), (4, True))
    ]
    assert records[1] == pytest.approx(records[0], abs=NEAR) and records[2] == pytest.approx(records[0], abs=NEAR)


def test_the_loss_goes_down_and_a_convolutional_tower_stays(alone):
    record, after = run(alone, replace(FULL, layers=(1,), length=200), make=tower_vlm)
    assert sum(record["loss"][-3:]) < 0.97 * sum(record["loss"][:3])
    before = weights(tower_vlm().model)
    assert {key.split(".")[1] for key in changed(before, after)} == {"multi_modal_projector", "language_model"}


def test_bfloat16_where_there_are_units(alone, monkeypatch):
    monkeypatch.setattr(precision, "bfloat16_units", lambda device: True)
    for config in (replace(SHORT, steps=2), replace(FULL, steps=2)):
        vlm = tiny_vlm()
        record = scaled_training.train_scaled(vlm, replace(config, mixed=True), Memory(), alone, progress=False)
        assert record["precision"] == "bfloat16"
        held = {p.requires_grad: p.dtype for p in vlm.model.get_decoder().parameters()}
        assert held == {True: torch.float32, False: torch.bfloat16}
        plain, _ = run(alone, config)
        assert record["loss"] == pytest.approx(plain["loss"], rel=0.02)


def test_the_model_is_left_in_evaluation_mode_and_without_gradients(alone):
    vlm = tiny_vlm()
    scaled_training.train_scaled(vlm, SHORT, Memory(), alone, progress=False)
    assert not any(module.training for module in vlm.model.modules())
    assert all(p.grad is None for p in vlm.model.parameters())


def test_a_loss_that_is_not_finite_stops_the_run(alone, tmp_path):
    config = replace(SHORT, lr=1e30, lr_connector=1e30, steps=6)
    with pytest.raises(TrainingError) as error:
        run(alone, config, checkpoint=tmp_path, every=1)
    assert "learning rates" in one_sentence(error.value)
    assert newest(tmp_path) is not None  # of the steps before


def test_a_step_without_a_usable_instruction(alone):
    class Nothing(Memory):
        def one(self, i):
            return super().one(5)  # with a special token in its words

    with pytest.raises(TrainingError) as error:
        run(alone, SHORT, Nothing())
    assert "step 0" in one_sentence(error.value) and "special token in its words" in str(error.value)


def test_a_run_that_was_interrupted_goes_on_and_a_finished_one_is_not_trained_again(alone, tmp_path, monkeypatch):
    whole = run(alone, SHORT)
    source = Memory()
    monkeypatch.setattr(source, "one", lambda i: Memory.one(source, i) if i < 12 else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(alone, SHORT, source, tmp_path, every=2)
    record, after = run(alone, SHORT, Memory(), tmp_path)
    assert record["loss"] == whole[0]["loss"] and record["refused"] == whole[0]["refused"]
    assert not changed(whole[1], after)
    monkeypatch.setattr(scaled_training, "_step", None)
    record, after = run(alone, SHORT, Memory(), tmp_path)
    assert record["loss"] == whole[0]["loss"] and not changed(whole[1], after)


def test_each_step_takes_the_next_instructions(alone):
    asked = []

    class Asked(Memory):
        def one(self, i):
            asked.append(i)
            return super().one(i)

    run(alone, replace(SHORT, steps=2), Asked())
    assert asked[:8] == list(range(8)) and len(asked) <= 12  # one step ahead


# ---------------------------------------------------------------- every family


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("method", ["lora", "full"])
def test_every_family_is_tuned_in_its_connector_and_band(name, method):
    """The loss is that of all logits, and its gradient is in the connector and blocks 1 and 2, and nowhere else."""
    shared, batch = shared_family(name)
    vlm = VLM(name, copy.deepcopy(shared.model), None)
    labels = torch.full_like(batch["input_ids"], -100)
    for row, (mask, n) in enumerate(zip(batch["attention_mask"], batch.answer_lengths, strict=True)):
        end = int(mask.sum())
        labels[row, end - n : end] = batch["input_ids"][row, end - n : end]
    with torch.no_grad():
        logits = vlm.model(**batch).logits[:, :-1]
    wanted = functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")
    parameters = choose(vlm, method, (1, 2), True, 2, 0)
    scaled_training._keep_inputs_alone(vlm, True)
    bridge = list(connector(vlm.model).parameters())
    loss = SummedLoss(vlm.model, bridge)(dict(batch), labels)
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    loss.backward()
    given = {key for key, p in vlm.model.named_parameters() if p.grad is not None}
    assert given == set(parameters)
    assert all(p.grad.abs().sum() > 0 for p in bridge)
    reached = {i for i, block in enumerate(vlm.layers) for p in block.parameters() if p.grad is not None}
    assert reached == {1, 2}
    text = {key: value[:, -6:] for key, value in batch.items() if value.shape == batch["input_ids"].shape}
    text["input_ids"] = text["input_ids"].clamp(10, 33)  # words alone: the connector takes part with nothing
    vlm.model.zero_grad()
    SummedLoss(vlm.model, bridge)(text, text["input_ids"]).backward()
    assert all(p.grad is not None and not p.grad.any() for p in bridge)
