"""The batched logistic regressions against scikit-learn's, one problem at a time."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_models import one_sentence

from paperlib.probes.logistic import fit, moments, standardise


def data(n, d, classes, problems, seed=0, strength=1.0):
    """Correlated features on very different scales, labels that partly follow them, and rows to learn from."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) / d**0.5
    score = strength * x @ rng.normal(size=(d, classes)) + rng.gumbel(size=(n, classes)) + np.arange(classes)
    y = np.stack([score.argmax(1)] + [rng.permutation(score.argmax(1)) for _ in range(problems - 1)])
    x = x * 10.0 ** rng.uniform(-2, 2, size=d) + 50 * rng.normal(size=d)
    rows = rng.random((problems, n)) < 0.8
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y), torch.tensor(rows)


def theirs(x, y, rows, l2):
    """scikit-learn's pipeline, fitted to one problem."""
    n, two = int(rows.sum()), len(y[rows].unique()) == 2
    model = LogisticRegression(C=(2 if two else 1) / (l2 * n), tol=1e-10, max_iter=10_000)
    return make_pipeline(StandardScaler(), model).fit(x[rows].double().numpy(), y[rows].numpy())


@pytest.mark.parametrize(
    "n, d, classes, l2, strength",
    [
        (150, 8, 3, 0.1, 1),
        (150, 8, 2, 0.1, 1),
        (60, 90, 4, 0.1, 1),
        (120, 6, 3, 1e-3, 10),
        (60, 90, 2, 1e-3, 10),
        (150, 8, 5, 10, 1),
    ],
)
def test_coefficients_and_probabilities_are_scikit_learns(n, d, classes, l2, strength):
    """Also with fewer rows than columns, a weak penalty on separable data, and a strong one."""
    raw, y, rows = data(n, d, classes, problems=3, strength=strength)
    x = standardise(raw)
    ours = fit(x, y, rows, classes, l2, tolerance=1e-9)
    probability = ours.logits(x).softmax(0)  # [C, B, N]
    assert probability.shape == (classes, 3, n)
    for b in range(3):
        pipeline = theirs(raw, y[b], rows[b], l2)
        expected = pipeline.predict_proba(raw.double().numpy()).T
        np.testing.assert_allclose(probability[:, b], expected, atol=6e-3 if l2 < 0.01 else 2e-3)
        weight = pipeline[-1].coef_
        weight = np.concatenate([-weight, weight]) / 2 if classes == 2 else weight
        np.testing.assert_allclose(ours.weight[:, b], weight, atol=0.004 * np.abs(weight).max())


def test_the_default_tolerance_decides_like_the_minimum():
    raw, y, rows = data(200, 30, 4, problems=4)
    x = standardise(raw)
    quick, exact = (fit(x, y, rows, 4, 0.1, **options).logits(x) for options in ({}, {"tolerance": 1e-10}))
    assert (quick.argmax(0) == exact.argmax(0)).float().mean() > 0.99
    torch.testing.assert_close(quick.softmax(0), exact.softmax(0), atol=0.02, rtol=0)


def test_problems_do_not_touch_each_other():
    raw, y, rows = data(80, 10, 3, problems=3)
    x = standardise(raw)
    together = fit(x, y, rows, 3, 0.05, tolerance=1e-9)
    for b in range(3):
        alone = fit(x, y[b : b + 1], rows[b : b + 1], 3, 0.05, tolerance=1e-9)
        torch.testing.assert_close(together.weight[:, b], alone.weight[:, 0], atol=2e-3, rtol=0)


def test_rows_left_out_change_nothing():
    raw, y, rows = data(80, 10, 3, problems=1)
    x = standardise(raw)
    spoilt, wrong = x.clone(), y.clone()
    spoilt[~rows[0]] += 5
    wrong[:, ~rows[0]] = 0
    plain, other = fit(x, y, rows, 3, 0.1, tolerance=1e-9), fit(spoilt, wrong, rows, 3, 0.1, tolerance=1e-9)
    torch.testing.assert_close(plain.weight, other.weight, atol=2e-3, rtol=0)
    torch.testing.assert_close(plain.mean, other.mean)


def test_states_without_information_give_the_labels_shares():
    """All rows alike, as the last question token in layer 0: the intercepts are the logarithms of the shares."""
    x = standardise(torch.full((40, 5), 3.7))
    y = torch.tensor([[0] * 20 + [1] * 12 + [2] * 8])
    solution = fit(x, y, torch.ones(1, 40, dtype=torch.bool), 3, 0.1, tolerance=1e-10)
    assert x.abs().max() < 1e-6 and solution.weight.abs().max() < 1e-6
    torch.testing.assert_close(solution.logits(x).softmax(0)[:, 0, 0], torch.tensor([0.5, 0.3, 0.2]), atol=1e-3, rtol=0)


def test_few_steps_suffice():
    """The preconditioner at work where one direction rules (21 steps without it); fewer yet from a solution nearby."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 64)) + 3 * rng.normal(size=(200, 1)) * rng.normal(size=64)
    x = standardise(torch.tensor(x, dtype=torch.float32))
    y = (x[:, :3] + torch.tensor(rng.normal(size=(200, 3)), dtype=torch.float32)).argmax(1)[None]
    rows = torch.ones(1, 200, dtype=torch.bool)
    near = fit(x, y, rows, 3, 0.1)
    moved = x + 0.01 * torch.randn(200, 64, generator=torch.Generator().manual_seed(0))
    cold, warm = fit(moved, y, rows, 3, 0.1), fit(moved, y, rows, 3, 0.1, start=near)
    assert warm.steps < cold.steps <= 10
    torch.testing.assert_close(warm.logits(moved).softmax(0), cold.logits(moved).softmax(0), atol=0.02, rtol=0)


def test_moments_and_standardise_against_numpy():
    raw, _, rows = data(50, 6, 2, problems=3)
    raw[:, 2] = 7.25
    mean, scale = moments(raw, rows)
    for b in range(3):
        chosen = raw[rows[b]].double().numpy()
        np.testing.assert_allclose(mean[b], chosen.mean(0), rtol=1e-4)
        expected = np.where(chosen.std(0) < 1e-9, 1, chosen.std(0))
        np.testing.assert_allclose(scale[b], expected, rtol=1e-4)
    exact, other = raw.double().numpy(), raw.numpy() + 3
    expected = (other - exact.mean(0)) / np.where(np.arange(6) == 2, 1, exact.std(0))
    np.testing.assert_allclose(standardise(torch.tensor(other), like=raw), expected, rtol=1e-3, atol=1e-3)


def test_other_moments_can_stand_in():
    """Logits with another modality's mean and scale are those of features standardised by hand."""
    raw, y, rows = data(60, 5, 3, problems=2)
    x = standardise(raw)
    solution = fit(x, y, rows, 3, 0.1)
    mean, scale = torch.randn(2, 5), torch.rand(2, 5) + 0.5
    for b in range(2):
        by_hand = (x - mean[b]) / scale[b] @ solution.weight[:, b].T + solution.intercept[:, b]
        torch.testing.assert_close(solution.logits(x, mean, scale)[:, b], by_hand.T, atol=1e-4, rtol=1e-4)


def test_no_minimum_within_the_steps():
    raw, y, rows = data(60, 5, 3, problems=1)
    with pytest.raises(RuntimeError) as error:
        fit(standardise(raw), y, rows, 3, 1e-3, max_steps=2)
    assert "raise l2" in one_sentence(error.value)
