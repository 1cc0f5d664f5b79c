"""All metrics of one pair of layers: this project against scikit-dimension with scikit-learn, each in a fresh process.

python -m pytest tests/benchmarks/test_geometry_speed.py --benchmark-only -s
python tests/benchmarks/test_geometry_speed.py ours 2500 4096        # one side, as JSON; ours, theirs or cuda
"""

import json
import re
import subprocess
import sys
import time
import timeit
from pathlib import Path

import numpy as np
import pytest
import torch

from paperlib.geometry.neighbors import Neighbors

N, WIDTH, K, K_MAX = 2500, 4096, 16, 64
FIXTURE = Path(__file__).parents[1] / "fixtures" / "dadapy.json"


def states(n: int, width: int):
    """Two float32 views [n, width] of 12 hidden variables, noisy, off centre, one dimension massive; and labels [n]."""
    rng = np.random.default_rng(0)
    hidden, weights = rng.normal(size=(n, 12)), rng.normal(size=(2, 12, width)) / 3
    views = np.empty((2, n, width), np.float32)
    for view, weight in zip(views, weights):
        for start in range(0, n, 250):  # in parts, or making the data would take more memory than measuring it
            part = hidden[start : start + 250]
            view[start : start + 250] = np.tanh(part @ weight) + 0.2 * rng.normal(size=(len(part), width)) + 1
    views[0, :, 5] *= 30
    return *views, (hidden[:, 0] > 0).astype(int)


def ours(x, y, labels, device="cpu") -> list[float]:
    from paperlib.geometry.dimension import dimension_by_scale, intrinsic_dimension
    from paperlib.geometry.similarity import cka, information_imbalance, label_overlap, mutual_knn, neighborhood_overlap

    x, y = (torch.from_numpy(z).to(device) for z in (x, y))
    a, b = (Neighbors.of(z, 2 * K_MAX, keep=True) for z in (x, y))
    dimensions = [d.value for z in (a, b) for d in (*dimension_by_scale(z, K_MAX), intrinsic_dimension(z, "twonn"))]
    return [
        *dimensions,
        neighborhood_overlap(a, b, K),
        label_overlap(a, labels, K),
        label_overlap(b, labels, K),
        mutual_knn(x, y, K),
        information_imbalance(a, b),
        information_imbalance(b, a),
        cka(a, b),
    ]


def theirs(x, y, labels) -> list[float]:
    """The same as a careful user of both packages would: one search for all that scikit-learn can share."""
    from skdim.id import GRIDE, TwoNN
    from sklearn.metrics import pairwise_distances
    from sklearn.metrics.pairwise import linear_kernel
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import normalize

    def nearest(z):
        return NearestNeighbors(n_neighbors=K).fit(z).kneighbors(return_distance=False)

    def overlap(p, q):
        return np.mean([len(np.intersect1d(i, j)) / K for i, j in zip(p, q)])

    def ranks(z):
        distances = pairwise_distances(z)
        np.fill_diagonal(distances, -1)
        return np.argsort(np.argsort(distances, axis=1), axis=1)

    def hsic(p, q):
        n, one = len(p), np.ones(len(p))
        return np.sum(p * q) + p.sum() * q.sum() / (n - 1) / (n - 2) - 2 / (n - 2) * (p @ one) @ (q @ one)

    dimensions = []
    for z in (x, y):
        dimensions += [
            *GRIDE(multiscale=True, range_max=2 * K_MAX).fit(z).dimension_scales_,
            TwoNN(method="mle").fit(z).dimension_,
        ]
    a, b = nearest(x), nearest(y)
    everyone, kernels = np.arange(len(x)), []
    imbalances = [2 / len(x) * ranks(z)[everyone, near[:, 0]].mean() for near, z in ((a, y), (b, x))]
    for z in (x, y):
        kernel = linear_kernel((z - z.mean(0)).astype(np.float64))
        np.fill_diagonal(kernel, 0)
        kernels.append(kernel)
    p, q = kernels
    return [
        *map(float, dimensions),
        overlap(a, b),
        *(np.mean(labels[near] == labels[:, None]) for near in (a, b)),
        overlap(nearest(normalize(x)), nearest(normalize(y))),
        *imbalances,
        hsic(p, q) / np.sqrt(hsic(p, p) * hsic(q, q)),
    ]


def peak() -> float:
    """Peak resident memory of this process [MB]. Linux alone tells: getrusage's starts from what the parent held."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024


def run(side: str, n: int, width: int, repeats: int) -> dict:
    """Seconds of the fastest repeat, values, and by how much the repeats raised peak memory over the data [MB]."""
    data = states(n, width)
    compute = {"ours": ours, "theirs": theirs, "cuda": lambda *z: ours(*z, device="cuda")}[side]
    compute(*(z[:200] for z in data))  # imports and compiled code
    before, seconds = peak(), []
    for _ in range(repeats):
        start = time.perf_counter()
        values = compute(*data)
        seconds.append(time.perf_counter() - start)
    return {"seconds": min(seconds), "megabytes": peak() - before, "values": list(map(float, values))}


def fresh(side: str, n: int, width: int, repeats: int = 1) -> dict:
    """`run` in a process of its own, so that peak memory is its own."""
    command = [sys.executable, __file__, side, str(n), str(width), str(repeats)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def compare(n: int, width: int, side: str = "ours") -> dict:
    """Both sides at one size; their values are equal or this fails."""
    mine, other = fresh(side, n, width, repeats=2), fresh("theirs", n, width)
    np.testing.assert_allclose(mine["values"], other["values"], rtol=1e-4, atol=1e-4)
    ratio = other["seconds"] / mine["seconds"]
    text = (
        f"{other['seconds']:.2f} s -> {mine['seconds']:.2f} s, {ratio:.1f} times faster; peak memory "
        f"{other['megabytes']:.0f} MB -> {mine['megabytes']:.0f} MB beside {n * width * 8 / 1e6:.0f} MB of data"
    )
    print(f"\nall metrics of a pair of layers ({side}), N = {n}, D = {width}: {text}")
    return {"text": text, "ratio": ratio}


def test_all_metrics_against_scikit_dimension_and_scikit_learn(benchmark):
    found = compare(N, WIDTH)
    recorded = json.loads(FIXTURE.read_text())["timed"]
    print(
        f"DADApy, fewer metrics, one core, recorded apart at N = {recorded['n']}, D = {recorded['width']}: "
        f"{recorded['seconds']} s"
    )
    benchmark.extra_info["pair of layers"] = found["text"]
    benchmark.pedantic(ours, states(N, WIDTH))
    assert found["ratio"] >= 3


def plain(x: np.ndarray, k: int):
    """The search and the ranks of nearest neighbours from one product in float64: as little code as it takes."""
    y = torch.from_numpy(x).double()
    y = y - y.mean(0)
    length = y.square().sum(1)
    square = (length[:, None] + length - 2 * y @ y.T).clamp_(min=0).fill_diagonal_(torch.inf)
    distances, indices = square.topk(k, largest=False)
    target = torch.roll(indices[:, :1], 1, 0)  # some point, and never the point itself
    target = torch.where(target == torch.arange(len(x))[:, None], indices[:, :1], target)
    at = square.gather(1, target)
    ranks = 1 + (square < at).sum(1).double() + 0.5 * ((square == at).sum(1) - 1)
    return indices, distances.sqrt(), target, ranks


def bounded(x: np.ndarray, k: int, target: torch.Tensor):
    """The same by `paperlib.geometry`: float32 with bounds, decided in float64 where the bounds leave it open."""
    near = Neighbors.of(x, k, keep=True)
    return near.indices, near.distances, near.points.ranks(target)[:, 0]


@pytest.mark.parametrize("n", [1000, 2500])
def test_against_one_product_in_float64(benchmark, n):
    """Bounds are worth their lines: results are those of float64, in less time where there are many points."""
    x = states(n, 576)[0]
    indices, distances, target, ranks = plain(x, 2 * K_MAX)
    found = bounded(x, 2 * K_MAX, target)
    assert torch.equal(found[0], indices) and torch.equal(found[2], ranks)
    torch.testing.assert_close(found[1], distances, rtol=1e-4, atol=0)
    seconds = {}
    for name, compute in (("plain", lambda: plain(x, 2 * K_MAX)), ("bounded", lambda: bounded(x, 2 * K_MAX, target))):
        seconds[name] = min(timeit.repeat(compute, number=1, repeat=5))
    ratio = seconds["plain"] / seconds["bounded"]
    text = f"{seconds['plain']:.3f} s -> {seconds['bounded']:.3f} s, {ratio:.2f} times as fast as plain float64"
    print(f"\nsearch and ranks, N = {n}, D = 576: {text}")
    benchmark.extra_info[f"search and ranks, N = {n}"] = text
    benchmark.pedantic(bounded, (x, 2 * K_MAX, target))
    assert ratio > (0.7 if n == 1000 else 1.1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_the_same_on_a_gpu(benchmark):
    benchmark.extra_info["pair of layers, GPU"] = compare(N, WIDTH, "cuda")["text"]
    benchmark.pedantic(lambda: ours(*states(N, WIDTH), device="cuda"))


def test_growth_with_points_and_width(benchmark):
    """Four times the points: time grows 16 times at most (and some slack), memory with the data."""
    found = {}
    for n, width in ((2500, 576), (10_000, 576), (2500, WIDTH), (10_000, WIDTH)):
        found[n, width] = fresh("ours", n, width)
        row = f"{found[n, width]['seconds']:.2f} s, peak {found[n, width]['megabytes']:.0f} MB"
        benchmark.extra_info[f"N = {n}, D = {width}"] = row
        print(f"\nN = {n}, D = {width}: {row}")
    benchmark.pedantic(ours, states(1250, 576))
    for width in (576, WIDTH):
        few, many = found[2500, width], found[10_000, width]
        assert many["seconds"] < 20 * few["seconds"] and many["megabytes"] < 6 * few["megabytes"]


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], *map(int, sys.argv[2:4]), repeats=int((sys.argv[4:] or [1])[0]))))
