"""Delete-d intervals against closed forms and against fresh samples."""

import numpy as np
import pytest
import torch
from small_models import one_sentence

from paperlib.geometry.dimension import intrinsic_dimension
from paperlib.geometry.distances import GeometryError
from paperlib.geometry.neighbors import Neighbors
from paperlib.geometry.similarity import information_imbalance, label_overlap, neighborhood_overlap
from paperlib.geometry.subsampling import jackknife, subsample_interval, subsampled
from paperlib.stats.accuracy import Interval


def views(n, seed):
    """Two noisy views of four hidden variables, and a label."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(n, 4))
    x, y = (hidden @ np.random.default_rng(i).normal(size=(4, 12)) + 0.5 * rng.normal(size=(n, 12)) for i in (1, 2))
    return x, y, (hidden[:, 0] > 0).astype(int)


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_the_mean_gets_its_standard_error(share):
    x = np.random.default_rng(0).normal(size=400)
    found = subsample_interval(np.mean, x, n=2000, share=share)
    error = x.std(ddof=1) / 20
    assert found.value == x.mean() and found.n == 400 and isinstance(found, Interval)
    assert found.high - found.value == pytest.approx(1.96 * error, rel=0.06)
    assert found.value - found.low == pytest.approx(found.high - found.value)
    narrow = subsample_interval(np.mean, x, n=2000, share=share, level=0.5)
    assert narrow.high - narrow.low == pytest.approx((found.high - found.low) * 0.6745 / 1.96, rel=1e-3)


ESTIMATES = {
    "dimension": lambda a, b, c: intrinsic_dimension(a, k=4).value,
    "overlap": lambda a, b, c: neighborhood_overlap(a, b, 8),
    "imbalance": lambda a, b, c: information_imbalance(a, b),
    "labels": lambda a, b, c: label_overlap(a, c, 8),
}


def test_errors_are_the_spread_over_fresh_samples():
    """The mean error of five samples of 200, against the spread over 40; Information Imbalance is on the safe side."""
    values, errors = ({name: [] for name in ESTIMATES} for _ in range(2))
    for seed in range(40):
        x, y, labels = views(200, seed)
        near = Neighbors.of(x, 40), Neighbors.of(y, 40), labels
        for name, estimate in ESTIMATES.items():
            values[name].append(estimate(*near))
            if seed < 5:
                interval = subsample_interval(estimate, *near, n=20, seed=seed)
                assert interval.value == values[name][-1]
                errors[name].append((interval.high - interval.low) / 2 / 1.96)
    for name in ESTIMATES:
        ratio = np.mean(errors[name]) / np.std(values[name], ddof=1)
        assert (1 < ratio < 2.4) if name == "imbalance" else (0.7 < ratio < 1.45), (name, ratio)


def test_every_part_loses_the_same_rows():
    seen = []

    def record(a, b, c, d):
        seen.append([np.asarray(z.points.x if isinstance(z, Neighbors) else z)[:, 0] for z in (a, b, c, d)])
        return 0.0

    x = np.arange(60.0)[:, None]
    parts = Neighbors.of(x, 30), torch.tensor(x), x, x.tolist()
    subsample_interval(record, *parts, n=3)
    assert [len(s[0]) for s in seen] == [60, 30, 30, 30]
    assert all((s[0] == other).all() for s in seen for other in s)
    assert all(len(set(s[0])) == 30 for s in seen[1:]) and (seen[1][0] != seen[2][0]).any()


def test_many_estimates_at_once_share_their_draws():
    x = np.random.default_rng(0).normal(size=(80, 2))
    together = subsampled(lambda z: z.mean(0), x, n=5, share=0.8, seed=3)
    alone = subsampled(lambda z: z.mean(0)[1], x, n=5, share=0.8, seed=3)
    assert together.shape == (6, 2) and (together[:, 1] == alone).all() and len(set(alone)) == 6
    assert together[0].tolist() == x.mean(0).tolist()
    assert jackknife(alone, 80, 0.8) == subsample_interval(lambda z: z.mean(0)[1], x, n=5, share=0.8, seed=3)


def test_the_seed_decides():
    x = np.random.default_rng(0).normal(size=100)
    first, again, other = (subsample_interval(np.median, x, seed=s) for s in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize(
    "call, word",
    [
        (lambda x: subsample_interval(np.mean, x, x[:9]), "got [9, 50]"),
        (lambda x: subsample_interval(np.mean), "got []"),
        (lambda x: subsample_interval(np.mean, x, n=1), "from 2 to 100,000, got 1"),
        (lambda x: subsample_interval(np.mean, x, share=1.0), "share must lie between 0 and 1, got 1.0"),
        (lambda x: subsample_interval(np.mean, x, share=0.001), "some of the 50 rows out and takes some, got 0.001"),
        (lambda x: subsample_interval(np.mean, x, level=1), "level must lie between 0 and 1, got 1"),
        (lambda x: jackknife(x[:2], 50), "got 2 and 0.5"),
    ],
)
def test_errors_are_one_sentence(call, word):
    with pytest.raises(GeometryError) as error:
        call(np.arange(50.0))
    assert word in one_sentence(error.value)
