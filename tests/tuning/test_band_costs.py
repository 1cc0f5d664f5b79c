"""The steps that are counted and timed: each tunes what it says, and costs less where it should."""

from dataclasses import replace

import pytest
import torch

from paperlib.study.study import Study
from paperlib.tuning import stages as recipe
from paperlib.tuning.band_costs import make_steps, step_configs
from paperlib.tuning.step_costs import count_step


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    from paperlib.study.study import CODE_ROOT

    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("root")
        (root / "data" / "cache").mkdir(parents=True)
        (root / "data" / "cache" / "assets").symlink_to(CODE_ROOT / "data" / "cache" / "assets")
        patch.setenv("PAPERLIB_ROOT", str(root))
        study = Study.make("smoke", n_eval=2)
        recipe.tune(study, progress=False)
        yield study


@pytest.fixture(scope="module")
def counted(small):
    configs = step_configs(small)
    steps = make_steps(small, configs, 2)
    return (
        configs,
        {name: step.loss().item() for name, step in steps.items()},
        {name: count_step(step) for name, step in steps.items()},
    )


def test_all_recipes_start_at_one_loss_but_for_the_entry(counted):
    _, losses, _ = counted
    assert {round(v, 4) for name, v in losses.items() if name != "mid, late entry"} == {round(losses["full"], 4)}
    assert losses["mid, late entry"] != losses["full"]


def test_what_lies_below_costs_no_backward_pass(counted):
    configs, _, counts = counted
    cost = {name: (c.flops.total, c.activation_bytes) for name, c in counts.items()}
    for i in range(2):
        assert cost["late"][i] < cost["mid"][i] < cost["full"][i]
        assert cost["mid"][i] < cost["mid, connector tuned"][i] <= cost["full, connector tuned"][i]
    assert counts["mid, cached input"].flops.forward < counts["mid"].flops.forward
    assert counts["mid, cached input"].flops.backward == counts["mid"].flops.backward
    assert cost["mid, late entry"][0] < cost["mid"][0]


def test_the_number_of_trained_weights_goes_with_the_band(counted):
    configs, _, counts = counted
    sizes = {name: counts[name].trained for name in configs}
    assert sizes["mid"] == sizes["late"] == sizes["early"] == sizes["mid, late entry"] == sizes["mid, cached input"]
    assert sizes["full"] == sizes["mid"] + sizes["complement"] < sizes["full, connector tuned"]
    assert sizes["mid"] < sizes["mid, all weights"] < sizes["full, all weights"]
    assert counts["mid, all weights"].flops.forward < counts["mid"].flops.forward, "there is no LoRA to pass through"
    # Of each tuned matrix the gradient is a product more, so all weights' share of full tuning is the smaller.
    share = [counts[f"mid{how}"].flops.total / counts[f"full{how}"].flops.total for how in (", all weights", "")]
    assert share[0] < share[1] < 1


def test_models_share_what_is_frozen_and_nothing_else(small):
    steps = make_steps(
        small,
        {name: step_configs(small)[name] for name in ("full", "mid", "mid, connector tuned", "mid, all weights")},
        2,
    )
    weights = {name: dict(step.model.named_parameters()) for name, step in steps.items()}
    tuned = {name: {id(p) for p in found.values() if p.requires_grad} for name, found in weights.items()}
    everything = {name: {id(p) for p in found.values()} for name, found in weights.items()}
    for name in steps:
        assert tuned[name] and not any(tuned[name] & everything[other] for other in steps if other != name)
    assert len(everything["full"] & everything["mid"]) > len(everything["mid"]) / 3


@pytest.mark.parametrize("units", [True, False])
def test_steps_are_measured_in_what_the_machine_is_good_at(small, monkeypatch, units):
    """And say which: the recipe allows bfloat16, the hardware decides."""
    monkeypatch.setattr("paperlib.models.precision.bfloat16_units", lambda device: units)
    allowed = {
        name: replace(config, mixed=True)
        for name, config in step_configs(small).items()
        if name in ("mid", "mid, cached input", "mid, all weights")
    }
    for name, step in make_steps(small, allowed, 2).items():
        seen = set()
        for module in step.model.modules():
            if isinstance(module, torch.nn.Linear):
                module.register_forward_hook(lambda _, args, out: seen.add(str(out.dtype).removeprefix("torch.")))
        step.loss()
        assert step.precision in seen and step.precision == ("bfloat16" if units else "float32"), name
        assert units or seen == {"float32"}
