"""The training loop: what is trained, that it learns, repeats, resumes after a kill, stops when it must."""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from peft import PeftModel
from PIL import Image
from small_models import changed, mini_base, one_sentence, tiny_vlm, tower_vlm, weights
from torch.optim.optimizer import register_optimizer_step_pre_hook

from paperlib.models import precision
from paperlib.models.adapters import PROJECTIONS
from paperlib.models.parts import connector
from paperlib.models.vlm import load_vlm
from paperlib.study.study import Study
from paperlib.tasks.conversations import Conversation
from paperlib.tuning import finetune
from paperlib.tuning.finetune import train, trainable
from paperlib.tuning.packing import embedded, packed_loss
from paperlib.tuning.train_config import TrainConfig, TrainingError

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 60), "blue": (30, 60, 220), "white": (250, 250, 250)}


@dataclass(frozen=True)
class Plain:
    """A picture of one colour."""

    colour: str

    def render(self):
        return Image.new("RGB", (128, 128), COLOURS[self.colour])


def colour_talk(seed, index, mixture="reading"):
    """Conversations that need no asset and stay short: a colour to describe and, in stage 2, to name."""
    colour = list(COLOURS)[(seed + index) % 4]
    turns = (("What?", colour), ("Red?", "yes" if colour == "red" else "no"))
    return Conversation(Plain(colour), turns[:1] if mixture == "captions" else turns)


@pytest.fixture(autouse=True)
def short_talks(monkeypatch, request):
    if "own_talks" not in request.fixturenames:
        monkeypatch.setattr(finetune, "conversation", colour_talk)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small models gain nothing from more, and a process of its own below shall compute in the same order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The checkpoint of a finished run of config(2, 2), for tests that copy it."""
    path = tmp_path_factory.mktemp("finished") / "run.checkpoint"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune, "conversation", colour_talk)
        run(tiny_vlm(), config(2, 2), path)
    return path.read_bytes()


@pytest.fixture
def own_talks():
    """The real conversations, which need the assets."""


def config(stage=2, steps=6, **more):
    usual = {"batch_size": 2, "length": 112, "rank": 2, "mixed": False, "warmup": 2}
    return TrainConfig(stage, steps, **usual | more)


def run(vlm, settings, checkpoint=None, every=50):
    return train(vlm, settings, checkpoint, every=every, progress=False)


def base_weights(vlm):
    """The model's own weights, by their own names, whether or not LoRA is around them."""
    base = vlm.model.get_base_model() if isinstance(vlm.model, PeftModel) else vlm.model
    return {
        name.replace(".base_layer.", "."): value.clone()
        for name, value in base.state_dict().items()
        if "lora_" not in name
    }


# ---------------------------------------------------------------- what is trained

BRIDGE = {f"model.multi_modal_projector.linear_{i}.{part}" for i in (1, 2) for part in ("weight", "bias")}
IN_BLOCK = {f"{part}.weight" for part in (*PROJECTIONS, "input_layernorm", "post_attention_layernorm")}


def blocks(layers):
    return {f"model.language_model.layers.{i}.{name}" for i in layers for name in IN_BLOCK}


@pytest.mark.parametrize(
    "make, settings, layers",
    [
        (tiny_vlm, config(1, 3), []),
        (tiny_vlm, config(1, 3, method="full"), []),
        (tiny_vlm, config(2, 3, method="full"), None),
        (tiny_vlm, config(2, 3, layers=()), []),
        (tiny_vlm, config(2, 3, method="full", layers=(1, 2)), [1, 2]),
        (tiny_vlm, config(2, 3, method="full", layers=()), []),
        (tower_vlm, config(1, 3), []),
        (tower_vlm, config(2, 3, method="full"), None),
    ],
)
def test_only_what_is_named_changes(make, settings, layers):
    vlm = make()
    wanted = BRIDGE | blocks(range(len(vlm.layers)) if layers is None else layers)
    before = base_weights(vlm)
    result = run(vlm, settings)
    assert result["trained"] == sorted(wanted)
    assert changed(before, base_weights(vlm)) == wanted  # tower, embedding and head stay
    assert {name for name, p in vlm.model.named_parameters() if p.requires_grad} == wanted
    assert not isinstance(vlm.model, PeftModel)


@pytest.mark.parametrize("make, layers", [(tiny_vlm, None), (tiny_vlm, (1,)), (tower_vlm, (2, 0))])
def test_only_lora_and_connector_change(make, layers):
    vlm = make()
    chosen = range(len(vlm.layers)) if layers is None else layers
    before, result = base_weights(vlm), run(vlm, config(2, 3, layers=layers))
    lora = {
        f"base_model.model.model.language_model.layers.{i}.{p}.lora_{x}.default.weight"
        for i in chosen
        for p in PROJECTIONS
        for x in "AB"
    }
    assert set(result["trained"]) == lora | {f"base_model.model.{name}" for name in BRIDGE}
    assert changed(before, base_weights(vlm)) == BRIDGE
    values = dict(vlm.model.named_parameters())
    assert all(values[name].abs().max() > 0 for name in lora)  # B starts at zero


def test_lora_starts_the_same_for_a_seed():
    starts = [trainable(tiny_vlm(), config(2, seed=seed)) for seed in (5, 5, 6)]
    name = next(name for name in starts[0] if "lora_A" in name)
    assert torch.equal(starts[0][name], starts[1][name]) and not torch.equal(starts[0][name], starts[2][name])


@pytest.mark.parametrize(
    "bad",
    [
        {"stage": 3},
        {"stage": 0},
        {"method": "half"},
        {"layers": (0, 4)},
        {"layers": (-1,)},
        {"stage": 1, "layers": (9,)},
    ],
)
def test_unknown_stages_methods_and_blocks(bad):
    vlm = tiny_vlm()
    grads = [p.requires_grad for p in vlm.model.parameters()]
    with pytest.raises(TrainingError) as error:
        run(vlm, replace(config(), **bad))
    assert "0 to 3" in one_sentence(error.value)
    assert [p.requires_grad for p in vlm.model.parameters()] == grads


def test_lora_is_not_put_on_lora():
    vlm = tiny_vlm()
    run(vlm, config(2, 1))
    with pytest.raises(TrainingError) as error:
        run(vlm, config(2, 1))
    assert "load_vlm" in str(error.value)


@pytest.fixture
def units(monkeypatch):
    """-> a function that makes the machine one with or without units for bfloat16."""
    return lambda there: monkeypatch.setattr(precision, "bfloat16_units", lambda device: there)


def test_mixed_precision_trains_in_float32(units):
    """Under bfloat16 autocast the frozen LLM is bfloat16, and what is trained is not."""
    units(True)
    for stage, method in ((1, "lora"), (2, "lora"), (2, "full")):
        vlm, settings = tiny_vlm(), config(stage, 2, mixed=True, method=method)
        result = run(vlm, settings)
        dtypes = {p.dtype for name, p in vlm.model.named_parameters() if name in result["trained"]}
        assert dtypes == {torch.float32} and all(map(math.isfinite, result["loss"]))
        frozen = {p.dtype for p in vlm.layers.parameters() if not p.requires_grad}
        assert frozen == (set() if settings.method == "full" else {torch.bfloat16})
        plain = run(tiny_vlm(), replace(settings, mixed=False))
        assert result["loss"] == pytest.approx(plain["loss"], rel=0.05)
        assert (result["precision"], plain["precision"]) == ("bfloat16", "float32")


@pytest.mark.parametrize(
    "settings",
    [
        config(1, 2, mixed=True),
        config(2, 2, mixed=True),
        config(2, 2, mixed=True, method="full"),
        config(2, 2, mixed=True, layers=(2, 3), connector=False, epochs=2),
    ],
    ids=["stage 1", "LoRA", "full", "input kept"],
)
def test_without_units_what_allows_bfloat16_runs_in_float32(settings, units):
    """To the bit what a recipe without mixed precision gives: on other CPUs bfloat16 is emulated."""
    units(False)
    vlm, plain = tiny_vlm(), tiny_vlm()
    result, expected = run(vlm, settings), run(plain, replace(settings, mixed=False))
    assert result["precision"] == "float32" and result["loss"] == expected["loss"]
    assert {p.dtype for p in vlm.model.parameters()} == {torch.float32}
    assert not changed(weights(vlm.model), weights(plain.model))


@pytest.mark.parametrize("before", [True, False])
def test_a_run_goes_on_on_a_machine_of_the_other_kind(before, units, tmp_path, monkeypatch):
    path, settings = tmp_path / "run.checkpoint", config(2, 4, mixed=True)
    units(before)
    lift = stop_at(monkeypatch, 2, Killed())
    with pytest.raises(Killed):
        run(tiny_vlm(), settings, path, every=2)
    lift()
    units(not before)
    result = run(tiny_vlm(), settings, path)
    assert result["precision"] == ("float32" if before else "bfloat16") and len(result["loss"]) == 4
    assert result["loss"] == pytest.approx(run(tiny_vlm(), settings)["loss"], rel=0.05)


# ---------------------------------------------------------------- a compiler, or none


@pytest.mark.parametrize("works", [True, False])
def test_blocks_are_compiled_where_a_compiler_works(works, monkeypatch):
    """The recipe allows it; the machine decides."""
    compiled, vlm = [], tiny_vlm()
    monkeypatch.setattr(finetune, "compiler_found", lambda device: works)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **how: compiled.append(self))
    result = run(vlm, config(2, 1, compile=True))
    assert result["compiled"] == works and len(compiled) == (len(vlm.layers) if works else 0)
    assert not run(tiny_vlm(), config(2, 1))["compiled"]


def test_each_step_takes_the_next_conversations(monkeypatch):
    asked = []

    def talk(seed, index, mixture):
        asked.append((seed, index, mixture))
        return colour_talk(seed, index, mixture)

    monkeypatch.setattr(finetune, "conversation", talk)
    run(tiny_vlm(), config(1, 3, seed=7))
    run(tiny_vlm(), config(2, 3, seed=8, matching=1))
    reading, matching = [(8, i, "reading") for i in range(4)], [(8, i, "matching") for i in (4, 5)]
    assert asked == [(7, i, "captions") for i in range(6)] + reading + matching


@pytest.mark.parametrize("make", [tiny_vlm, tower_vlm])
def test_features_are_those_of_the_model(make):
    """What `batch` reads from the tower is what the model itself hands to its connector."""
    vlm, seen = make(), []
    _, features = finetune.training_batch(vlm, vlm.model, config(), 0)
    hook = connector(vlm.model).register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    pictures = [colour_talk(0, i).picture.render() for i in range(2)]
    with torch.no_grad():
        vlm.model(**vlm.batch([vlm.prompt("What?")] * 2, pictures))
    hook.remove()
    assert features.shape[:2] == (2, 16) and features.std() > 0.01
    torch.testing.assert_close(features, seen[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "make, colours",
    [
        (tiny_vlm, ["red"]),
        (tiny_vlm, ["blue", "green"]),
        (tower_vlm, ["red"]),
        (tower_vlm, ["blue", "green"]),
        pytest.param(mini_base, ["red"], marks=pytest.mark.assets),
    ],
)
def test_packed_loss_is_the_models_own_cross_entropy(make, colours, monkeypatch):
    """One turn each, so all answer tokens weigh the same: loss and gradient of model(**batch, labels=...)."""
    vlm, turns = make(), (("Which?", "a b c d"),)
    monkeypatch.setattr(
        finetune, "conversation", lambda seed, index, mixture: Conversation(Plain(colours[index]), turns)
    )
    packed, features = finetune.training_batch(vlm, vlm.model, config(batch_size=len(colours), length=96), 0)
    assert packed.weights.min() == packed.weights.max()
    answer = "a b c d" + vlm.tokenizer.eos_token
    batch = vlm.batch(
        [vlm.prompt("Which?")] * len(colours), [Plain(c).render() for c in colours], [answer] * len(colours)
    )
    labels = torch.full_like(batch["input_ids"], -100)
    for row, span in enumerate(vlm.spans(batch)):
        labels[row, span.answer] = batch["input_ids"][row, span.answer]
    assert (labels >= 0).sum() == len(packed.targets)
    weight = connector(vlm.model).linear_1.weight  # the gradient has come all the way through the LLM there
    values, grads = [], []
    for loss in (
        lambda: packed_loss(vlm.model, packed, embedded(vlm.model, packed, features)),
        lambda: vlm.model(**batch, labels=labels).loss,
    ):
        values.append(loss())
        grads.append(torch.autograd.grad(values[-1], weight)[0])
    assert values[0].item() == pytest.approx(values[1].item(), rel=1e-4) and values[0] > 0.1
    assert grads[0].norm() > 1e-3
    assert (grads[0] - grads[1]).norm() < 1e-3 * grads[0].norm()


# ---------------------------------------------------------------- learning


@pytest.mark.parametrize(
    "settings",
    [
        config(1, 40, lr_connector=1e-2),
        config(2, 40, lr_connector=1e-2, lr_llm=1e-2),
        config(2, 40, method="full", lr_llm=5e-3),
    ],
    ids=["stage 1", "LoRA", "full"],
)
def test_the_loss_of_one_batch_goes_down(settings, monkeypatch):
    monkeypatch.setattr(finetune, "conversation", lambda seed, index, mixture: colour_talk(0, index % 2))
    result = run(tiny_vlm(), settings)
    losses = result["loss"]
    assert len(losses) == settings.steps and result["tokens"] > 0 and result["seconds"] >= 0
    limit = 0.85 if settings.stage == 1 else 0.6  # a random LLM is hardly to be steered by its input alone
    assert max(losses[-5:]) < limit * losses[0]


def test_the_answer_comes_to_depend_on_the_picture():
    """Trained on colours, the tiny model names them, and another picture's colour is worse."""
    vlm = tiny_vlm()
    run(vlm, config(2, 60, method="full", batch_size=4, lr_connector=1e-2, lr_llm=5e-3))
    said = [vlm.answer(Plain(colour).render(), "What?", 8) for colour in COLOURS]
    assert said == list(COLOURS)


def test_two_runs_are_the_same_and_another_seed_is_not():
    runs = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(runs))  # nothing depends on the state before
        vlm = tiny_vlm()
        runs.append((run(vlm, config(seed=seed))["loss"], weights(vlm.model)))
    assert runs[0][0] == runs[1][0] and not changed(runs[0][1], runs[1][1])
    assert runs[0][0] != runs[2][0]


def test_rates_warm_up_and_decay():
    """Both groups' rates at every step against the formula, written out here."""
    seen = []
    hook = register_optimizer_step_pre_hook(
        lambda optimizer, args, kwargs: seen.append([group["lr"] for group in optimizer.param_groups])
    )
    run(tiny_vlm(), config(2, 12, warmup=4, lr_connector=2e-3, lr_llm=5e-4))
    hook.remove()
    for step, rates in enumerate(seen):
        factor = (step + 1) / 4 if step < 4 else 0.05 + 0.475 * (1 + math.cos(math.pi * (step - 4) / 8))
        assert rates == pytest.approx([2e-3 * factor, 5e-4 * factor])
    assert len(seen) == 12


def test_rates_start_anew_in_the_second_phase():
    seen = []
    hook = register_optimizer_step_pre_hook(
        lambda optimizer, args, kwargs: seen.append(optimizer.param_groups[0]["lr"])
    )
    run(tiny_vlm(), config(2, 11, matching=5, warmup=2, lr_connector=1.0))
    hook.remove()
    phase = [0.5, 1.0] + [0.05 + 0.475 * (1 + math.cos(math.pi * done)) for done in (0, 1 / 4, 2 / 4, 3 / 4)]
    short = [0.5, 1.0] + [0.05 + 0.475 * (1 + math.cos(math.pi * done)) for done in (0, 1 / 3, 2 / 3)]
    assert seen == pytest.approx(phase + short)


def test_gradients_are_clipped():
    norms = []

    def note(optimizer, args, kwargs):
        grads = [p.grad for group in optimizer.param_groups for p in group["params"]]
        norms.append(torch.cat([g.flatten() for g in grads]).norm().item())

    hook = register_optimizer_step_pre_hook(note)
    for clip in (1e6, 0.01):
        run(tiny_vlm(), config(2, 2, clip=clip))
    hook.remove()
    assert min(norms[:2]) > 0.1  # as they are
    assert norms[2:] == pytest.approx([0.01, 0.01], rel=1e-3)


# ---------------------------------------------------------------- stopping and going on


class Killed(BaseException):
    pass


def stop_at(monkeypatch, step, error):
    """Let the loop fail when it asks for the batch of a step."""
    whole = finetune.training_batch

    def batch(vlm, base, settings, now):
        if now == step:
            raise error
        return whole(vlm, base, settings, now)

    monkeypatch.setattr(finetune, "training_batch", batch)
    return lambda: monkeypatch.setattr(finetune, "training_batch", whole)


@pytest.mark.parametrize("where", ["loss", "gradient"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_stops_training(where, value, tmp_path, monkeypatch):
    """At step 3: the checkpoint of step 2 stays, and no weight has been touched since."""
    path, whole = tmp_path / "run.checkpoint", finetune.packed_loss
    vlm, calls, before = tiny_vlm(), [], {}

    def spoil(base, *args):
        calls.append(1)
        loss = whole(base, *args)
        if len(calls) < 4:
            return loss
        before.update(base_weights(vlm))
        if where == "loss":
            return loss * value
        return loss + Spoil.apply(connector(base).linear_1.bias, value)

    monkeypatch.setattr(finetune, "packed_loss", spoil)
    with pytest.raises(TrainingError) as error:
        run(vlm, config(1, 7), path, every=1)
    assert "step 3" in one_sentence(error.value) and "rates" in str(error.value)
    assert not changed(before, base_weights(vlm))
    state = torch.load(path, weights_only=True)
    assert len(state["losses"]) == 3
    assert all(torch.isfinite(p).all() for p in state["parameters"].values())


class Spoil(torch.autograd.Function):
    """Adds nothing to a loss, and a value to its gradient."""

    @staticmethod
    def forward(ctx, x, value):
        ctx.full = torch.full_like(x, value)
        return x.new_zeros(())

    @staticmethod
    def backward(ctx, grad):
        return ctx.full, None


@pytest.mark.parametrize("ends", ["well", "killed", "not finite"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_model_is_left_as_it_was_found(ends, attention, monkeypatch):
    """Attention implementation, evaluation mode, and no gradients left over that a next run would add to."""
    vlm, used = tiny_vlm(), []
    llm = vlm.model.model.language_model
    llm.set_attn_implementation(attention)
    llm.register_forward_pre_hook(lambda module, args: used.append(module.config._attn_implementation))
    if ends == "killed":
        stop_at(monkeypatch, 2, Killed())
    elif ends == "not finite":
        monkeypatch.setattr(finetune, "packed_loss", lambda *args: packed_loss(*args) * float("nan"))
    if ends == "well":
        run(vlm, config(1, 3))
    else:
        with pytest.raises((Killed, TrainingError)):
            run(vlm, config(1, 3))
    assert set(used) == {"eager"}
    assert llm.config._attn_implementation == vlm.model.config.text_config._attn_implementation == attention
    assert not any(module.training for module in vlm.model.modules())
    assert all(p.grad is None for p in vlm.model.parameters())


def test_an_interrupted_run_can_be_called_again(tmp_path, monkeypatch):
    """What a reader does: interrupt the cell in mid step and run it again, on the same model."""
    path, whole, calls = tmp_path / "run.checkpoint", torch.nn.utils.clip_grad_norm_, []

    def interrupt(*args):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt  # the gradient of step 3 is there and not yet used
        return whole(*args)

    monkeypatch.setattr(finetune.nn.utils, "clip_grad_norm_", interrupt)
    vlm, expected = tiny_vlm(), tiny_vlm()
    with pytest.raises(KeyboardInterrupt):
        run(vlm, config(1, 6), path, every=1)
    monkeypatch.undo()
    monkeypatch.setattr(finetune, "conversation", colour_talk)
    assert run(vlm, config(1, 6), path)["loss"] == run(expected, config(1, 6))["loss"]
    assert not changed(weights(vlm.model), weights(expected.model))


# ---------------------------------------------------------------- presets and real conversations


@pytest.mark.assets
@pytest.mark.parametrize("stage", [1, 2])
def test_the_smoke_recipe_runs_on_real_conversations(own_talks, stage):
    vlm = load_vlm("tiny", device="cpu")
    recipe = TrainConfig.of(Study.make("smoke"), stage)
    result = run(vlm, recipe)
    assert len(result["loss"]) == recipe.steps and all(map(math.isfinite, result["loss"]))


@pytest.mark.assets
@pytest.mark.parametrize("stage", [1, 2])
def test_captions_fit_into_every_recipe(own_talks, stage):
    """No conversation is left without a turn: the longest captions of many fit, for both models."""
    talks = [finetune.conversation(0, i, "captions") for i in range(400)]
    longest = sorted(talks, key=lambda talk: len(talk.turns[0][1]))[-4:]
    for vlm, study in ((mini_base(), Study.make("mini")), (load_vlm("tiny"), Study.make("smoke"))):
        packed = finetune.pack(vlm, longest, TrainConfig.of(study, stage).length)
        assert set(packed.where[0].tolist()) == {0, 1, 2, 3}
