"""The bootstrap over groups as a loop, and the expanded level by its formula: oracles for paperlib.stats.bootstrap."""

import numpy as np
from scipy import stats


def expanded(level, clusters):
    """The two-sided level at which percentiles are read for `level` with so few clusters (Hesterberg 2015)."""
    reach = np.sqrt(clusters / (clusters - 1)) * stats.t(clusters - 1).ppf((1 + level) / 2)
    return 1 - 2 * stats.norm.cdf(-reach)


def limits(values, level, clusters):
    half = expanded(level, clusters) / 2
    return np.quantile(values, [0.5 - half, 0.5 + half])


def looped(statistic, groups, level=0.95, n=4000, seed=5):
    """Limits of a statistic that takes the numbers of the examples that were drawn."""
    rng, names = np.random.default_rng(seed), sorted(set(groups))
    rows = {name: [i for i, g in enumerate(groups) if g == name] for name in names}
    values = [statistic([i for name in rng.choice(names, len(names)) for i in rows[name]]) for _ in range(n)]
    return limits(values, level, len(names))
