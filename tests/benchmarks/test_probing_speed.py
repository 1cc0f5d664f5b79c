"""Speed of probes as a ratio in one run: `make bench` prints it. Not part of `make test`."""

import time

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from paperlib.probes.probing import probe
from paperlib.stats.permutation import control_labels


@pytest.mark.parametrize("classes", [4, 14])
def test_probes_against_one_at_a_time(benchmark, classes):
    """Four layers of the mini model's width, 600 scenes, five folds, true and shuffled labels; scikit-learn's way."""
    rng = np.random.default_rng(0)
    labels, scenes, fold = rng.integers(0, classes, size=600), np.arange(600), np.arange(600) % 5
    code = rng.normal(size=(classes, 576)) / 4
    noise = rng.normal(size=(600, 1, 576)) @ (rng.normal(size=(576, 576)) * np.geomspace(1, 0.03, 576)[:, None])
    states = (noise + code[labels][:, None] + 0.3 * rng.normal(size=(600, 4, 576))).astype(np.float32)

    start = time.perf_counter()
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1 / (0.03 * 480), max_iter=2000))
    shuffled = control_labels(labels, scenes, np.random.default_rng(0))
    theirs = [
        np.mean(cross_val_score(model, states[:, layer], y, cv=PredefinedSplit(fold)))
        for layer in range(4)
        for y in (labels, shuffled)
    ]
    before = time.perf_counter() - start

    start = time.perf_counter()
    ours = benchmark.pedantic(probe, (states, labels, scenes), {"folds": fold})
    after = time.perf_counter() - start
    line = f"probes of {classes} classes, 4 layers: {before:.2f} s -> {after:.2f} s, ratio {after / before:.2f}"
    benchmark.extra_info["probes"] = line
    print(f"\n{line}")
    assert np.abs(np.array(theirs) - [x for r in ours for x in (r.accuracy.value, r.control.value)]).max() < 0.02
