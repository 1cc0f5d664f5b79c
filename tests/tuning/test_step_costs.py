"""What a step computes, keeps and takes: against numbers made by hand, and in the order of the clock."""

import time

import numpy as np
import pytest
import torch
from small_models import one_sentence
from torch import nn

from paperlib.tuning.step_costs import Flops, Step, count_step, ratio, time_steps


def chain(*tuned: bool) -> nn.Sequential:
    """Linear 4 -> 8, tanh, linear 8 -> 3, without biases."""
    model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.Tanh(), nn.Linear(8, 3, bias=False))
    model[0].requires_grad_(tuned[0])
    model[2].requires_grad_(tuned[1])
    return model


@pytest.mark.parametrize(
    "tuned, activations, trained, backward",
    [
        ((False, True), 160, 24, 2 * 5 * 24),  # the upper layer's input, [5, 8] numbers of 4 bytes
        ((True, False), 160 + 80, 32, 2 * 5 * (24 + 32)),  # tanh's output, the lower layer's input [5, 4], no weights
        ((True, True), 160 + 80, 56, 2 * 5 * (24 + 24 + 32)),  # tanh and the upper layer share what they keep
    ],
)
def test_counts_worked_out_by_hand(tuned, activations, trained, backward):
    model, inputs = chain(*tuned), torch.ones(5, 4)
    counts = count_step(Step(lambda: model(inputs).sum(), model))
    assert counts.flops == Flops(2 * 5 * 56, backward) and counts.flops.total == 560 + backward
    assert counts.activation_bytes == activations
    assert (counts.trained, counts.state_bytes, counts.weight_bytes) == (trained, 3 * 4 * trained, 4 * 56)


def test_counting_sees_through_compilation():
    runs = []

    def backend(graph, inputs):
        return lambda *args: runs.append(1) or graph(*args)

    model, inputs = chain(True, True), torch.ones(5, 4)
    compiled = torch.compile(lambda inputs: model(inputs), backend=backend)
    compiled(inputs)
    assert runs == [1]
    counts = count_step(Step(lambda: compiled(inputs).sum(), model))
    assert runs == [1] and counts.flops.forward == 560 and counts.activation_bytes == 240
    compiled(inputs)
    assert runs == [1, 1]


def test_fused_attention_is_counted():
    q, model = torch.ones(1, 2, 5, 4), nn.Linear(4, 4, bias=False)

    def loss():
        x = model(q)
        return nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True).sum()

    linear, product = 2 * 10 * 16, 2 * 2 * 25 * 4
    assert count_step(Step(loss, model)).flops == Flops(linear + 2 * product, linear + 5 * product)


# ---------------------------------------------------------------- timed


class Nap(torch.autograd.Function):
    """Sleeps on the way there and twice as long on the way back."""

    @staticmethod
    def forward(ctx, x):
        time.sleep(0.01)
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        time.sleep(0.02)
        return gradient


def test_steps_are_timed_in_turns():
    order, models = [], {name: chain(False, True) for name in "abc"}

    def step(name):
        def loss():
            order.append(name)
            out = models[name](torch.ones(5, 4)).sum()
            return Nap.apply(out) if name == "b" else out

        return Step(loss, models[name])

    times = time_steps({name: step(name) for name in "abc"}, repeats=3, warmup=2)
    assert order == list("abccbaabccbaabc") and list(times) == list("abc")
    slow = times["b"]
    assert slow.forward.shape == slow.backward.shape == slow.update.shape == (3,)
    assert (slow.forward >= 0.01).all() and (slow.backward >= 0.02).all() and (slow.update > 0).all()
    assert np.array_equal(slow.total, slow.forward + slow.backward + slow.update) and slow.peak_bytes is None


def test_measuring_leaves_the_model_as_it_was():
    model, inputs = chain(True, True), torch.randn(5, 4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model(inputs).sum().backward()  # what is left of an earlier step doesn't count
    model[0].requires_grad_(False)
    step = Step(lambda: model(inputs).sum(), model)
    assert count_step(step).trained == 24
    time_steps({"step": step}, repeats=1, warmup=1)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_ratio_is_taken_round_by_round():
    drift = np.array([1.0, 1.0, 5.0, 1.0, 2.0])
    assert ratio(0.5 * drift, drift) == (0.5, 0.5, 0.5, 5)
    value, low, high, n = ratio(drift * [0.4, 0.5, 0.6, 0.7, 9.0], drift)
    assert (value, n) == (pytest.approx(0.6), 5) and low == pytest.approx(0.4) and high == pytest.approx(9.0)


@pytest.mark.parametrize("seconds, baseline", [([1.0], [1.0]), ([1.0, 2.0], [1.0]), ([[1.0, 2.0]], [[1.0, 2.0]])])
def test_ratio_of_other_rounds_is_refused(seconds, baseline):
    with pytest.raises(ValueError, match="same rounds") as error:
        ratio(seconds, baseline)
    one_sentence(error.value)


def test_bad_steps_are_refused():
    model = chain(False, False)
    step = Step(lambda: model(torch.ones(5, 4)).sum(), model)
    for measure in (count_step, lambda step: time_steps({"step": step})):
        with pytest.raises(ValueError, match="nothing that is tuned") as error:
            measure(step)
        one_sentence(error.value)
    with pytest.raises(ValueError, match="one round of warm-up and one to keep, got 0 and 5") as error:
        time_steps({"step": step}, warmup=0)
    one_sentence(error.value)


def test_times_say_what_products_ran_in():
    model = chain(False, True)
    steps = {name: Step(lambda: model(torch.ones(5, 4)).sum(), model, name) for name in ("bfloat16", "float32")}
    assert {name: t.precision for name, t in time_steps(steps, repeats=1, warmup=1).items()} == {n: n for n in steps}
