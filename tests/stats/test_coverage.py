"""How often the intervals of paperlib.stats.bootstrap hold the truth, in simulations."""

import numpy as np
import pytest

from paperlib.stats.bootstrap import group_intervals, group_weights


@pytest.mark.parametrize("kind", ["normal", "binary"])
def test_coverage_with_few_groups(kind):
    """95 % intervals hold the truth about 95 % of the time, with five groups about 92; plain percentiles do not."""
    rng, trials = np.random.default_rng(0), 1000
    for n_groups, most in ((5, 0.88), (8, 0.92), (20, 0.95)):
        groups = np.repeat(np.arange(n_groups), 6)
        level = rng.normal(size=(trials, n_groups)) if kind == "normal" else rng.beta(2, 2, size=(trials, n_groups))
        level = np.repeat(level, 6, axis=1)
        values = level + rng.normal(size=level.shape) if kind == "normal" else rng.random(level.shape) < level
        truth, bounds = (0, (-9, 9)) if kind == "normal" else (0.5, (0, 1))
        held = np.mean([i.low <= truth <= i.high for i in group_intervals(values, groups, bounds)])
        weights = group_weights(groups)
        low, high = np.quantile((weights @ values.T) / weights.sum(1)[:, None], [0.025, 0.975], axis=0)
        plain = np.mean((low <= truth) & (truth <= high))
        assert (0.89 if n_groups == 5 else 0.93) < held < 0.98 and plain < min(most, held), (n_groups, held, plain)


def test_coverage_with_few_runs():
    """Three runs: enough where runs hardly differ, and what is said in the module's text where they differ much."""
    rng, trials, runs, size = np.random.default_rng(0), 400, 3, 30
    groups, run = np.arange(runs * size), np.repeat(np.arange(runs), size)
    held, width = {}, {}
    for apart in (0, 2, 20):  # standard deviation of runs, in standard errors of one
        shift = apart / size**0.5 * rng.normal(size=(trials, runs))
        values = rng.normal(size=(trials, runs * size)) + shift[:, run]
        found = group_intervals(values, groups, n_boot=1000, runs=run)
        held[apart] = np.mean([i.low <= 0 <= i.high for i in found])
        width[apart] = np.mean([i.high - i.low for i in found]) / np.std([i.value for i in found])
    assert held[0] > 0.95 and 0.84 < held[2] < 0.95 and 0.75 < held[20] < 0.88
    assert width[0] < 1.5 * 2 * 1.96
