"""Adapters as files: which modules LoRA reaches, that what is saved is loaded, and what is refused."""

import json

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from small_models import changed, logits, one_sentence, picture, tiny_vlm, tower_vlm, weights
from torch import nn
from transformers import LlavaForConditionalGeneration

from paperlib.models import late_entry as entry
from paperlib.models.adapter_files import digests, read_adapters
from paperlib.models.adapters import (
    PROJECTIONS,
    AdapterError,
    add_lora,
    apply_adapter,
    connector,
    made_for,
    save_adapter,
)


def batch(vlm):
    prompts = [vlm.prompt("What is this?"), vlm.prompt("Why?")]
    return vlm.batch(prompts, [picture(0), picture(1)], ["a dog", "It is."])


def tune(model, layers=(1, 3), rank=2, exact=True):
    """As if trained: LoRA and connector with values of their own, which float16 holds exactly if `exact`."""
    torch.manual_seed(8)
    tuned = add_lora(model, rank, list(layers))
    bridge = connector(tuned.get_base_model())
    lora = [p for name, p in tuned.named_parameters() if "lora_" in name]
    with torch.no_grad():
        for parameter in [*bridge.parameters(), *lora]:
            parameter.add_(torch.randn_like(parameter) / 10)
            if exact:
                parameter.copy_(parameter.half())
    return tuned


def save_tuned(folder, record=None, **how):
    """-> the folder, the PeftModel's logits, the untouched model's logits."""
    vlm = tiny_vlm()
    plain = logits(vlm.model, batch(vlm))
    tuned = tune(vlm.model, **how)
    return save_adapter(folder, tuned, record or {"seed": 8}), logits(tuned, batch(vlm)), plain


# ---------------------------------------------------------------- which modules


@pytest.mark.parametrize("layers", [[0, 1, 2, 3], [1], [0, 2]])
def test_lora_reaches_exactly_the_named_modules(layers):
    vlm = tiny_vlm()
    inside = {name for name, _ in vlm.model.named_modules() if name.endswith(PROJECTIONS)}
    assert any("vision_tower.encoder.layers.1.self_attn.q_proj" in name for name in inside)  # the trap
    tuned = add_lora(vlm.model, 3, layers)
    reached = {
        name.removeprefix("base_model.model.") for name, module in tuned.named_modules() if hasattr(module, "lora_A")
    }
    assert reached == {f"model.language_model.layers.{i}.{p}" for i in layers for p in PROJECTIONS}
    trained = {name for name, p in tuned.named_parameters() if p.requires_grad}
    assert trained == {f"base_model.model.{name}.lora_{x}.default.weight" for name in reached for x in "AB"}
    shapes = {tuple(p.shape) for name, p in tuned.named_parameters() if "lora_A" in name}
    assert {rank for rank, _ in shapes} == {3}


def test_pefts_own_layer_choice_would_reach_the_tower():
    """The trap that `add_lora` avoids is one on this very model."""
    config = LoraConfig(r=2, target_modules=["q_proj"], layers_to_transform=[1])
    reached = [
        name for name, module in get_peft_model(tiny_vlm().model, config).named_modules() if hasattr(module, "lora_A")
    ]
    assert any("vision_tower" in name for name in reached)


def test_block_one_is_not_block_ten():
    """Names are taken in full: a model of eleven blocks, adapted in block 1 alone."""
    vlm = tiny_vlm()
    config = vlm.model.config
    config.text_config.num_hidden_layers = 11
    config.text_config.layer_types = None
    tuned = add_lora(LlavaForConditionalGeneration(config), 1, [1])
    trained = [name for name, p in tuned.named_parameters() if p.requires_grad]
    assert {name.split("layers.")[1].split(".")[0] for name in trained} == {"1"}


def test_lora_starts_as_no_change_and_scales_by_two():
    vlm = tiny_vlm()
    plain = logits(vlm.model, batch(vlm))
    tuned = add_lora(vlm.model, 2, [0, 3])
    assert torch.equal(logits(tuned, batch(vlm)), plain)
    module = tuned.get_base_model().get_decoder().layers[0].mlp.up_proj
    assert module.scaling["default"] == 2.0 and isinstance(module.lora_dropout["default"], nn.Identity)


def test_lora_by_hand(tmp_path):
    """Merged weights are W + 2 B A, computed here, in the chosen blocks; everything else is as it was."""
    folder, _, _ = save_tuned(tmp_path / "a")
    vlm = tiny_vlm()
    before, files = weights(vlm.model), load_file(folder / "adapter_model.safetensors")
    apply_adapter(vlm.model, folder)
    after = vlm.model.state_dict()
    wanted = {f"model.language_model.layers.{i}.{p}.weight" for i in (1, 3) for p in PROJECTIONS}
    assert changed(before, after) == wanted | {name for name in before if "multi_modal_projector" in name}
    for name in wanted:
        module = f"base_model.model.{name.removesuffix('.weight')}"
        a, b = (files[f"{module}.lora_{x}.weight"].float() for x in "AB")
        torch.testing.assert_close(after[name], before[name] + 2 * b @ a, rtol=1e-5, atol=1e-6)


def test_decoder_blocks_without_these_projections_are_refused():
    vlm = tiny_vlm()
    vlm.layers[2].mlp.gate_proj = nn.Identity()
    with pytest.raises((AdapterError, ValueError)):
        add_lora(vlm.model, 2, [2])
    vlm = tiny_vlm()
    del vlm.layers[2].mlp.gate_proj
    with pytest.raises(AdapterError) as error:
        add_lora(vlm.model, 2, [1, 2])
    assert "13 modules instead of the 14" in one_sentence(error.value)


# ---------------------------------------------------------------- round trips


def test_what_is_saved_is_what_is_loaded(tmp_path):
    folder, expected, plain = save_tuned(tmp_path / "a")
    assert (expected - plain).abs().max() > 0.5  # the adapter does something
    vlm = tiny_vlm()
    apply_adapter(vlm.model, folder)
    assert not isinstance(vlm.model, PeftModel) and not any("lora" in name for name in vlm.model.state_dict())
    assert {p.dtype for p in vlm.model.parameters()} == {torch.float32}
    torch.testing.assert_close(logits(vlm.model, batch(vlm)), expected, rtol=1e-4, atol=1e-4)
    vlm.model.save_pretrained(tmp_path / "whole")  # and the result is an ordinary model
    again = LlavaForConditionalGeneration.from_pretrained(tmp_path / "whole").eval()
    assert torch.equal(logits(again, batch(vlm)), logits(vlm.model, batch(vlm)))


def test_float16_costs_a_rounding_and_no_more(tmp_path):
    folder, expected, plain = save_tuned(tmp_path / "a", exact=False)
    vlm = tiny_vlm()
    apply_adapter(vlm.model, folder)
    error = (logits(vlm.model, batch(vlm)) - expected).abs().max()
    assert 0 < error < 0.01 * (expected - plain).abs().max()


def test_plain_peft_can_load_it(tmp_path):
    folder, expected, _ = save_tuned(tmp_path / "a")
    vlm = tiny_vlm()
    tuned = PeftModel.from_pretrained(vlm.model, folder)
    connector(tuned.get_base_model()).load_state_dict(load_file(folder / "connector.safetensors"))
    torch.testing.assert_close(logits(tuned, batch(vlm)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("make", [tiny_vlm, tower_vlm])
def test_connector_alone(make, tmp_path):
    """Stage 1 has no LoRA: the folder holds the connector, and the LLM stays bit by bit what it was."""
    vlm = make(seed=1)
    with torch.no_grad():
        for p in connector(vlm.model).parameters():
            p.copy_((p + 0.05).half())
    save_adapter(tmp_path, vlm.model, {"stage": 1})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["connector.safetensors", "provenance.json"]
    again = make(seed=1)
    before = weights(again.model)
    apply_adapter(again.model, tmp_path)
    assert {name.split(".")[1] for name in changed(before, weights(again.model))} == {"multi_modal_projector"}
    assert torch.equal(logits(again.model, batch(again)), logits(vlm.model, batch(vlm)))


def test_files(tmp_path):
    folder, _, _ = save_tuned(tmp_path / "a")
    assert sorted(path.name for path in folder.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "connector.safetensors",
        "provenance.json",
    ]
    for name in ("adapter_model.safetensors", "connector.safetensors"):
        assert {value.dtype for value in load_file(folder / name).values()} == {torch.float16}
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "mini-base" and (config["r"], config["lora_alpha"]) == (2, 4)
    assert json.loads((folder / "provenance.json").read_text()) == {"seed": 8, "parts": digests(folder)}
    assert not any(str(tmp_path) in path.read_text() for path in folder.glob("*.json"))


def test_saving_again_replaces_what_was_there(tmp_path):
    """An old LoRA must not be merged with a connector that was trained without it."""
    folder, _, _ = save_tuned(tmp_path / "a")
    vlm = tiny_vlm()
    before = weights(vlm.model)
    save_adapter(folder, vlm.model, {"stage": 1})
    apply_adapter(vlm.model, folder)
    assert not {name for name in changed(before, weights(vlm.model)) if "language_model" in name}
    assert json.loads((folder / "provenance.json").read_text()) == {"stage": 1, "parts": digests(folder)}


def test_saving_leaves_the_trained_model_alone(tmp_path):
    vlm = tiny_vlm()
    tuned = tune(vlm.model, exact=False)
    before = weights(tuned)
    save_adapter(tmp_path, tuned, {})
    assert not changed(before, weights(tuned))


# ---------------------------------------------------------------- what is refused


def edit(name, change):
    """A damage: rewrite the tensors of a file."""

    def damage(folder):
        save_file(change(load_file(folder / name)), folder / name)

    return damage


def halve(name):
    def damage(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return damage


def lacking(tensors):
    return dict(list(tensors.items())[1:])


def narrow(tensors):
    return {key: value[..., :-1].contiguous() for key, value in tensors.items()}


def one_more(tensors):
    name = next(iter(tensors))
    return {**tensors, name.replace("layers.1.", "layers.7."): tensors[name].clone()}


def last_narrow(tensors):
    """Only the last matrix has a wrong shape, so that others come before it."""
    name = list(tensors)[-1]
    return {**tensors, name: tensors[name][:-1].contiguous()}


def other_rank(folder):
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "r": 3}))


def filled(name, value):
    """One number in a file becomes another."""

    def change(tensors):
        next(iter(tensors.values())).flatten()[0] = value
        return tensors

    return edit(name, change)


def written(name, text):
    def damage(folder):
        (folder / name).write_text(text)

    return damage


def told(name, **changes):
    """JSON fields that say something else; None takes a field away."""

    def damage(folder):
        fields = {**json.loads((folder / name).read_text()), **changes}
        (folder / name).write_text(json.dumps({key: value for key, value in fields.items() if value is not None}))

    return damage


def gone(*names):
    def damage(folder):
        for name in names:
            (folder / name).unlink()

    return damage


RECIPE = {"stage": 2, "method": "lora", "rank": 2, "layers": [1, 3], "connector": True, "enter": 0}
DAMAGES = {
    "no connector": lambda folder: (folder / "connector.safetensors").unlink(),
    "half a connector": halve("connector.safetensors"),
    "connector lacks a tensor": edit("connector.safetensors", lacking),
    "another connector": edit("connector.safetensors", narrow),
    "half a LoRA": halve("adapter_model.safetensors"),
    "LoRA lacks a matrix": edit("adapter_model.safetensors", lacking),
    "LoRA of another width": edit("adapter_model.safetensors", narrow),
    "one matrix of another shape": edit("adapter_model.safetensors", last_narrow),
    "a matrix too many": edit("adapter_model.safetensors", one_more),
    "another rank": other_rank,
    "no configuration": lambda folder: (folder / "adapter_config.json").unlink(),
    "half a configuration": halve("adapter_config.json"),
    "no LoRA": gone("adapter_model.safetensors"),
    "no LoRA and no configuration": gone("adapter_model.safetensors", "adapter_config.json"),
    "no provenance": gone("provenance.json"),
    "half a provenance": halve("provenance.json"),
    "provenance is a list": written("provenance.json", "[]"),
    "a recipe that is none": told("provenance.json", recipe=[2]),
    "a recipe without a stage": told("provenance.json", recipe={"rank": 2}),
    "provenance of stage 1": told("provenance.json", recipe={**RECIPE, "stage": 1}),
    "provenance of another band": told("provenance.json", recipe={**RECIPE, "layers": [1, 2]}),
    "provenance of another rank": told("provenance.json", recipe={**RECIPE, "rank": 3}),
    "provenance with a frozen connector": told("provenance.json", recipe={**RECIPE, "connector": False}),
    "provenance with an entry": told("provenance.json", recipe={**RECIPE, "enter": 2}),
    "connector is not a number": filled("connector.safetensors", float("nan")),
    "connector is infinite": filled("connector.safetensors", float("inf")),
    "LoRA is not a number": filled("adapter_model.safetensors", float("nan")),
    "an empty connector": written("connector.safetensors", ""),
    "a connector without tensors": lambda folder: save_file({}, folder / "connector.safetensors"),
    "whole numbers": edit("connector.safetensors", lambda tensors: {k: v.int() for k, v in tensors.items()}),
    "configuration of another method": told("adapter_config.json", peft_type="IA3"),
    "configuration without a rank": told("adapter_config.json", r=None),
    "configuration without a scale": told("adapter_config.json", lora_alpha=None),
    "another scale": told("adapter_config.json", lora_alpha=16),
    "a scale by the rank's root": told("adapter_config.json", use_rslora=True),
    "a scale for some modules": told("adapter_config.json", alpha_pattern={".*q_proj": 300}),
    "a rank for some modules": told("adapter_config.json", rank_pattern={"q_proj": 1}),
    "magnitudes apart": told("adapter_config.json", use_dora=True),
    "a few blocks alone": told("adapter_config.json", layers_to_transform=[1]),
    "modules left out": told("adapter_config.json", exclude_modules=".*q_proj"),
    "transposed matrices": told("adapter_config.json", fan_in_fan_out=True),
    "blocks twice": told("adapter_config.json", layer_replication=[[0, 2], [1, 3]]),
    "modules as a list": told("adapter_config.json", target_modules=["q_proj"]),
    "modules that are no pattern": told("adapter_config.json", target_modules="(("),
    "made for as well": written("made_for.json", json.dumps({"connector": "", "llm": ""})),
    "an entry nobody told of": written("entry.json", json.dumps({"enter": 2, "scale": 1.5})),
    "half an entry": written("entry.json", '{"enter": 2,'),
}
FROZEN = {
    "half a made for": halve("made_for.json"),
    "an empty made for": written("made_for.json", ""),
    "made for a list": written("made_for.json", "[1]"),
    "made for lacks the llm": told("made_for.json", llm=None),
    "made for numbers": told("made_for.json", llm=5),
    "no made for": gone("made_for.json"),
    "half an entry": halve("entry.json"),
    "entry is a number": written("entry.json", "2"),
    "entry without a scale": told("entry.json", scale=None),
    "another entry": told("entry.json", enter=1),
    "an entry beyond the model": lambda folder: [
        told("entry.json", enter=9)(folder),
        told("provenance.json", recipe={**RECIPE, "connector": False, "enter": 9})(folder),
    ],
    "a scale that is not a number": told("entry.json", scale=float("nan")),
    "no entry": gone("entry.json"),
    "no LoRA": gone("adapter_model.safetensors"),
    "no configuration": gone("adapter_config.json"),
    "no provenance": gone("provenance.json"),
}


def save_frozen(folder):
    """Adapters with the connector frozen, for `tiny_vlm`, with image tokens that enter at block 2."""
    vlm = tiny_vlm()
    base = made_for(vlm.model)
    tuned = tune(vlm.model)
    connector(tuned.get_base_model()).load_state_dict(connector(tiny_vlm().model).state_dict())
    entry.install(tuned, 2, 1.5)
    save_adapter(folder, tuned, {"recipe": {**RECIPE, "connector": False, "enter": 2}}, base)
    return logits(tuned, batch(vlm))


@pytest.mark.parametrize("frozen, damage", [(False, name) for name in DAMAGES] + [(True, name) for name in FROZEN])
def test_damaged_adapters_leave_the_model_as_it_was(frozen, damage, tmp_path):
    folder = tmp_path / "my-adapters"
    if frozen:
        expected = save_frozen(folder)
    else:
        _, expected, _ = save_tuned(folder, record={"recipe": RECIPE})
    intact = {path.name: path.read_bytes() for path in folder.iterdir()}
    told("provenance.json", parts=None)(folder)  # digests would tell of any damage, and this is about what else does
    (FROZEN if frozen else DAMAGES)[damage](folder)
    vlm = tiny_vlm()
    before, modules = weights(vlm.model), [type(module) for module in vlm.model.modules()]
    with pytest.raises(AdapterError) as error:
        apply_adapter(vlm.model, folder)
    message = one_sentence(error.value)
    assert "my-adapters" in message and str(tmp_path) not in message
    assert not changed(before, weights(vlm.model)) and entry.entry_of(vlm.model) is None
    assert [type(module) for module in vlm.model.modules()] == modules
    for path in folder.iterdir():
        path.unlink()
    for name, content in intact.items():
        (folder / name).write_bytes(content)
    apply_adapter(vlm.model, folder)  # and it can still take adapters that are whole
    torch.testing.assert_close(logits(vlm.model, batch(vlm)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("frozen", [False, True])
def test_numbers_that_changed_on_disk_are_refused(frozen, tmp_path):
    """Finite, of the right shapes, and wrong: digests alone tell."""
    folder = tmp_path / "a"
    if frozen:
        save_frozen(folder)
    else:
        save_tuned(folder, record={"recipe": RECIPE})
    for part in [name for name in digests(folder) if name.endswith(".safetensors")]:
        intact = (folder / part).read_bytes()
        filled(part, 0.5)(folder)
        with pytest.raises(AdapterError, match="has changed since"):
            read_adapters(folder)
        (folder / part).write_bytes(intact)
    assert "parts" not in read_adapters(folder).record


# ---------------------------------------------------------------- a full disk


@pytest.mark.parametrize("room", [0, 2000, 8000])
@pytest.mark.parametrize("earlier", [True, False])
def test_a_disk_that_is_full(room, earlier, tmp_path, limited):
    """At once, or while LoRA is written: what was there before is as it was, and nothing half-written is left."""
    folder = tmp_path / "my-adapters"
    if earlier:
        save_tuned(folder)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    tuned = tune(tiny_vlm().model, layers=(0, 1, 2, 3))
    with pytest.raises(AdapterError) as error, limited(room):
        save_adapter(folder, tuned, {"seed": 9})
    assert "my-adapters cannot be written" in one_sentence(error.value) and str(tmp_path) not in str(error.value)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert folder.exists() == earlier and [p.name for p in tmp_path.iterdir()] == ["my-adapters"] * earlier


def test_what_a_killed_run_left_half_written_is_cleared_away(tmp_path):
    left = tmp_path / ".my-adapters.tmp" / "entry.json"
    left.parent.mkdir()
    left.write_text("half")
    folder, _, _ = save_tuned(tmp_path / "my-adapters")
    assert [p.name for p in tmp_path.iterdir()] == ["my-adapters"] and not (folder / "entry.json").exists()


def test_adapters_of_another_model_are_refused(tmp_path):
    folder, _, _ = save_tuned(tmp_path / "a")
    told("provenance.json", parts=None)(folder)
    vlm = tower_vlm()  # of the same width, with three blocks instead of four and another connector
    before = weights(vlm.model)
    with pytest.raises(AdapterError, match="another model"):
        apply_adapter(vlm.model, folder)
    own = {name: value.half() for name, value in connector(vlm.model).state_dict().items()}
    save_file(own, folder / "connector.safetensors")
    with pytest.raises(AdapterError, match="another model"):  # now only the fourth block is missing
        apply_adapter(vlm.model, folder)
    assert not changed(before, weights(vlm.model))


def test_missing_folder(tmp_path):
    with pytest.raises(AdapterError) as error:
        apply_adapter(tiny_vlm().model, tmp_path / "none")
    assert "retrain=true" in one_sentence(error.value)
