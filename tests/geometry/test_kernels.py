"""CKA against brute force with whole kernels, and by its definition."""

import brute
import numpy as np
import pytest

from paperlib.geometry import distances, kernels
from paperlib.geometry.kernels import cka


def gaussian(n, width, seed=0):
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


@pytest.fixture(params=["kept", "blocks"])
def memory(request, monkeypatch):
    """Products kept, or computed a few rows at a time."""
    if request.param == "blocks":
        monkeypatch.setattr(distances, "KEPT", 0)
        monkeypatch.setattr(kernels, "BLOCK", 2000)


@pytest.mark.parametrize("widths", [(3, 4), (3, 400), (400, 300)])
def test_cka_in_features_and_in_kernels(memory, widths):
    """From kept kernels or from features, whichever are fewer."""
    x, y = gaussian(90, widths[0]), gaussian(90, widths[1], seed=1)
    y[:, :3] += 2 * x[:, :3]
    for unbiased in (True, False):
        assert cka(x, y, unbiased) == pytest.approx(brute.cka(x, y, unbiased), abs=1e-5)


def test_unbiased_hsic_by_its_definition():
    """Against the mean over all ordered quadruples of seven points, and none left out."""
    x, y = gaussian(7, 3), gaussian(7, 5, seed=1)
    expected = brute.hsic(x, y) / np.sqrt(brute.hsic(x, x) * brute.hsic(y, y))
    assert cka(x, y) == pytest.approx(expected, abs=1e-5)
    assert brute.cka(x, y) == pytest.approx(expected, abs=1e-9)
