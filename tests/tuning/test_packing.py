"""The packed loss in pieces: from kept input it is what it is from the start, and so is training on kept input."""

import pytest
import torch
from small_models import one_sentence, tiny_vlm

from paperlib.tuning import finetune
from paperlib.tuning.finetune import train, trainable
from paperlib.tuning.packing import embedded, packed_loss, run_below
from paperlib.tuning.train_config import TrainConfig, TrainingError

from test_finetune import colour_talk  # isort: skip


@pytest.fixture(autouse=True)
def short_talks(monkeypatch):
    monkeypatch.setattr(finetune, "conversation", colour_talk)


def config(**more):
    return TrainConfig(2, **{"steps": 4, "batch_size": 2, "length": 112, "rank": 2, "mixed": False, "warmup": 2} | more)


@pytest.mark.parametrize("start", [1, 2, 3])
def test_from_kept_input_the_loss_is_the_same_to_the_bit(start):
    vlm = tiny_vlm()
    packed, features = finetune.training_batch(vlm, vlm.model, config(), 0)
    blocks = list(vlm.model.model.language_model.layers)
    with torch.no_grad():
        states = embedded(vlm.model, packed, features)
        whole = packed_loss(vlm.model, packed, states)
        kept = run_below(vlm.model, packed, states, start)
        assert packed_loss(vlm.model, packed, kept, start) == whole
        assert packed_loss(vlm.model, packed, kept, start - 1) != whole
    assert list(vlm.model.model.language_model.layers) == blocks


def test_training_twice_through_the_data_runs_lower_blocks_once_and_ends_the_same(monkeypatch):
    settings = config(layers=(2, 3), connector=False, epochs=2, batch_size=3)
    calls, vlm = [], tiny_vlm()
    vlm.layers[0].register_forward_hook(lambda *_: calls.append(1))
    kept = train(vlm, settings, progress=False)
    assert len(calls) == settings.steps // settings.epochs
    monkeypatch.setattr(finetune, "first_trained_block", lambda config: 0)
    again = train(tiny_vlm(), settings, progress=False)
    assert kept["loss"] == pytest.approx(again["loss"], rel=1e-6)
    other = train(tiny_vlm(), config(layers=(2, 3), connector=False, batch_size=3), progress=False)
    assert kept["loss"][:2] == other["loss"][:2] and kept["loss"][2:] != other["loss"][2:]


def test_with_the_connector_frozen_no_gradient_reaches_below_the_band():
    vlm = tiny_vlm()
    parameters = trainable(vlm, config(layers=(2,), connector=False))
    assert all(".layers.2." in name for name in parameters)
    base, seen = vlm.model.get_base_model(), []
    for i in (1, 2):
        vlm.layers[i].register_forward_hook(lambda block, args, out, i=i: seen.append((i, out.requires_grad)))
    packed, features = finetune.training_batch(vlm, base, config(), 0)
    packed_loss(base, packed, embedded(base, packed, features)).backward()
    assert seen == [(1, False), (2, True)]


@pytest.mark.parametrize(
    "bad",
    [
        {"layers": (), "connector": False},
        {"epochs": 3},
        {"epochs": 0},
        {"epochs": 2, "enter": 1, "layers": (2,), "connector": False},
        {"stage": 1, "connector": False},
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_changes(bad):
    vlm = tiny_vlm()
    with pytest.raises(TrainingError) as error:
        train(
            vlm,
            TrainConfig(**{"stage": 2, "steps": 4, "batch_size": 2, "length": 112, "rank": 2, "mixed": False, **bad}),
            progress=False,
        )
    assert one_sentence(error.value)
    assert all(p.requires_grad for p in vlm.model.parameters())


def test_image_tokens_that_enter_later_are_trained_as_they_will_answer():
    vlm = tiny_vlm()
    run = train(vlm, config(layers=(2, 3), connector=False, enter=2), progress=False)
    plain = train(tiny_vlm(), config(layers=(2, 3), connector=False), progress=False)
    assert run["loss"] != plain["loss"]
    from paperlib.models.late_entry import entry_of

    assert entry_of(vlm.model).block == 2 and entry_of(vlm.model).scale > 0
