"""LLaVA's recipe: rates, schedule, and what of a run decides its result."""

import math
from dataclasses import replace

import pytest
from small_models import one_sentence

from paperlib.tuning.scaled_config import ScaledConfig
from paperlib.tuning.train_config import TrainingError


def test_rates_are_llavas():
    lora, full = ScaledConfig.of((1,), "lora", steps=100), ScaledConfig.of((1,), "full", steps=100)
    assert (lora.lr, lora.lr_connector, full.lr, full.lr_connector) == (2e-4, 2e-5, 2e-5, 2e-5)
    assert (lora.warmup, lora.batch_size, lora.length, lora.rank) == (0.03, 128, 2048, 128)
    assert ScaledConfig.of((1,), "full", steps=100, lr=1e-3).lr == 1e-3


def test_the_schedule_warms_up_and_falls_to_nothing():
    config = ScaledConfig(steps=200, layers=(0,))
    assert [config.rate(step) for step in range(6)] == pytest.approx([(i + 1) / 6 for i in range(6)])
    assert config.rate(6) == 1.0
    for step in (50, 120, 199):
        assert config.rate(step) == pytest.approx(0.5 * (1 + math.cos(math.pi * (step - 6) / 194)))
    assert 0 < config.rate(199) < 1e-3
    assert [ScaledConfig(steps=1, layers=(0,)).rate(0), ScaledConfig(steps=3, layers=(0,), warmup=0).rate(0)] == [1, 1]


@pytest.mark.parametrize("field", ["steps", "layers", "batch_size", "length", "seed", "method", "rank", "connector",
                                   "lr", "lr_connector", "warmup", "clip"])  # fmt: skip
def test_what_decides_the_result_is_in_the_recipe(field):
    config = ScaledConfig(steps=10, layers=(0,))
    others = {"layers": (1,), "method": "full", "connector": False, "seed": 3, "lr": 1.0, "lr_connector": 1.0}
    others |= {"warmup": 0.5, "clip": 2.0}
    assert replace(config, **{field: others.get(field, 77)}).recipe() != config.recipe()
    same = replace(config, micro_batch=9, checkpointing=False, mixed=False)
    assert same.recipe() == config.recipe()


def test_a_batch_is_divided_among_processes():
    config = ScaledConfig(steps=10, layers=(0,), batch_size=12)
    assert [config.rows_of(n) for n in (1, 2, 3, 12)] == [12, 6, 4, 1]
    with pytest.raises(TrainingError) as error:
        config.rows_of(5)
    assert "12" in one_sentence(error.value) and "5 processes" in str(error.value)


@pytest.mark.parametrize(
    "bad",
    [
        {"method": "some"},
        {"layers": (), "connector": False},
        {"steps": 0},
        {"batch_size": 0},
        {"micro_batch": -1},
        {"lr": 0.0},
        {"lr_connector": float("nan")},
        {"clip": float("inf")},
    ],
)
def test_what_cannot_be_trained(bad):
    with pytest.raises(TrainingError) as error:
        ScaledConfig(**{"steps": 10, "layers": (0,)} | bad)
    one_sentence(error.value)
