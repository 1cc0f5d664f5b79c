"""Points that are hard on float32, and their neighbours, ranks and kernels by brute force in float64."""

import itertools
from math import factorial

import numpy as np

KINDS = ("plain", "massive", "thin", "offset", "giant", "gap", "repeats", "lattice")


def points(kind="plain", n=150, width=40, seed=0):
    """float32 points of one of several shapes that give distances trouble."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, width))
    if kind == "massive":
        x[:, 3] *= 5000
    elif kind == "thin":
        x = rng.normal(size=(n, 2)) @ rng.normal(size=(2, width)) + 1e-4 * x
    elif kind == "offset":
        x += 1000
    elif kind == "giant":
        x[7] *= 1e5
    elif kind == "gap":
        x[::2, 3] += 20_000
    elif kind == "repeats":
        x = x[rng.integers(0, n // 4, n)]
    elif kind == "lattice":
        x = rng.integers(0, 3, size=(n, 4))
    return x.astype(np.float32)


def squared_distances(x) -> np.ndarray:
    """[N, N], from differences, infinite on the diagonal."""
    x = np.asarray(x, dtype=np.float64)
    table = np.stack([((x - row) ** 2).sum(1) for row in x])
    np.fill_diagonal(table, np.inf)
    return table


def nearest(x, k) -> np.ndarray:
    """[N, k] indices, nearest first."""
    return np.argsort(squared_distances(x), axis=1, kind="stable")[:, :k]


def ranks(x) -> np.ndarray:
    """[N, N] mid-ranks of column j among the others by distance from row i."""
    table = squared_distances(x)
    less = (table[:, None, :] < table[:, :, None]).sum(2)
    equal = (table[:, None, :] == table[:, :, None]).sum(2)
    return 1 + less + (equal - 1) / 2


def overlap(a, b) -> float:
    """Mean share of common entries of two tables of neighbours [N, k]."""
    return float(np.mean([len(set(p) & set(q)) / len(p) for p, q in zip(a.tolist(), b.tolist())]))


def imbalance(x, y) -> float:
    table = ranks(y)
    return 2 / len(x) * float(np.mean([table[i, j] for i, (j,) in enumerate(nearest(x, 1))]))


def hsic(x, y) -> float:
    """Song et al. (2012), equation 3: the mean of h over all ordered quadruples; for a handful of points only."""
    k, m = (np.asarray(z, dtype=np.float64) @ np.asarray(z, dtype=np.float64).T for z in (x, y))
    total = sum(k[t, u] * (m[t, u] + m[v, w] - 2 * m[t, v]) for t, u, v, w in itertools.permutations(range(len(k)), 4))
    return total * factorial(len(k) - 4) / factorial(len(k))


def cka(x, y, unbiased=True) -> float:
    """With whole kernels: zero diagonals and double centring as in Nguyen et al. (2021), or plain double centring."""
    centred = []
    for z in (x, y):
        z = np.asarray(z, dtype=np.float64)
        n, kernel = len(z), z @ z.T
        if unbiased:
            np.fill_diagonal(kernel, 0)
            means = kernel.sum(1) / (n - 2)
            kernel = kernel - means[:, None] - means + means.sum() / (2 * (n - 1)) * 2
            np.fill_diagonal(kernel, 0)
        else:
            kernel = kernel - kernel.mean(0) - kernel.mean(1)[:, None] + kernel.mean()
        centred.append(kernel)
    a, b = centred
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))
